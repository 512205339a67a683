import { constants } from 'node:os'
import { describe, expect, it } from 'vitest'
import { CniError } from '../../shared/cni/errors.ts'
import { SystemError } from '../../shared/host/libc.ts'
import { whileBusy } from '../../vf/busy.ts'

describe('whileBusy()', () => {
  const busy = new SystemError('set link up', constants.errno.EBUSY)
  const wrapped = new CniError('ERR_KERNEL', 'Cannot configure', { cause: busy })
  const again = new SystemError('set VF', constants.errno.EAGAIN)

  it('tries again while the VF is busy, whoever says so', async () => {
    const errors: Error[] = [busy, wrapped, again]
    expect(
      await whileBusy(() => {
        const error = errors.shift()
        if (error !== undefined) throw error
        return 'done'
      }),
    ).toBe('done')
  })

  it('throws any other error at once', async () => {
    let calls = 0
    const work = (): never => {
      calls++
      throw new SystemError('set VF', constants.errno.EINVAL)
    }
    await expect(whileBusy(work)).rejects.toMatchObject({ code: 'EINVAL' })
    expect(calls).toBe(1)
  })

  it('throws the last one when the VF stays busy', async () => {
    const start = performance.now()
    await expect(whileBusy(() => Promise.reject(busy))).rejects.toBe(busy)
    expect(performance.now() - start).toBeGreaterThanOrEqual(2000)
  })
})
