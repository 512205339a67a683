/** Files of orders that are not what they were made. */
import { readFileSync, statSync, truncateSync, unlinkSync, writeFileSync } from 'node:fs'

function pathOf(dataDir: string, order: string): string | undefined {
  const [space, bounds = ''] = order.split(' ')
  const [first = '', last = ''] = bounds.split('-')
  const whole = `${first}-${first.replace(/[0-9]+$/, last)}`
  const path = `${dataDir}/order/${space === 'default' ? whole : `${whole}@${space}`}`
  return statSync(path, { throwIfNoEntry: false }) === undefined ? undefined : path
}

/** Removes the file of an order, as the model calls it, cuts it short, overwrites it or flips a bit; false when there is none. */
export function damageOrder(dataDir: string, order: string, how: number): boolean {
  const path = pathOf(dataDir, order)
  if (path === undefined) return false
  const bytes = readFileSync(path)
  if (how % 4 === 0) unlinkSync(path)
  else if (how % 4 === 1) truncateSync(path, how % (bytes.length + 1))
  else if (how % 4 === 2) writeFileSync(path, Buffer.alloc(how % 500, how))
  else {
    const at = how % bytes.length
    bytes[at] = (bytes[at] ?? 0) ^ (1 << (how % 7))
    writeFileSync(path, bytes)
  }
  return true
}
