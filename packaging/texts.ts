/** The texts that the program consists of, by name: where each begins, from the root. */

/** Those of CNI calls, which somebody waits for: with a code cache each. */
export const warmTexts = { plugins: 'plugins/main.ts', sriov: 'plugins/sriov/main.ts' }
export const coldTexts = { cli: 'cli/main.ts', agent: 'agent/main.ts', install: 'install/main.ts' }

/** The name of the code cache of a text. */
export const cacheOf = (text: string): string => `${text}.cache`

/** V8 reads a code cache where it lies if that is a multiple of so many bytes in memory, and copies it first if not. */
export const cacheAlignBytes = 8
