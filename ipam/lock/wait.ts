/** Waiting in synchronous code. */
const sleeper = new Int32Array(new SharedArrayBuffer(4))

/** Stops the thread for that long. */
export const sleep = (ms: number): void => {
  Atomics.wait(sleeper, 0, 0, ms)
}

/** Between two looks at a lock that another has. */
export const pollMs = 1
