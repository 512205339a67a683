import { symlinkSync, writeFileSync } from 'node:fs'
import { beforeEach, describe, expect, it } from 'vitest'
import { claimOf, planOf, thisNode } from '../../ipam/asked.ts'
import { emptyPlan } from '../../ipam/plan.ts'
import type { Environment } from '../../shared/cni/request.ts'
import { readBootId, readHostIdentity } from '../../shared/host/boot.ts'
import { requestOf } from '../shared/cni/requests.ts'
import { failureOf } from '../shared/failures.ts'
import { temporaryDirectory } from '../shared/temporary.ts'

let folder: string
beforeEach(() => {
  folder = temporaryDirectory()
})

const range = '10.0.0.0/24'
const fileOf = (name: string, text: string): string => {
  writeFileSync(`${folder}/${name}`, text)
  return `${folder}/${name}`
}
const planFor = (ipam: object) => planOf(requestOf({ ipam: { type: 'berth-ipam', ...ipam } }))

describe('planOf() of a config with a file of defaults', () => {
  it('fills the gaps of the config with what the file says, and no more', () => {
    const configuration_path = fileOf('flat.conf', JSON.stringify({ range: '10.9.0.0/24', gateway: '10.0.0.9' }))
    const plan = planFor({ range, configuration_path })
    expect(plan.rangeSets.flat().map(({ text }) => text)).toEqual([range])
    expect(plan.rangeSets[0]?.[0]?.gateway).toMatchObject({ value: 0x0a000009n })
  })

  it('goes on without one when there is no such file', () => {
    expect(planFor({ range, configuration_path: `${folder}/absent` }).rangeSets).toHaveLength(1)
  })

  it.each([
    ['is no JSON', '{', 'Cannot read the defaults in'],
    ['is empty', '', 'Cannot read the defaults in'],
    ['is no object', '[]', 'the defaults of the node'],
  ])('fails with code 7 when it %s', (_, text, message) => {
    const configuration_path = fileOf('flat.conf', text)
    const failure = failureOf(() => planFor({ range, configuration_path }))
    expect([failure.code, failure.message]).toEqual([7, expect.stringContaining(message)])
  })

  it.each([
    ['a directory', '/etc', 'it is a directory'],
    ['endless', '/dev/zero', 'it is not a regular file'],
  ])('fails with code 7 and says what it is when it is %s', (_, configuration_path, why) => {
    const failure = failureOf(() => planFor({ range, configuration_path }))
    expect([failure.code, failure.message]).toEqual([7, `Cannot read the defaults in "${configuration_path}": ${why}`])
  })

  it('reads none when the config is of another dialect', () => {
    const configuration_path = fileOf('flat.conf', '{')
    expect(planFor({ subnet: range, configuration_path }).rangeSets).toHaveLength(1)
  })
})

describe('planOf() of a config with resolvConf', () => {
  it('takes the dns from the file that it names', () => {
    const resolvConf = fileOf('resolv.conf', 'nameserver 10.0.0.53\nsearch a b\n# x\noptions ndots:5\n')
    expect(planFor({ subnet: range, resolvConf }).dns).toEqual({
      nameservers: ['10.0.0.53'],
      search: ['a', 'b'],
      options: ['ndots:5'],
    })
  })

  it('fails with code 7 and names the file when it is missing', () => {
    const failure = failureOf(() => planFor({ subnet: range, resolvConf: `${folder}/absent` }))
    expect([failure.code, failure.message]).toEqual([
      7,
      `Cannot read "ipam.resolvConf": "${folder}/absent": no such file`,
    ])
  })

  it('follows a symbolic link, as /etc/resolv.conf often is one', () => {
    fileOf('stub-resolv.conf', 'nameserver 127.0.0.53\n')
    symlinkSync('stub-resolv.conf', `${folder}/resolv.conf`)
    const { dns } = planFor({ subnet: range, resolvConf: `${folder}/resolv.conf` })
    expect(dns).toEqual({ nameservers: ['127.0.0.53'] })
  })

  it.each([
    ['a directory', '/etc', 7, 'it is a directory'],
    ['endless', '/dev/zero', 7, 'it is not a regular file'],
    ['not readable', '/proc/self/mem', 5, 'EIO: i/o error, read'],
  ])('fails and names the file when it is %s', (_, resolvConf, code, why) => {
    const failure = failureOf(() => planFor({ subnet: range, resolvConf }))
    expect([failure.code, failure.message]).toEqual([code, `Cannot read "ipam.resolvConf": "${resolvConf}": ${why}`])
  })

  it('fails and says how large the file is when it is too large', () => {
    const resolvConf = fileOf('resolv.conf', '#'.repeat(1024 * 1024 + 1))
    expect(failureOf(() => planFor({ subnet: range, resolvConf })).message).toBe(
      `Cannot read "ipam.resolvConf": "${resolvConf}": it has 1048577 bytes, and at most 1048576 are read`,
    )
  })

  it('leaves the file alone when the dialect has no such key', () => {
    expect(planFor({ range, resolvConf: `${folder}/absent` }).dns).toEqual({})
  })
})

