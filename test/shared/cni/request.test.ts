import { describe, expect, it } from 'vitest'
import { parseConfig, parseRequest } from '../../../shared/cni/request.ts'
import { supportedVersions } from '../../../shared/cni/versions.ts'
import { failureOf } from '../failures.ts'
import { environmentOfAdd, plainConfig, requestOf } from './requests.ts'

const supported = supportedVersions.map((version) => `"${version}"`).join(' ')

/** An ADD with this text on standard input. */
const withStdin = (stdin: string) => () =>
  parseRequest(
    environmentOfAdd,
    () => stdin,
    () => undefined,
  )

describe('parseRequest()', () => {
  it('reads a call once into a frozen request', () => {
    const request = requestOf(
      { ipam: { type: 'berth-ipam', range: '10.0.0.0/24' }, master: 'eth0', RuntimeConfig: { IPs: ['10.0.0.7'] } },
      { CNI_ARGS: 'IP=10.0.0.8', CNI_PATH: '/opt/cni/bin::/usr/lib/cni', CNI_NETNS_OVERRIDE: 'TRUE' },
    )
    expect(request).toMatchObject({
      verb: 'ADD',
      version: '1.1.0',
      key: { network: 'storage', containerId: 'ctr-1', ifName: 'net1' },
      netnsPath: '/run/netns/pod-1',
      netnsOverride: true,
      pluginPath: ['/opt/cni/bin', '/usr/lib/cni'],
      args: { IP: '10.0.0.8' },
      config: { ipam: { type: 'berth-ipam' }, runtimeConfig: { ips: ['10.0.0.7'] } },
      raw: { master: 'eth0', ipam: { range: '10.0.0.0/24' } },
    })
    expect(JSON.parse(request.stdin)).toEqual(request.raw)
    expect(Object.isFrozen(request)).toBe(true)
  })

  it.each([
    ['1', true],
    ['true', true],
    ['TRUE', true],
    ['0', false],
    ['', false],
    ['yes', false],
  ])('reads CNI_NETNS_OVERRIDE %j as %s', (CNI_NETNS_OVERRIDE, override) => {
    expect(requestOf({}, { CNI_NETNS_OVERRIDE }).netnsOverride).toBe(override)
  })

  it('tolerates variables of others', () => {
    expect(requestOf({}, { TRACEPARENT: '00-a-b-01', TRACESTATE: 'x', BAGGAGE: 'y', CNI_IF: '../..' }).verb).toBe('ADD')
  })

  it('reads the attachments that are valid when the verb is GC', () => {
    const attachments = [{ containerID: 'c', ifname: 'net1' }]
    const { config } = requestOf({ 'cni.dev/valid-attachments': attachments }, { CNI_COMMAND: 'GC' })
    expect(config['cni.dev/valid-attachments']).toEqual(attachments)
    expect(requestOf({ 'cni.dev/valid-attachments': [] }).config['cni.dev/valid-attachments']).toEqual([])
    expect(requestOf().config['cni.dev/valid-attachments']).toBeUndefined()
  })

  it('tells the version of the config as soon as it is known, also when it is not one of ours', () => {
    const told: string[] = []
    const parse = () =>
      parseRequest(
        environmentOfAdd,
        () => '{"cniVersion": "2.0.0"}',
        (version) => void told.push(version),
      )
    expect(failureOf(parse).message).toBe('missing network name')
    expect(told).toEqual(['2.0.0'])
  })
})

