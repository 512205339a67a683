/** Work in another process of this same program: what reads for seconds, or may hang or fail, shall not be in one that others wait for. */
import { spawn } from 'node:child_process'
import { setPriority } from 'node:os'

/** The program that this process runs, even when another version has taken its place on the disk meanwhile. */
const ownProgram = '/proc/self/exe'
/** Below everybody who is waited for (nice(2)). */
const niceness = 10
const outputMaxChars = 64 * 1024
/** Of what it says of its troubles the rest is left out. */
const wordsMaxChars = 8 * 1024

interface ChildWish {
  readonly args: readonly string[]
  /** The name that it is started under: a packaged program goes by it. */
  readonly name: string
  readonly timeoutMs: number
  /** Aborted: the child is killed, and the answer comes once it is gone. */
  readonly signal: AbortSignal
}

interface ChildAnswer {
  readonly stdout: string
  readonly stderr: string
}

/** Runs this program with other arguments, to its end. Throws an Error that says how it failed, with its words. */
export async function runOwnProgram({ args, name, timeoutMs, signal }: ChildWish): Promise<ChildAnswer> {
  return await new Promise((resolve, reject) => {
    let killed: string | undefined
    const child = spawn(ownProgram, [...args], { argv0: name, stdio: ['ignore', 'pipe', 'pipe'] })
    const kill = (why: string): void => {
      killed ??= why
      child.kill('SIGKILL')
    }
    const onAbort = (): void => kill('it was told to end')
    const timer = setTimeout(() => kill(`it took more than ${timeoutMs} ms`), timeoutMs)
    let [stdout, stderr] = ['', '']
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text
      if (stdout.length > outputMaxChars) kill(`it wrote more than ${outputMaxChars} characters`)
    })
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr = (stderr + text).slice(0, wordsMaxChars)
    })
    signal.addEventListener('abort', onAbort, { once: true })
    if (signal.aborted) onAbort()
    const settle = (end: () => void): void => {
      clearTimeout(timer)
      signal.removeEventListener('abort', onAbort)
      end()
    }
    child.on('error', (error) => settle(() => reject(new Error(`Cannot run "${name}": ${error.message}`))))
    child.on('close', (code, ending) => {
      settle(() => {
        if (code === 0) resolve({ stdout, stderr })
        else {
          const how = killed ?? (ending === null ? `exit code ${code}` : `killed by ${ending}`)
          reject(new Error(`"${name} ${args.join(' ')}" failed: ${how}${stderr === '' ? '' : `: ${stderr.trim()}`}`))
        }
      })
    })
    lower(child.pid)
  })
}

function lower(pid: number | undefined): void {
  if (pid === undefined) return
  try {
    setPriority(pid, niceness)
  } catch {
    // It has ended, or may not be told: then it runs as everybody else does.
  }
}
