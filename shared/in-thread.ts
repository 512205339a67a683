/**
 * Makes a call of node:fs in a thread, and waits for it. Not promisify(): what that makes, it makes at every start, whether anybody
 * calls it or not (docs/decisions/004-packaging.md).
 */
export const inThread = (call: (done: (error: Error | null) => void) => void): Promise<void> =>
  new Promise((resolve, reject) => call((error) => (error === null ? resolve() : reject(error))))
