/**
 * Makes a call of node:fs in a thread, and waits for it. Not promisify(): every function that it makes is some 20 us of each start, whether
 * anybody calls it or not.
 */
export const inThread = (call: (done: (error: Error | null) => void) => void): Promise<void> =>
  new Promise((resolve, reject) => call((error) => (error === null ? resolve() : reject(error))))
