/** The texts that the program consists of, by name: where each begins, from the root. */
import type { LoadText } from '../main.ts'

/** Those of CNI calls, which somebody waits for: with a code cache each. */
export const warmTexts = { plugins: 'plugins/main.ts', sriov: 'plugins/sriov/main.ts' }
const coldTexts = { cli: 'cli/main.ts', agent: 'agent/main.ts', install: 'install/main.ts' }

export const texts: Record<Parameters<LoadText>[0], string> = { ...warmTexts, ...coldTexts }

/** The name of the code cache of a text. */
export const cacheOf = (text: string): string => `${text}.cache`

/** V8 reads a code cache where it lies if that is a multiple of so many bytes in memory, and copies it first if not. */
export const cacheAlignBytes = 8
