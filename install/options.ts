/** The command line of `berth install`, and the environment that other installers of plugins are told by. Pure. */
import { parseArgs } from 'node:util'
import { aliasNames } from '../shared/aliases.ts'
import { defaultDataDir } from '../shared/data-dir.ts'
import { isSet, type ServiceAccount, serviceAccountOf } from '../shared/kubeconfig.ts'
import { messageOf } from '../shared/message.ts'
import { readNodeConfig, unknownKeys } from '../shared/node-config.ts'

export const usage = `Usage: berth install [options]

Puts the plugins into the node's folder for them, and what they need into the one for configs. What is there already is left as it is, and what was
interrupted is completed. Without options for the folders they are those of the distribution that is found.

  --cni-bin-dir DIR        the node's folder of plugins, as seen from here (environment: CNI_BIN_DIR)
  --cni-conf-dir DIR       its folder of configs (CNI_CONF_DIR)
  --host-root DIR          where the node's root is mounted, to look for both (HOST_ROOT; default /)
  --from DIR               what is installed (default: the folder of this program)
  --alias NAME             answers as this plugin, too; may be given several times (BERTH_ALIASES, with commas):
                           ${aliasNames.join(', ')}
  --alias-primary          an alias may be a plugin that the node's own networks use, the cluster's say (BERTH_ALIAS_PRIMARY=true)
  --defaults JSON          what berth.conf is to say, {"ipam": {...}} (BERTH_DEFAULTS; default: it stays as it is, or is made empty)
  --no-kubeconfig          writes none
  --force                  takes a name that is somebody else's; --uninstall gives it back (BERTH_FORCE=true); with --with-leases,
                           removes them although they are held
  --uninstall              removes what is ours, and nothing else; leases stay
  --with-leases            with --uninstall: removes what is in the data directory, too
  --data-dir DIR           that directory, as seen from here (BERTH_DATA_DIR; default ${defaultDataDir})
  --dry-run                prints what would be done
  --help                   this text

The kubeconfig is made of the pod's service account and KUBERNETES_SERVICE_HOST, _PORT and _PROTOCOL; KUBE_CA_FILE names another certificate,
SKIP_TLS_VERIFY=true does without. An API server that does not answer is a warning.

Exit code: 0 done, 1 failed, 2 the command line cannot be read.
`

const options = {
  'cni-bin-dir': { type: 'string' },
  'cni-conf-dir': { type: 'string' },
  'host-root': { type: 'string' },
  from: { type: 'string' },
  alias: { type: 'string', multiple: true },
  'alias-primary': { type: 'boolean', default: false },
  defaults: { type: 'string' },
  'no-kubeconfig': { type: 'boolean', default: false },
  force: { type: 'boolean', default: false },
  uninstall: { type: 'boolean', default: false },
  'with-leases': { type: 'boolean', default: false },
  'data-dir': { type: 'string' },
  'dry-run': { type: 'boolean', default: false },
  help: { type: 'boolean' },
} as const

export interface InstallWish {
  readonly hostRoot: string
  readonly binDir: string | undefined
  readonly confDir: string | undefined
  readonly from: string
  readonly aliases: readonly string[]
  readonly aliasPrimary: boolean
  /** The text of berth.conf; undefined: what is there stays. */
  readonly defaults: string | undefined
  /** Undefined: no kubeconfig is wanted, or nothing to make one of. */
  readonly serviceAccount: ServiceAccount | undefined
  readonly force: boolean
  readonly uninstall: boolean
  /** The data directory, when it is to be removed. */
  readonly leases: string | undefined
  readonly dryRun: boolean
}

type Environment = Readonly<Record<string, string | undefined>>

function absolute(what: string, path: string | undefined): string | undefined {
  if (path === undefined || path === '') return undefined
  if (!path.startsWith('/')) throw new Error(`${what} "${path}" is not an absolute path`)
  return path === '/' ? path : path.replace(/\/+$/, '')
}

function readAliases(given: readonly string[]): string[] {
  const names = given.flatMap((text) => text.split(',')).filter((name) => name !== '')
  for (const name of names) {
    if (!aliasNames.includes(name)) throw new Error(`--alias "${name}" is none of ${aliasNames.join(', ')}`)
  }
  return [...new Set(names)]
}

/** What every attachment of the node would fail for, or would not notice, is refused here. */
function readDefaults(text: string | undefined): string | undefined {
  if (text === undefined || text === '') return undefined
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw new Error(`--defaults ${JSON.stringify(text)} is not JSON`, { cause: error })
  }
  const quoted = JSON.stringify(text)
  try {
    readNodeConfig(value)
  } catch (error) {
    throw new Error(`--defaults ${quoted}: ${messageOf(error)}`, { cause: error })
  }
  const [unknown] = unknownKeys(value)
  if (unknown !== undefined) throw new Error(`--defaults ${quoted}: there is no key "${unknown}"`)
  return `${JSON.stringify(value, null, 2)}\n`
}

/** `ownFolder` is the folder of the program. Undefined when only the usage is asked for. Throws an Error for what cannot be read. */
export function readCommandLine(args: readonly string[], env: Environment, ownFolder: string): InstallWish | undefined {
  const { values } = parseArgs({ args: [...args], options })
  if (values.help === true) return undefined
  const { uninstall, 'with-leases': withLeases } = values
  if (withLeases && !uninstall) throw new Error('--with-leases is only for --uninstall')
  const path = (flag: 'cni-bin-dir' | 'cni-conf-dir' | 'host-root' | 'from' | 'data-dir', variable: string) =>
    absolute(`--${flag}`, values[flag]) ?? absolute(variable, env[variable])
  return {
    hostRoot: path('host-root', 'HOST_ROOT') ?? '/',
    binDir: path('cni-bin-dir', 'CNI_BIN_DIR'),
    confDir: path('cni-conf-dir', 'CNI_CONF_DIR'),
    from: path('from', 'BERTH_FROM') ?? ownFolder,
    // What was wished of an installation says nothing of its end.
    aliases: uninstall ? [] : readAliases(values.alias ?? [env.BERTH_ALIASES ?? '']),
    aliasPrimary: values['alias-primary'] || isSet(env.BERTH_ALIAS_PRIMARY),
    defaults: uninstall ? undefined : readDefaults(values.defaults ?? env.BERTH_DEFAULTS),
    serviceAccount: values['no-kubeconfig'] || uninstall ? undefined : serviceAccountOf(env),
    force: values.force || isSet(env.BERTH_FORCE),
    uninstall,
    leases: withLeases ? (path('data-dir', 'BERTH_DATA_DIR') ?? defaultDataDir) : undefined,
    dryRun: values['dry-run'],
  }
}
