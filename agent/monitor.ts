/**
 * The agent's HTTP server: /metrics, /healthz and /readyz, at an address or a unix socket. Loaded only when somebody asks for it:
 * the program of a node that nobody watches needs neither node:http nor prom-client.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { type Claim, countUsage, KnownPlans, type Usage } from '../ipam/index.ts'
import { monotonicMs } from '../shared/clock.ts'
import { log } from '../shared/log.ts'
import { messageOf } from '../shared/message.ts'
import type { MonitorAddress } from './address.ts'
import { Health } from './health.ts'
import { Metrics } from './metrics.ts'
import { listenAt } from './server.ts'
import { isAnswered, openInPlace, removeSocket } from './sockets.ts'
import type { Facts, Watch } from './watch.ts'

const connectionsMax = 32
const requestWithinMs = 5000
const idleMaxMs = 10_000
/** Counting beside 65 000 leases takes 0.2 s of processor time: a scrape gets what was counted so long ago ... */
const usageFreshMs = 5000
/** ... or so many times as long ago as the counting took: two hundredths of one processor. */
const usageRestFactor = 50

/** Counts when somebody asks, and not again before it is worth it. All who ask meanwhile get the same. */
class UsageCounter {
  readonly #dataDir: string
  readonly #plans = new KnownPlans()
  #counted: { readonly usage: Promise<Usage | undefined>; freshUntilMs: number } | undefined

  constructor(dataDir: string) {
    this.#dataDir = dataDir
  }

  claimed({ key, plan }: Claim): void {
    this.#plans.note(key.network, plan)
  }

  /** Undefined when the leases cannot be read: all else that there is to tell must be told all the same. */
  async usage(): Promise<Usage | undefined> {
    const startMs = monotonicMs()
    if (this.#counted !== undefined && startMs < this.#counted.freshUntilMs) return await this.#counted.usage
    const counted = { usage: this.#count(), freshUntilMs: Number.POSITIVE_INFINITY }
    this.#counted = counted
    const usage = await counted.usage
    const endMs = monotonicMs()
    counted.freshUntilMs = endMs + Math.max(usageFreshMs, (endMs - startMs) * usageRestFactor)
    return usage
  }

  async #count(): Promise<Usage | undefined> {
    try {
      return await countUsage(this.#dataDir, this.#plans)
    } catch (error) {
      log('warn', `cannot count leases: ${messageOf(error)}`)
      return undefined
    }
  }
}

interface Page {
  readonly status: number
  readonly body: string
  readonly type?: string
}

const said = (status: number, body: string): Page => ({ status, body: `${body}\n` })

export class Monitor {
  readonly #server: Server
  readonly #health: Health
  readonly #metrics: Metrics
  readonly #facts: () => Facts
  #rendering: Promise<string> | undefined
  #socket: { readonly path: string; readonly ino: bigint } | undefined

  /** `facts` is asked from the first request on. */
  constructor(dataDir: string, facts: () => Facts) {
    this.#facts = facts
    this.#health = new Health(dataDir)
    const usage = new UsageCounter(dataDir)
    this.#metrics = new Metrics({
      facts,
      delayMs: () => this.#health.delay.worstMs(),
      usage: () => usage.usage(),
      claimed: (claim) => usage.claimed(claim),
    })
    const options = { connectionsCheckingInterval: requestWithinMs / 2 }
    this.#server = createServer(options, (request, response) => void this.#answer(request, response))
    // Who connects and says nothing must not keep out those who ask whether we live.
    this.#server.on('connection', (socket) => socket.setTimeout(requestWithinMs, () => socket.destroy()))
    this.#server.maxConnections = connectionsMax
    this.#server.requestTimeout = requestWithinMs
    this.#server.headersTimeout = requestWithinMs
    this.#server.keepAliveTimeout = idleMaxMs
  }

  get watch(): Watch {
    return this.#metrics
  }

  /** Throws when nobody can listen there. */
  async open(address: MonitorAddress): Promise<void> {
    try {
      if ('path' in address) await this.#openAt(address.path)
      else await listenAt(this.#server, address)
    } catch (error) {
      throw new Error(`Cannot serve metrics at "${address.text}": ${messageOf(error)}`, { cause: error })
    }
    log('info', `metrics at "${address.text}"`)
  }

  async #openAt(path: string): Promise<void> {
    // An agent that is started by mistake beside another one must not take what the other one is seen by.
    if (await isAnswered(path)) throw new Error('another process answers there')
    this.#socket = { path, ino: await openInPlace(this.#server, path) }
  }

  close(): void {
    if (this.#socket !== undefined) removeSocket(this.#socket.path, this.#socket.ino)
    this.#server.close()
    this.#server.closeAllConnections()
    this.#health[Symbol.dispose]()
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let page: Page
    try {
      page = await this.#page(request)
    } catch (error) {
      log('warn', `cannot answer ${JSON.stringify(request.url)}: ${messageOf(error)}`)
      page = said(500, messageOf(error))
    }
    const { status, body, type = 'text/plain; charset=utf-8' } = page
    const head = { 'content-type': type, 'content-length': Buffer.byteLength(body), 'cache-control': 'no-store' }
    response.writeHead(status, head).end(request.method === 'HEAD' ? undefined : body)
  }

  async #page({ method, url = '' }: IncomingMessage): Promise<Page> {
    if (method !== 'GET' && method !== 'HEAD') return said(405, 'only GET and HEAD')
    const path = url.split('?', 1)[0]
    if (path === '/metrics') {
      return { status: 200, body: await this.#render(), type: this.#metrics.registry.contentType }
    }
    if (path === '/healthz') {
      const trouble = this.#health.delayTrouble()
      return trouble === undefined ? said(200, 'ok') : said(503, trouble)
    }
    if (path === '/readyz') {
      const { state, reachable } = this.#facts()
      if (state !== 'answering') return said(503, state)
      if (!reachable) return said(503, 'a socket is gone')
      const trouble = this.#health.storeTrouble()
      return trouble === undefined ? said(200, 'ok') : said(503, trouble)
    }
    return said(404, 'there are /metrics, /healthz and /readyz')
  }

  /** Whoever asks while it is being written gets the same. */
  async #render(): Promise<string> {
    this.#rendering ??= this.#metrics.render().finally(() => {
      this.#rendering = undefined
    })
    return await this.#rendering
  }
}
