import { describe, expect, it } from 'vitest'
import { Undo } from '../../shared/undo.ts'

/** Runs steps that note their undoing, and then `end`. */
async function guarded(
  end: () => void,
  broken: readonly string[] = [],
): Promise<{ undone: string[]; outcome: unknown }> {
  const undone: string[] = []
  const work = Undo.guard(async (undo) => {
    for (const name of ['claim', 'create', 'configure']) {
      undo.push(name, async () => {
        undone.push(name)
        // A turn of the event loop: the next step must wait for this one.
        await new Promise((resolve) => setImmediate(resolve))
        if (broken.includes(name)) throw new Error(`cannot undo ${name}`)
        undone.push(`${name} done`)
      })
    }
    end()
    return 'answer'
  })
  const outcome = await work.catch((error: unknown) => error)
  return { undone, outcome }
}

const failure = new Error('the kernel said no')
const fail = (): never => {
  throw failure
}

describe('Undo.leaveRest()', () => {
  it('leaves the steps below the one that calls it', async () => {
    const undone: string[] = []
    const work = Undo.guard(async (undo) => {
      undo.push('claim', () => void undone.push('claim'))
      undo.push('VF', () => {
        undone.push('VF')
        undo.leaveRest()
      })
      undo.push('rules', () => void undone.push('rules'))
      fail()
    })
    await expect(work).rejects.toBe(failure)
    expect(undone).toEqual(['rules', 'VF'])
  })
})

describe('Undo.guard()', () => {
  it('answers and undoes nothing when the work succeeds', async () => {
    expect(await guarded(() => undefined)).toEqual({ undone: [], outcome: 'answer' })
  })

  it('undoes the steps in reverse, one after the other, and throws the same error on when the work fails', async () => {
    const { undone, outcome } = await guarded(fail)
    expect(undone).toEqual(['configure', 'configure done', 'create', 'create done', 'claim', 'claim done'])
    expect(outcome).toBe(failure)
  })

  it.each([
    [['configure'], ['configure', 'create', 'create done', 'claim', 'claim done']],
    [['create'], ['configure', 'configure done', 'create', 'claim', 'claim done']],
    [
      ['claim', 'create', 'configure'],
      ['configure', 'create', 'claim'],
    ],
  ])('goes on and keeps the first error when the undoing of %j fails', async (broken, wanted) => {
    const { undone, outcome } = await guarded(fail, broken)
    expect(undone).toEqual(wanted)
    expect(outcome).toBe(failure)
  })

  it('undoes the step that was pushed before it failed itself', async () => {
    const undone: string[] = []
    const work = Undo.guard(async (undo) => {
      undo.push('delegate', () => void undone.push('delegate'))
      await Promise.reject(failure)
      undo.push('never reached', () => void undone.push('never reached'))
    })
    await expect(work).rejects.toBe(failure)
    expect(undone).toEqual(['delegate'])
  })

  it('holds what a step back keeps until those below it have run, also when one fails', async () => {
    const undone: string[] = []
    const work = Undo.guard(async (undo) => {
      undo.push('claim', () => {
        undone.push('claim')
        fail()
      })
      undo.push('create', () => undo.keep({ [Symbol.dispose]: () => void undone.push('let go') }))
      fail()
    })
    await expect(work).rejects.toBe(failure)
    expect(undone).toEqual(['claim', 'let go'])
  })

  it('undoes only its own steps when guards are nested', async () => {
    const undone: string[] = []
    const answer = await Undo.guard(async (outer) => {
      outer.push('outer', () => void undone.push('outer'))
      const inner = Undo.guard(async (undo) => {
        undo.push('inner', () => void undone.push('inner'))
        fail()
      })
      await inner.catch(() => undefined)
      return 'answer'
    })
    expect({ answer, undone }).toEqual({ answer: 'answer', undone: ['inner'] })
  })
})