describe('claimOf()', () => {
  const asked = (config: object, environment: Environment = {}) => {
    const request = requestOf({ ipam: { type: 'berth-ipam', range }, ...config }, environment)
    return claimOf(request, planOf(request), undefined, undefined)
  }

  it('says who claims, on which host and in which boot', () => {
    const claim = asked({}, { CNI_ARGS: 'K8S_POD_NAMESPACE=ns;K8S_POD_NAME=pod' })
    expect(claim).toMatchObject({
      key: { network: 'storage', containerId: 'ctr-1', ifName: 'net1' },
      pod: { namespace: 'ns', name: 'pod' },
      node: { host: readHostIdentity(), bootId: readBootId() },
    })
    expect(claim.node).toEqual(thisNode())
    expect([claim.netns, claim.link, asked({}).pod]).toEqual([undefined, undefined, undefined])
  })

  it('asks for up to 512 addresses, and refuses more', () => {
    const ips = (count: number) => ({
      runtimeConfig: { ips: Array.from({ length: count }, (_, i) => `10.0.${i >> 8}.${i & 255}`) },
    })
    expect(asked(ips(512)).requested).toHaveLength(512)
    const failure = failureOf(() => asked(ips(513)))
    expect([failure.code, failure.message]).toEqual([7, expect.stringContaining('513 requested addresses')])
  })

  it('asks for nothing when the plan is the empty one, whatever the request says', () => {
    const request = requestOf({ runtimeConfig: { ips: ['here'] } })
    expect(claimOf(request, emptyPlan, undefined, undefined).requested).toEqual([])
  })

  const two = { ipRanges: [{ range }, { range: '10.1.0.0/24' }] }
  const dual = { ipRanges: [{ range }, { range: 'fd00::/64' }] }
  it.each<[string, string, object, boolean]>([
    ['two ranges of a family', '0.2.0', { ipam: two }, true],
    ['two ranges of a family', '0.3.1', { ipam: two }, false],
    ['a range of each family', '0.2.0', { ipam: dual }, false],
    ['two requested addresses of a family', '0.2.0', { runtimeConfig: { ips: ['10.0.0.5', '10.0.0.6'] } }, true],
    ['a range and a requested address of it', '0.1.0', { runtimeConfig: { ips: ['10.0.0.5'] } }, false],
    ['a fixed address besides a range', '0.1.0', { ipam: { range, addresses: [{ address: '10.0.0.5/24' }] } }, true],
  ])('refuses what has no room in the result when there are %s in version %s', (_, cniVersion, config, refused) => {
    const call = () => asked({ cniVersion, ...config })
    if (!refused) expect(call().key.network).toBe('storage')
    else
      expect(failureOf(call).message).toBe(
        `CNI version "${cniVersion}" does not support more than 1 address per family`,
      )
  })
})
