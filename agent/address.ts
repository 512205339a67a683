/** Where the agent's metrics are served. Pure. */
import { parseIp } from '../shared/address.ts'

const portMax = 65_535

export type MonitorAddress =
  /** As it was written. */
  | { readonly text: string; readonly path: string }
  /** No host: all addresses of the node. */
  | { readonly text: string; readonly port: number; readonly host?: string }

function portOf(text: string): number | undefined {
  const port = /^[0-9]{1,5}$/.test(text) ? Number(text) : portMax + 1
  return port <= portMax ? port : undefined
}

/** Reads `127.0.0.1:9465`, `[::1]:9465`, `:9465` or an absolute path. Throws an Error that says what it is not. */
export function parseMonitorAddress(text: string): MonitorAddress {
  if (text.startsWith('/')) return { text, path: text }
  const [, host = '', digits = ''] = /^(.*):([0-9]+)$/s.exec(text) ?? []
  const port = portOf(digits)
  const bare = /^\[(.*)\]$/s.exec(host)?.[1] ?? host
  const family = parseIp(bare)?.family
  const isHost = host === '' || (bare === host ? family === 4 : family === 6)
  if (port === undefined || !isHost) {
    const forms = '"127.0.0.1:9465", "[::1]:9465", ":9465" or an absolute path'
    throw new Error(`Cannot serve metrics at ${JSON.stringify(text)}: not ${forms}`)
  }
  return { text, port, ...(host === '' ? {} : { host: bare }) }
}
