/** What hostAccess costs an ADD: sends of messages to the kernel, counted. */
import { expect, test } from 'vitest'
import { ip } from './host.ts'
import { accessKeys, far, hostWith, hostWithOtherLink, near } from './reach.ts'
import { sendsOf } from './sends.ts'

test.each([
  ['has an address of the subnet of the pod', near, 1],
  ['has an address in another subnet', far, 1],
  ['has none, and the default route leads through another link', [], 2],
])('hostAccess costs an ADD one send more when the master %s: %j, %i', (_, own, more) => {
  using host = own.length > 0 ? hostWith(own) : hostWithOtherLink()
  const config = host.config(accessKeys)
  const pods = [host.pod(), host.pod(), host.pod()] as const
  // The first one makes the node's link, and stays.
  host.add(pods[0], config)
  const without = sendsOf(host, 'ADD', pods[1], { ...config, hostAccess: false }).writesMs
  const sends = sendsOf(host, 'ADD', pods[2], config).writesMs
  process.stdout.write(`sends of an ADD: ${without.length}, with hostAccess ${sends.length}\n`)
  expect(sends).toHaveLength(without.length + more)
  for (const pod of pods) host.call('DEL', pod, config)
  if (own.length === 0) ip('-n', host.node, 'link', 'del', 'lan')
  expect(host.leftovers()).toEqual([])
})
