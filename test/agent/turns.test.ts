import { expect, test } from 'vitest'
import { Turns, waitingMaxCalls } from '../../agent/turns.ts'

test('Turns.take() lets calls of one name in by turns, in the order they came', async () => {
  const turns = new Turns()
  const order: number[] = []
  const call = async (place: number): Promise<void> => {
    using _turn = await turns.take('a', 16)
    order.push(place)
    await new Promise((resolve) => setImmediate(resolve))
    order.push(place)
  }
  await Promise.all([call(1), call(2), call(3)])
  expect(order).toEqual([1, 1, 2, 2, 3, 3])
})

test('Turns.take() refuses a name that too many wait for, and no other', async () => {
  const turns = new Turns()
  const taken = Array.from({ length: waitingMaxCalls }, () => turns.take('a', waitingMaxCalls))
  await expect(turns.take('a', waitingMaxCalls)).rejects.toThrow(`Cannot serve "a": ${waitingMaxCalls} calls of it`)
  await turns.take('b', waitingMaxCalls)
  // What is the node's has no such limit.
  const shared = Array.from({ length: 2 * waitingMaxCalls }, () => turns.take('node', Number.POSITIVE_INFINITY))
  for (const all of [taken, shared]) for (const one of all) (await one)[Symbol.dispose]()
})
