/** The command line of `berth agent`. Pure. */
import { parseArgs } from 'node:util'
import { defaultDataDir as usualDataDir } from '../shared/data-dir.ts'
import { type MonitorAddress, parseMonitorAddress } from './address.ts'

const usualRunDir = '/run/berth'
/** Where runtimes and `ip netns` give network namespaces their names. */
const defaultNetnsDirectories = ['/run/netns', '/var/run/netns']
const defaultSweepSeconds = '60'
const defaultGraceSeconds = '60'
const secondsMax = 86_400

export const usage = `Usage: berth agent [options]

Answers the calls of the CNI plugins of this node, which do without when it is not there.

  --run-dir DIR                  where its socket is (default ${usualRunDir}, or the data directory when that is not the usual one)
  --data-dir DIR                 where the leases are, and a second socket (default: BERTH_DATA_DIR, or /var/lib/cni/berth)
  --metrics-address ADDRESS      serves /metrics, /healthz and /readyz at 127.0.0.1:9465, [::1]:9465, :9465 (all addresses of the
                                 node) or an absolute path, which becomes a unix socket (default: does not)
  --sweep-seconds N              from one sweep to the next; 0: never sweeps (default ${defaultSweepSeconds})
  --sweep-grace-seconds N        how long a namespace must have been gone, seen by an earlier sweep (default ${defaultGraceSeconds})
  --netns-dir DIR                where network namespaces have their names: when one vanishes, a sweep comes soon; may be given
                                 several times (default ${defaultNetnsDirectories.join(' and ')})
  --no-warm-up                   answers at once, and the first calls are slow
  --no-calls                     answers none: for a data directory that hosts share, which needs sweeps all the same
  --kubeconfig FILE              kept fresh from the service account of the agent's pod (default: none is written)
  --help                         this text

SIGTERM and SIGINT end it after the calls that are running. BERTH_LOG is error, warn, info or debug (default info).
`

const options = {
  'run-dir': { type: 'string' },
  'data-dir': { type: 'string' },
  'metrics-address': { type: 'string' },
  'sweep-seconds': { type: 'string', default: defaultSweepSeconds },
  'sweep-grace-seconds': { type: 'string', default: defaultGraceSeconds },
  'netns-dir': { type: 'string', multiple: true, default: defaultNetnsDirectories },
  'no-warm-up': { type: 'boolean', default: false },
  'no-calls': { type: 'boolean', default: false },
  kubeconfig: { type: 'string' },
  help: { type: 'boolean' },
} as const

export interface AgentWish {
  readonly runDir: string
  readonly dataDir: string
  /** Whether it makes calls of its own first, so that no other is slow. */
  readonly warm: boolean
  readonly calls: boolean
  /** Undefined: none is written. */
  readonly kubeconfig: string | undefined
  readonly metricsAddress: MonitorAddress | undefined
  /** Undefined: never. */
  readonly sweep:
    | {
        readonly everySeconds: number
        readonly graceSeconds: number
        readonly netnsDirectories: readonly string[]
      }
    | undefined
}

function secondsOf(name: 'sweep-seconds' | 'sweep-grace-seconds', text: string): number {
  const seconds = /^[0-9]{1,6}$/.test(text) ? Number(text) : Number.NaN
  if (seconds <= secondsMax) return seconds
  throw new Error(`--${name} "${text}" is not a number of seconds up to ${secondsMax}`)
}

/** Undefined when only the usage is asked for. Throws an Error for what cannot be read. */
export function readCommandLine(args: readonly string[], defaultDataDir: string): AgentWish | undefined {
  const { values } = parseArgs({ args: [...args], options })
  if (values.help === true) return undefined
  const dataDir = values['data-dir'] ?? defaultDataDir
  const address = values['metrics-address']
  const everySeconds = secondsOf('sweep-seconds', values['sweep-seconds'])
  const graceSeconds = secondsOf('sweep-grace-seconds', values['sweep-grace-seconds'])
  return {
    // Who finds an agent at the usual place takes it for one of the usual leases.
    runDir: values['run-dir'] ?? (dataDir === usualDataDir ? usualRunDir : dataDir),
    dataDir,
    warm: !values['no-warm-up'],
    calls: !values['no-calls'],
    kubeconfig: values.kubeconfig,
    metricsAddress: address === undefined ? undefined : parseMonitorAddress(address),
    sweep: everySeconds === 0 ? undefined : { everySeconds, graceSeconds, netnsDirectories: values['netns-dir'] },
  }
}
