/** Where attachments and leases are kept. */
export const defaultDataDir = '/var/lib/cni/berth'

/** The data directory that an environment names; an empty name is none. */
export const dataDirOf = ({ BERTH_DATA_DIR }: Readonly<Record<string, string | undefined>>): string =>
  BERTH_DATA_DIR || defaultDataDir
