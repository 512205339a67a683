/**
 * Keeps the node's kubeconfig fresh: the kubelet gives the pod another token before the old one ends (an hour, usually), and the file
 * may vanish, with a /etc/cni that is empty after a boot. Nothing in the agent reads it, and no API server is asked.
 */
import { dirname } from 'node:path'
import { makePublicDirectory } from '../shared/disk.ts'
import { readCredentials, renderKubeconfig, type ServiceAccount, writeIfOther } from '../shared/kubeconfig.ts'
import { log } from '../shared/log.ts'
import { messageOf } from '../shared/message.ts'

/** A token is renewed when a fifth of its time is left: two minutes of the ten that are the least. */
const everyMs = 30_000

export class KubeconfigKeeper implements Disposable {
  readonly #path: string
  readonly #account: ServiceAccount
  #timer: NodeJS.Timeout | undefined
  #trouble = ''

  constructor(path: string, account: ServiceAccount) {
    this.#path = path
    this.#account = account
  }

  start(intervalMs = everyMs): void {
    this.look()
    this.#timer = setInterval(() => this.look(), intervalMs).unref()
  }

  /** Writes the file if it does not say what the service account's files say. What fails is told once, and tried again. */
  look(): void {
    try {
      const credentials = readCredentials(this.#account)
      if (credentials === undefined) throw new Error(`"${this.#account.tokenFile}" is not there`)
      makePublicDirectory(dirname(this.#path))
      if (writeIfOther(this.#path, renderKubeconfig(credentials))) log('info', `"${this.#path}" is written anew`)
      this.#trouble = ''
    } catch (error) {
      const trouble = messageOf(error)
      if (trouble !== this.#trouble) log('warn', `cannot keep "${this.#path}" fresh: ${trouble}`)
      this.#trouble = trouble
    }
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer)
  }
}
