/** The administrator's door: `berth <noun> <verb>`. One file a noun. */
import { parseArgs } from 'node:util'
import { writeAll } from '../shared/write.ts'
import { leases } from './leases.ts'

/** A command line that cannot be read: the message and the usage go to standard error, exit code 2. */
class UsageError extends Error {}

const usage = `Usage: berth <command> [options]

Commands:
  leases list        who holds which address on this node
  version            the version of this program

Options:
  --data-dir DIR     where leases are kept (default /var/lib/cni/berth, or BERTH_DATA_DIR)
  --json             print JSON instead of a table
  --help             this text

The CNI plugins are the same program under other names: berth-macvlan, berth-ipam.
`

function run(args: readonly string[], dataDir: string, version: string): string {
  const { positionals, values } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: { 'data-dir': { type: 'string' }, json: { type: 'boolean' }, help: { type: 'boolean', short: 'h' } },
  })
  const command = positionals.join(' ')
  if (values.help === true || command === 'help') return usage
  if (command === 'version') return `${version}\n`
  if (command === 'leases list') return leases(values['data-dir'] ?? dataDir, values.json === true)
  throw new UsageError(command === '' ? 'no command given' : `unknown command "${command}"`)
}

/** Runs one command and returns the exit code: 0 done, 1 failed, 2 a command line that cannot be read. */
export function main(args: readonly string[], dataDir: string, version: string): number {
  try {
    writeAll(1, run(args, dataDir, version))
    return 0
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    const unreadable = error instanceof UsageError || (error instanceof TypeError && 'code' in error)
    writeAll(2, unreadable ? `berth: ${message}\n\n${usage}` : `berth: ${message}\n`)
    return unreadable ? 2 : 1
  }
}
