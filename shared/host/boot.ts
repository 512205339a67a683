/** The identity of this boot: a namespace, an interface index or a process id means nothing after the next one. */
import { readFileSync } from 'node:fs'

export const readBootId = (): string => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
