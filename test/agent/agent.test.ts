import { expect, test } from 'vitest'
import { Agent } from '../../agent/agent.ts'
import { temporaryDirectory } from '../shared/temporary.ts'

test('Agent refuses to answer no calls for a directory that is the node’s own', async () => {
  const dataDir = temporaryDirectory()
  const agent = new Agent({ runDir: dataDir, dataDir, warm: false, calls: false })
  await expect(agent.start()).rejects.toThrow(`"${dataDir}" is no directory that hosts share`)
  await agent.stop()
})
