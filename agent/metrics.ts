/**
 * What the agent counts, for Prometheus. Names and labels are an interface: README.md has the table.
 *
 * Every label is from a list of ours, or bounded in number: who calls must not be able to make series without end.
 */
import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import type { Claim, Usage } from '../ipam/index.ts'
import type { Reply } from '../plugins/dispatch.ts'
import { isPluginName } from '../plugins/names.ts'
import { ownName } from '../shared/aliases.ts'
import { errorTable } from '../shared/cni/errors.ts'
import { verbs } from '../shared/cni/versions.ts'
import { openDescriptors } from '../shared/host/process.ts'
import type { CallFrame } from './frame.ts'
import type { Door, Facts, SweepTotals, Watch } from './watch.ts'

const other = 'other'

/** Most calls take between half a millisecond and five; what is above 50 waits for a disk, a lock or the kernel. */
const callBucketsMs = [
  0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 7.5, 10, 15, 20, 30, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000,
  60_000,
]
const sweepBucketsMs = [50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000, 300_000]
const batchBuckets = [1, 2, 3, 4, 5, 6, 7, 8, 16, 32, 64]

const errorNames = new Map(Object.entries(errorTable).map(([name, { code }]) => [Number(code), name]))
/** Of the reference library, for the host's own namespace. */
errorNames.set(8, 'ERR_ENVIRONMENT')

/** The name of an error that is rendered; `other` for the own code of a foreign plugin. */
function errorNameOf(stdout: string): string {
  try {
    const { code }: { code?: unknown } = JSON.parse(stdout)
    return errorNames.get(Number(code)) ?? other
  } catch {
    return other
  }
}

function resultOf({ exitCode, stdout, declined }: Reply): string {
  if (declined === true) return 'declined'
  return exitCode === 0 ? 'ok' : errorNameOf(stdout)
}

interface Series {
  readonly inc: () => void
  readonly observe: (ms: number) => void
}

/** What is asked for when somebody reads the metrics. */
interface Sources {
  readonly facts: () => Facts
  /** How long the process was not to be spoken to lately, at worst, in milliseconds. */
  readonly delayMs: () => number
  /** Undefined when the leases cannot be read now. */
  readonly usage: () => Promise<Usage | undefined>
  readonly claimed: (claim: Claim) => void
}