describe('parseRequest() of a config', () => {
  it.each([
    ['nothing', '', 'Unexpected end of JSON input'],
    ['half of one', '{"name": "storage"', ''],
    ['words', 'hello', ''],
    ['two documents', '{}{}', ''],
  ])('fails with code 6 when standard input holds %s', (_, stdin, why) => {
    const { errorName, code, message } = failureOf(withStdin(stdin))
    expect([errorName, code]).toEqual(['ERR_DECODE', 6])
    expect(message).toMatch(/^error unmarshall network config: ./)
    expect(message).toContain(why)
  })

  it.each(['[]', 'null', '"text"', '5', 'true'])('fails with code 6 when standard input holds %s', (stdin) => {
    const { code, message } = failureOf(withStdin(stdin))
    expect([code, message]).toEqual([6, 'error unmarshall network config: the config must be a JSON object'])
  })

  it('fails with code 6 when standard input holds more than 4 MiB', () => {
    const { code, message } = failureOf(withStdin(' '.repeat(4 * 1024 * 1024 + 1)))
    expect([code, message]).toEqual([6, 'error unmarshall network config: longer than 4194304 characters'])
  })

  it.each([
    ['none', { name: undefined }, 'missing network name', ''],
    ['an empty one', { name: '' }, 'missing network name', ''],
    ['null', { name: null }, 'missing network name', ''],
    ['one with a slash', { name: 'a/b' }, 'invalid characters found in network name', 'a/b'],
    ['one that climbs', { name: '../../x' }, 'invalid characters found in network name', '../../x'],
    ['one that starts with a dot', { name: '.hidden' }, 'invalid characters found in network name', '.hidden'],
    ['one that starts with a dash', { name: '-rf' }, 'invalid characters found in network name', '-rf'],
    ['one with a comma', { name: 'a,b' }, 'invalid characters found in network name', 'a,b'],
    ['one with a newline', { name: 'a\n' }, 'invalid characters found in network name', 'a\n'],
    ['one with a zero byte', { name: 'a\0b' }, 'invalid characters found in network name', 'a\0b'],
    ['one of other letters', { name: 'n\u00e4he' }, 'invalid characters found in network name', 'n\u00e4he'],
    [
      'one too long for a file name',
      { name: 'n'.repeat(101) },
      'network name is too long',
      `the name is "${'n'.repeat(101)}", at most 100 bytes are allowed`,
    ],
  ])('fails with code 7 when the network name is %s', (_, config, message, details) => {
    const failure = failureOf(() => requestOf(config))
    expect([failure.code, failure.message, failure.details]).toEqual([7, message, details])
  })

  it.each(['a', '0', 'A.b_c-d', 'n'.repeat(100)])('takes the network name %s', (name) => {
    expect(requestOf({ name }).key.network).toBe(name)
  })

  it.each(['1.1', '2.0.0', '1.1.0\n', 'latest'])('fails with code 1 when the version is %j', (cniVersion) => {
    const { code, message, details } = failureOf(() => requestOf({ cniVersion }))
    expect([code, message]).toEqual([1, 'incompatible CNI versions'])
    expect(details).toBe(`config is "${cniVersion}", plugin supports [${supported}]`)
  })

  it.each([
    ['absent', { cniVersion: undefined }],
    ['empty', { cniVersion: '' }],
    ['null', { cniVersion: null }],
  ])('speaks 0.1.0 when the version is %s', (_, config) => {
    expect(requestOf(config).version).toBe('0.1.0')
  })

  it.each([
    ['CHECK', '0.3.1', '0.4.0'],
    ['GC', '1.0.0', '1.1.0'],
    ['STATUS', '1.0.0', '1.1.0'],
  ])('fails with code 1 when the verb is %s and the version %s, not %s', (CNI_COMMAND, tooOld, since) => {
    const { code, message, details } = failureOf(() => requestOf({ cniVersion: tooOld }, { CNI_COMMAND }))
    expect([code, message]).toEqual([1, `config version does not allow ${CNI_COMMAND}`])
    expect(details).toBe(`config is "${tooOld}"`)
    expect(requestOf({ cniVersion: since }, { CNI_COMMAND }).verb).toBe(CNI_COMMAND)
  })

  it.each([
    ['cniVersion', { cniVersion: 1 }, 'Cannot read "cniVersion": 1: must be string'],
    ['name', { name: 5 }, 'Cannot read "name": 5: must be string'],
    ['ipam', { ipam: 'host-local' }, 'Cannot read "ipam": "host-local": must be an object'],
    [
      'runtimeConfig.ips',
      { runtimeConfig: { ips: '10.0.0.7' } },
      'Cannot read "runtimeConfig.ips": "10.0.0.7": must be array',
    ],
    ['args.cni.mac', { args: { cni: { mac: 2 } } }, 'Cannot read "args.cni.mac": 2: must be string'],
    [
      'cni.dev/valid-attachments',
      { 'cni.dev/valid-attachments': [{ containerID: 'c' }] },
      'Cannot read "cni.dev/valid-attachments.0.ifname": nothing: must be string',
    ],
  ])('fails with code 7 when %s has the wrong type', (_, config, message) => {
    const failure = failureOf(() => requestOf(config))
    expect([failure.code, failure.message]).toEqual([7, message])
  })
})

describe('parseRequest() of a DEL', () => {
  const broken = { dns: 5, runtimeConfig: { ips: 'x' }, args: 'x', 'cni.dev/valid-attachments': 'x', prevResult: [] }

  it.each(Object.entries(broken))('does not mind a broken "%s", which it does not need', (key, value) => {
    expect(requestOf({ [key]: value }, { CNI_COMMAND: 'DEL' }).key.network).toBe('storage')
  })

  it('knows which IPAM to tell, however the key is spelled', () => {
    expect(requestOf({ IPAM: { Type: 'host-local' } }, { CNI_COMMAND: 'DEL' }).config.ipam?.type).toBe('host-local')
  })

  it.each<[object, string]>([
    [{ ipam: 5 }, 'Cannot read "ipam": 5: must be an object'],
    [{ name: '../x' }, 'invalid characters found in network name'],
    [{ cniVersion: '1.1' }, 'incompatible CNI versions'],
  ])('refuses %j, which it needs', (config, message) => {
    expect(failureOf(() => requestOf(config, { CNI_COMMAND: 'DEL' })).message).toBe(message)
  })
})

describe('parseConfig()', () => {
  it('makes a key of its own of "__proto__", and changes no prototype', () => {
    const config = parseConfig('{"__proto__": {"master": "eth0"}}')
    expect(Object.hasOwn(config, '__proto__')).toBe(true)
    expect(config).not.toHaveProperty('master')
    expect({}).not.toHaveProperty('master')
  })

  it('takes a config of exactly 4 MiB', () => {
    const text = JSON.stringify({ ...plainConfig, filler: '' })
    const filled = text.replace('""', `"${'x'.repeat(4 * 1024 * 1024 - text.length)}"`)
    expect(parseConfig(filled).name).toBe('storage')
  })
})
