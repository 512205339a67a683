import { expect, it } from 'vitest'
import { oneShotDeps } from '../../../plugins/one-shot.ts'
import { insideNetns } from '../../../shared/host/netns.ts'
import { describeInNamespaces, ip, newNamespace, opened } from '../../shared/host/namespaces.ts'
import { temporaryDirectory } from '../../shared/temporary.ts'
import { type Answer, answerTo, callOf } from '../calls.ts'

describeInNamespaces('berth-macvlan STATUS', () => {
  /** The answer in a node whose master is in this state. */
  async function status(state: 'up' | 'down' | 'absent', dataDir = temporaryDirectory()): Promise<Answer> {
    const node = newNamespace()
    if (state !== 'absent') ip('-n', node, 'link', 'add', 'uplink', 'type', 'veth', 'peer', 'name', 'far')
    if (state === 'up') ip('-n', node, 'link', 'set', 'uplink', 'up')
    const config = { master: 'uplink', ipam: { type: 'berth-ipam', range: '10.0.0.0/24' } }
    const call = callOf('berth-macvlan', { CNI_COMMAND: 'STATUS' }, config)
    // Sockets are opened before the first wait of a call, so what is awaited may go on outside.
    return await insideNetns(opened(node), () => answerTo(call, oneShotDeps({ BERTH_DATA_DIR: dataDir })))
  }

  it('is silent when an ADD would be served', async () => {
    expect(await status('up')).toMatchObject({ exitCode: 0, stdout: '' })
  })

  it.each([
    ['absent', 'Cannot find master "uplink": the host has no such link'],
    ['down', 'Cannot use master "uplink": it is down'],
  ] as const)('says that what is attached may be cut off, too, when its master is %s', async (state, msg) => {
    expect((await status(state)).json).toMatchObject({ code: 51, msg })
  })

  it('says that an ADD cannot be served, and no more, when leases cannot be written', async () => {
    const { json } = await status('up', '/proc/berth')
    expect(json).toMatchObject({ code: 50, msg: expect.stringContaining('/proc/berth') })
  })
})
