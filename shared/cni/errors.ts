/**
 * The one table of errors. Codes 1-99 are the specification's (SPEC section 5, "Error"), 100 and up are ours.
 * `retryable`: the same call may succeed later without anybody changing anything.
 */
import { messageOf } from '../message.ts'
import { impliedVersion, newestVersion } from './versions.ts'

export const errorTable = {
  ERR_VERSION: {
    code: 1,
    retryable: false,
    when: 'the config speaks a CNI version, or asks for a verb of one, that does not fit',
  },
  ERR_ENVIRONMENT: {
    code: 4,
    retryable: false,
    when: 'a CNI_* variable is missing or hostile, or names no network namespace',
  },
  ERR_IO: {
    code: 5,
    retryable: true,
    when: 'standard input, the lease directory or a file that the config names cannot be read or written',
  },
  ERR_DECODE: { code: 6, retryable: false, when: 'the config is not JSON' },
  ERR_CONFIG: { code: 7, retryable: false, when: 'the config is JSON but asks for something impossible' },
  ERR_TRY_AGAIN: {
    code: 11,
    retryable: true,
    when: 'another call holds the lock longer than the deadline, or the answer of the agent was lost or late: what the call did is not known',
  },
  ERR_UNAVAILABLE: {
    code: 50,
    retryable: true,
    when: 'STATUS: an ADD would fail now; what is attached goes on working (a range without a free address, leases that cannot be written)',
  },
  ERR_LIMITED: {
    code: 51,
    retryable: true,
    when: 'STATUS: the master or the PF is missing or down, so an ADD would be of no use now and what is attached may be cut off',
  },
  ERR_EXHAUSTED: { code: 100, retryable: true, when: 'a range has no free address, or a PF no free VF' },
  ERR_TAKEN: { code: 101, retryable: true, when: 'a requested address or VF is held by another attachment' },
  ERR_KERNEL: { code: 102, retryable: true, when: 'the kernel refused a change; the message carries its words' },
  ERR_CONFLICT: { code: 103, retryable: false, when: 'the attachment or its interface exists already' },
  ERR_DAMAGED: { code: 104, retryable: false, when: 'a lease file does not hold what it must' },
  ERR_CHECK: { code: 105, retryable: false, when: 'CHECK found a difference; the message names it' },
  ERR_DELEGATE: { code: 106, retryable: true, when: 'a foreign IPAM plugin failed without saying why in JSON' },
  ERR_INTERNAL: { code: 999, retryable: false, when: 'a defect in this program' },
} as const satisfies Record<string, { code: number; retryable: boolean; when: string }>

type ErrorName = keyof typeof errorTable

/** An error that a CNI runtime gets to see. `message` says what could not be done, with the value, and why. */
export class CniError extends Error {
  readonly errorName: ErrorName
  /** The CNI error code; a delegate's own code passes through unchanged. */
  readonly code: number
  readonly details: string

  constructor(errorName: ErrorName, message: string, more: { details?: string; code?: number; cause?: unknown } = {}) {
    super(message, more.cause === undefined ? {} : { cause: more.cause })
    this.errorName = errorName
    this.code = more.code ?? errorTable[errorName].code
    this.details = more.details ?? ''
  }
}

/**
 * Anything thrown, as an error the runtime can read. A system call that failed where nobody expected it is an I/O error,
 * or the kernel's when it was not a file's (shared/host/libc.ts); what has no error number is a defect of ours.
 */
export function toCniError(error: unknown): CniError {
  if (error instanceof CniError) return error
  const message = messageOf(error)
  const numbered = error instanceof Error && 'errno' in error && typeof error.errno === 'number'
  if (!numbered) return new CniError('ERR_INTERNAL', message, { cause: error })
  return new CniError('syscall' in error ? 'ERR_IO' : 'ERR_KERNEL', message, { cause: error })
}

/**
 * Runs a check of STATUS: whatever it throws means that an ADD would fail now, or be of no use. `as` says what that means for
 * the attachments that exist (SPEC section 2, STATUS): a full range and a ledger that cannot be written do not touch them (50), a
 * master that is gone or down may cut them off (51).
 */
export function orUnavailable(check: () => void, as: 'ERR_UNAVAILABLE' | 'ERR_LIMITED' = 'ERR_UNAVAILABLE'): void {
  try {
    check()
  } catch (error) {
    const why = messageOf(error)
    throw new CniError(as, why, { cause: error })
  }
}

/** The error as the specification's JSON; `details` only when there are any. */
export function renderError(error: CniError, cniVersion: string | undefined): string {
  const version = cniVersion === undefined ? newestVersion : cniVersion || impliedVersion
  return JSON.stringify({
    cniVersion: version,
    code: error.code,
    msg: error.message,
    ...(error.details === '' ? {} : { details: error.details }),
  })
}
