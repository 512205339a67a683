/** Which lock a directory needs: that of the kernel sees the processes of one host only. */
import { statfsSync } from 'node:fs'

export type LockKind = 'kernel' | 'shared'

/** The kind of a file system, by its magic number of statfs(2), which some systems hand over as a negative one. */
export function lockKindOfType(type: number): LockKind {
  // Those that another kernel may write to at the same time. 9p and FUSE (virtiofs, glusterfs) are among them although they
  // are often private: a lock that is slower than needed does no harm.
  const sharedTypes = [
    0x6969, // NFS
    0xff534d42, // CIFS
    0xfe534d42, // SMB 2 and later
    0x517b, // SMB, the old client
    0x00c36400, // CephFS
    0x01021997, // 9p
    0x65735546, // FUSE
    0x01161970, // GFS2
    0x7461636f, // OCFS2
    0x0bd00bd0, // Lustre
    0x47504653, // GPFS
    0x19830326, // BeeGFS
    0x20030528, // OrangeFS
    0x5346414f, // AFS
    0x6b414653, // AFS, the kernel's own
    0x73757245, // Coda
    0x61636673, // ACFS
    0xaad7aaea, // PanFS
    0xbacbacbc, // folders of a VMware host
    0x786f4256, // folders of a VirtualBox host
  ]
  return sharedTypes.includes(type >>> 0) ? 'shared' : 'kernel'
}

/** The kind of lock for the files in a directory, which must exist. */
export const lockKindOf = (directory: string): LockKind => lockKindOfType(statfsSync(directory).type)
