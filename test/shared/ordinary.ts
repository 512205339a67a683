/** Work as a user whom modes bind: root may write where nobody may. */
import { chownSync } from 'node:fs'

const ordinaryId = 65_534

/** Gives the directory to an ordinary user and does it as this one; as ourselves unless we are root. */
export function asOrdinaryUser(directory: string, work: () => void): void {
  if (process.geteuid?.() !== 0) {
    work()
    return
  }
  chownSync(directory, ordinaryId, ordinaryId)
  process.seteuid?.(ordinaryId)
  try {
    work()
  } finally {
    process.seteuid?.(0)
  }
}