export class Metrics implements Watch {
  readonly registry = new Registry()
  readonly #sources: Sources
  readonly #series = new Map<string, Series>()
  readonly #calls = this.#counter('berth_calls_total', 'CNI calls that were answered', [
    'door',
    'plugin',
    'verb',
    'result',
  ])
  readonly #durations = this.#histogram(
    'berth_call_duration_milliseconds',
    'From the last byte of a request to its reply',
    callBucketsMs,
    ['plugin', 'verb'],
  )
  readonly #batches = this.#histogram('berth_commit_claims', 'Claims that were written together', batchBuckets)
  readonly #sweeps = this.#counter('berth_sweeps_total', 'Sweeps that have ended', ['result'])
  readonly #sweepDurations = this.#histogram(
    'berth_sweep_duration_milliseconds',
    'How long sweeps took',
    sweepBucketsMs,
  )
  readonly #swept = this.#counter('berth_swept_total', 'What sweeps have cleaned up', ['what'])
  readonly #waiting = this.#gauge('berth_sweep_waiting', 'Attachments that the last sweep saw gone for the first time')
  readonly #damaged = this.#gauge('berth_sweep_damaged', 'Records that the last sweep could not read')
  readonly #lastSweep = this.#gauge('berth_sweep_last_success_timestamp_seconds', 'When a sweep last succeeded')

  constructor(sources: Sources) {
    this.#sources = sources
    for (const result of ['ok', 'failed']) this.#sweeps.inc({ result }, 0)
    for (const what of ['released', 'expired', 'left over']) this.#swept.inc({ what }, 0)
    this.#watchAgent()
    this.#watchProcess()
    this.#watchUsage()
  }

  answered(door: Door, call: CallFrame, reply: Reply, ms: number): void {
    const { CNI_COMMAND } = call.environment
    const verb = verbs.find((one) => one === CNI_COMMAND) ?? other
    const plugin = isPluginName(call.name) ? ownName(call.name) : other
    const result = resultOf(reply)
    const name = `${door} ${plugin} ${verb} ${result}`
    let series = this.#series.get(name)
    if (series === undefined) {
      const [calls, durations] = [
        this.#calls.labels({ door, plugin, verb, result }),
        this.#durations.labels({ plugin, verb }),
      ]
      series = { inc: () => calls.inc(), observe: (one) => durations.observe(one) }
      this.#series.set(name, series)
    }
    series.inc()
    series.observe(ms)
  }

  claimed(claim: Claim): void {
    this.#sources.claimed(claim)
  }

  committed(claims: number): void {
    this.#batches.observe(claims)
  }

  swept(totals: SweepTotals | undefined, ms: number): void {
    this.#sweeps.inc({ result: totals === undefined ? 'failed' : 'ok' })
    this.#sweepDurations.observe(ms)
    if (totals === undefined) return
    this.#swept.inc({ what: 'released' }, totals.released)
    this.#swept.inc({ what: 'expired' }, totals.expired)
    this.#swept.inc({ what: 'left over' }, totals.leftOver)
    this.#waiting.set(totals.waiting)
    this.#damaged.set(totals.damaged)
    this.#lastSweep.setToCurrentTime()
  }

  /** In the text format of Prometheus, version 0.0.4. */
  async render(): Promise<string> {
    return await this.registry.metrics()
  }

  #watchAgent(): void {
    const { facts, delayMs } = this.#sources
    this.#reads('berth_calls_waiting', 'Calls that wait for their turn', () => facts().waiting)
    this.#reads('berth_calls_at_work', 'Calls that are at work', () => facts().atWork)
    this.#reads('berth_links_removing', 'Links that the kernel is still taking down', () => facts().removing)
    this.#reads('berth_ready', '1 when calls are answered, 0 while warming up and draining', () =>
      facts().state === 'answering' && facts().reachable ? 1 : 0,
    )
    this.#reads('berth_loop_delay_milliseconds', 'How late the process was, at worst, in the last ten seconds', delayMs)
  }

  /** Prometheus's own names for these. prom-client has a collection of them, which costs more to load than all of the agent. */
  #watchProcess(): void {
    const startSeconds = Date.now() / 1000 - process.uptime()
    this.#reads('process_start_time_seconds', 'When the process started', () => startSeconds)
    this.#reads('process_resident_memory_bytes', 'Resident memory', () => process.memoryUsage.rss())
    this.#reads('process_open_fds', 'Open descriptors', openDescriptors)
    let told = 0
    const cpu: Counter = new Counter({
      name: 'process_cpu_seconds_total',
      help: 'Processor time of user and system',
      registers: [this.registry],
      collect: () => {
        const { user, system } = process.cpuUsage()
        const seconds = (user + system) / 1e6
        cpu.inc(seconds - told)
        told = seconds
      },
    })
  }

  /** Without usage there are no samples: a zero would be a lie. */
  #watchUsage(): void {
    const { usage } = this.#sources
    this.#reads('berth_leases_readable', '1 when leases could be counted, 0 when not', async () =>
      (await usage()) === undefined ? 0 : 1,
    )
    const perName = (
      label: string,
      name: string,
      help: string,
      of: (usage: Usage) => ReadonlyMap<string, number>,
    ): void => {
      const gauge = this.#gauge(name, help, [label], async () => {
        const now = await usage()
        gauge.reset()
        for (const [one, count] of now === undefined ? [] : of(now)) gauge.set({ [label]: one }, count)
      })
    }
    perName('family', 'berth_leases', 'Addresses that are held or kept', ({ leases }) => leases)
    perName('network', 'berth_attachments', 'Attachments on record', ({ attachments }) => attachments)
    const keptHelp = 'Attachments that are gone, with addresses kept for their pods'
    perName('network', 'berth_attachments_kept', keptHelp, ({ kept }) => kept)
    const perRange = (name: string, help: string, of: (range: Usage['ranges'][number]) => number): void => {
      const gauge = this.#gauge(name, help, ['network', 'range'], async () => {
        const now = await usage()
        gauge.reset()
        for (const one of now?.ranges ?? []) gauge.set({ network: one.network, range: one.range }, of(one))
      })
    }
    perRange('berth_range_addresses_free', 'Addresses of a range that nobody holds', ({ free }) => free)
    perRange('berth_range_addresses_held', 'Addresses of a range that are held or kept', ({ held }) => held)
  }

  #reads(name: string, help: string, read: () => number | Promise<number>): void {
    const gauge = this.#gauge(name, help, [], async () => {
      gauge.set(await read())
    })
  }

  #gauge(name: string, help: string, labelNames: string[] = [], collect?: () => Promise<void>): Gauge {
    return new Gauge({
      name,
      help,
      labelNames,
      registers: [this.registry],
      ...(collect === undefined ? {} : { collect }),
    })
  }

  #counter(name: string, help: string, labelNames: string[]): Counter {
    return new Counter({ name, help, labelNames, registers: [this.registry] })
  }

  #histogram(name: string, help: string, buckets: number[], labelNames: string[] = []): Histogram {
    return new Histogram({ name, help, labelNames, buckets, registers: [this.registry] })
  }
}
