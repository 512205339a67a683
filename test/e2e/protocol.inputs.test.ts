/** What a call may carry besides its config: versions to choose from, keys in other capitals, arguments, capabilities, traces. */
import { chmodSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { binaries, type CallOptions, Host, type Pod } from './host.ts'
import { failureOf, kernelLink, silence, versions } from './protocol.ts'

/** ADD, which must be silent but for its result; then `look`; then DEL, after which nothing is left. */
function attached(
  host: Host,
  pod: Pod,
  config: object,
  look: (result: ReturnType<Host['add']>) => void,
  options: CallOptions = {},
): void {
  const answer = host.call('ADD', pod, config, options)
  expect(answer).toMatchObject({ exitCode: 0, stderr: '' })
  look(JSON.parse(answer.stdout))
  expect(host.call('DEL', pod, config, options)).toEqual(silence)
  expect(host.leftovers()).toEqual([])
}

/** What libcni does with a conflist that lists versions: the greatest one that both sides know. */
function negotiated(host: Host, pod: Pod, listed: readonly string[]): string | undefined {
  const { supportedVersions } = JSON.parse(host.call('VERSION', pod, '').stdout)
  return versions.findLast((version) => listed.includes(version) && supportedVersions.includes(version))
}

test.each([
  [['0.3.1'], '0.3.1'],
  [['0.4.0', '1.0.0', '2.0.0'], '1.0.0'],
  [['1.1.0', '0.4.0'], '1.1.0'],
])('ADD answers in the version a runtime chose when the network lists %j', (cniVersions, chosen) => {
  using host = new Host()
  const pod = host.pod()
  const cniVersion = negotiated(host, pod, cniVersions)
  expect(cniVersion).toBe(chosen)
  attached(host, pod, host.config({ cniVersion, cniVersions }), (result) => expect(result.cniVersion).toBe(chosen))
})

test.each([undefined, '', null])(
  'ADD answers in 0.1.0 when the cniVersion is %j, whatever cniVersions says',
  (cniVersion) => {
    using host = new Host()
    const config = host.config({ cniVersion, cniVersions: ['1.0.0', '1.1.0'] })
    attached(host, host.pod(), config, (result) =>
      expect(result).toEqual({ cniVersion: '0.1.0', ip4: { ip: '10.20.0.10/24' }, dns: {} }),
    )
  },
)

test('every verb reads the keys when they are in other capitals, and an exact one goes before them', () => {
  using host = new Host()
  const pod = host.pod()
  const mac = '02:00:00:00:00:2A'
  const ipam = { TYPE: 'berth-ipam', Range: '10.20.0.0/24', ROUTES: [{ DST: '10.50.0.0/16', Gw: '10.20.0.1' }] }
  const config = {
    ...{
      CNIVERSION: '1.1.0',
      NAME: 'net-a',
      Type: 'berth-macvlan',
      MASTER: host.nic,
      Mode: 'vepa',
      MTU: 9000,
      mtu: 1400,
    },
    ...{ IPAM: ipam, DNS: { NameServers: ['10.20.0.53'] }, RuntimeConfig: { MAC: mac, IPS: ['10.20.0.77'] } },
  }
  attached(host, pod, config, (result) => {
    expect(result).toMatchObject({ cniVersion: '1.1.0', dns: { nameservers: ['10.20.0.53'] } })
    expect(result.ips).toEqual([{ interface: 0, address: '10.20.0.77/24' }])
    expect(result.routes).toEqual([{ dst: '10.50.0.0/16', gw: '10.20.0.1' }])
    const link = kernelLink(pod)
    expect(link).toMatchObject({ mtu: 1400, address: mac.toLowerCase(), linkinfo: { info_data: { mode: 'vepa' } } })
    expect(host.call('STATUS', pod, config)).toEqual(silence)
    const PREVRESULT = {
      CniVersion: '1.1.0',
      INTERFACES: result.interfaces?.map(({ name, mac }) => ({ Name: name, Mac: mac })),
      IPs: [{ Address: '10.20.0.77/24', Interface: 0 }],
    }
    expect(host.call('CHECK', pod, { ...config, PREVRESULT })).toEqual(silence)
    const other = { ...PREVRESULT, IPs: [{ Address: '10.20.0.78/24', Interface: 0 }] }
    expect(failureOf(host.call('CHECK', pod, { ...config, PREVRESULT: other })).msg).toContain('10.20.0.78/24')
    const valid = { 'CNI.dev/Valid-Attachments': [{ CONTAINERID: pod.containerId, IfName: 'net1' }] }
    expect(host.call('GC', pod, { ...config, ...valid })).toEqual(silence)
    expect(kernelLink(pod)).toEqual(link)
  })
})

const k8s = 'K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web-0;K8S_POD_INFRA_CONTAINER_ID=ctr-0;K8S_POD_UID=b0a7'

/** CNI_ARGS that an ADD takes, and the address and the MAC that it then has. */
const taken: [string, { address?: string; mac?: string }][] = [
  ['', {}],
  ['IP=10.20.0.15;MAC=02:00:00:00:00:31', { address: '10.20.0.15/24', mac: '02:00:00:00:00:31' }],
  ['MAC=02-00-00-00-00-31', { mac: '02:00:00:00:00:31' }],
  [k8s, {}],
  [`IgnoreUnknown=1;FOO=1;${k8s};IP=10.20.0.15`, { address: '10.20.0.15/24' }],
  ['FOO=1;IgnoreUnknown=true', {}],
  ['FOO=1;IgnoreUnknown=TRUE;ip=10.20.0.15', {}],
  ['IgnoreUnknown=false;IP=10.20.0.15', { address: '10.20.0.15/24' }],
]

test.each(taken)('ADD does as CNI_ARGS %j says', (CNI_ARGS, { address = '10.20.0.10/24', mac }) => {
  using host = new Host()
  const pod = host.pod()
  const look = ({ ips, interfaces }: ReturnType<Host['add']>): void => {
    expect(ips?.[0]?.address).toBe(address)
    expect(interfaces?.[0]?.mac).toBe(kernelLink(pod).address)
    if (mac !== undefined) expect(kernelLink(pod).address).toBe(mac)
  }
  attached(host, pod, host.config(), look, { environment: { CNI_ARGS } })
})

/** CNI_ARGS that every plugin refuses in an ADD, and what the message names. */
const refused: [string, string][] = [
  ['FOO=1', '["FOO=1"]'],
  ['IP=10.20.0.15;FOO=1;BAR=2', '["FOO=1","BAR=2"]'],
  ['IgnoreUnknown=0;FOO=1', '["FOO=1"]'],
  ['ip=10.20.0.15', '["ip=10.20.0.15"]'],
  ['IgnoreUnknown=yes', '"yes"'],
  ['bad', '"bad"'],
  ['IP=10.20.0.15;', '""'],
  ['=10.20.0.15', '"=10.20.0.15"'],
]

test.each(refused)('ADD refuses CNI_ARGS %j, and a DEL with them removes all the same', (CNI_ARGS, named) => {
  using host = new Host()
  const pod = host.pod()
  const options = { environment: { CNI_ARGS } }
  for (const plugin of ['berth-macvlan', 'berth-ipam']) {
    const { code, msg } = failureOf(host.call('ADD', pod, host.config(), { ...options, plugin }))
    expect(code).toBe(4)
    expect(msg).toContain(named)
    expect(host.leftovers()).toEqual([])
  }
  host.add(pod, host.config())
  expect(host.call('DEL', pod, host.config(), options)).toEqual(silence)
})

/** Everything that the conventions, Multus and SR-IOV tools put into a config beside a plugin's own keys. */
const capabilities = {
  ...{ ips: true, mac: true, ipRanges: true, dns: true, deviceID: true, CNIDeviceInfoFile: true },
  ...{ portMappings: true, bandwidth: true, infinibandGUID: true, aliases: true, cgroupPath: true },
}
const deviceInfoFile = '/var/run/k8s.cni.cncf.io/devinfo/cni/net-a-device.json'
const runtimeConfig = {
  ...{ ips: ['10.20.0.15/24'], mac: '02:00:00:00:00:31', dns: { nameservers: ['10.20.0.54'], searches: ['x'] } },
  ...{ ipRanges: [[{ subnet: '10.20.0.0/24' }]], deviceID: '0000:03:02.1', CNIDeviceInfoFile: deviceInfoFile },
  ...{ portMappings: [{ hostPort: 80, containerPort: 80 }], bandwidth: { ingressRate: 1 }, infinibandGUID: 'c2:11' },
  ...{ aliases: { 'net-a': ['web'] }, cgroupPath: '/kubelet/pod' },
}
const labels = [{ key: 'app', value: 'web' }]

test('every verb takes all capabilities, args and foreign keys without a warning', () => {
  using host = new Host()
  const pod = host.pod()
  const args = { cni: { labels, ips: ['10.20.0.16/24'], mac: '02:00:00:00:00:32', sysctl: {} }, 'other.example': 1 }
  const foreign = { deviceID: '0000:03:02.1', disableCheck: false, disableGC: false, loadOnlyInlinedPlugins: false }
  const config = host.config({ capabilities, runtimeConfig, args, ...foreign })
  attached(host, pod, config, (prevResult) => {
    expect(prevResult.ips).toEqual([{ interface: 0, address: '10.20.0.15/24' }])
    expect(kernelLink(pod).address).toBe('02:00:00:00:00:31')
    expect(host.call('CHECK', pod, { ...config, prevResult })).toEqual(silence)
    expect(host.call('STATUS', pod, config)).toEqual(silence)
    const valid = [{ containerID: pod.containerId, ifname: 'net1' }]
    expect(
      host.call('GC', pod, { ...config, 'cni.dev/valid-attachments': valid, 'cni.dev/attachments': valid }),
    ).toEqual(silence)
  })
  const ipam = { type: 'berth-ipam', ranges: [[{ subnet: '10.21.0.0/24' }]] }
  attached(
    host,
    pod,
    {
      ...config,
      ipam,
      runtimeConfig: { ...runtimeConfig, ips: [], ipRanges: [[{ subnet: '10.22.0.0/24' }]] },
      args: {},
    },
    ({ ips }) => expect(ips?.map(({ address }) => address)).toEqual(['10.22.0.2/24', '10.21.0.2/24']),
    { plugin: 'berth-ipam' },
  )
})

test('ADD takes the addresses of args.cni before those of CNI_ARGS, and the MAC of CNI_ARGS, when there is no runtimeConfig', () => {
  using host = new Host()
  const pod = host.pod()
  const config = host.config({ args: { cni: { labels, ips: ['10.20.0.16'], mac: '02:00:00:00:00:32' } } })
  const look = ({ ips }: ReturnType<Host['add']>): void => {
    expect(ips?.[0]?.address).toBe('10.20.0.16/24')
    expect(kernelLink(pod).address).toBe('02:00:00:00:00:33')
  }
  attached(host, pod, config, look, { environment: { CNI_ARGS: 'IP=10.20.0.17;MAC=02:00:00:00:00:33' } })
})

test.each(['berth-macvlan', 'berth-ipam'])(
  '%s prints what it is on stderr when called without CNI_COMMAND',
  (plugin) => {
    using host = new Host()
    const pod = host.pod()
    const about = `CNI ${plugin} plugin \\S+\nCNI protocol versions supported: ${versions.join(', ')}\n`
    // Other variables are not looked at, nor is the input.
    const hostile = { CNI_CONTAINERID: '../x', CNI_ARGS: 'bad', CNI_NETNS: '' }
    for (const environment of [{}, hostile]) {
      const answer = host.call('', pod, '{', { plugin, environment })
      expect(answer).toMatchObject({ exitCode: 0, stdout: '' })
      expect(answer.stderr).toMatch(new RegExp(`^${about}$`))
    }
  },
)

const trace = {
  TRACEPARENT: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
  TRACESTATE: 'vendor=a;b,other=1',
  BAGGAGE: 'user=alice,region=eu%20west',
}

test('every verb tolerates the variables of a trace, and a delegate gets them', () => {
  using host = new Host()
  const pod = host.pod()
  const seen = join(host.dataDir, 'environment')
  const result = '{"cniVersion":"1.1.0","ips":[{"address":"10.20.0.5/24"}]}'
  const script = join(host.dataDir, 'tracing-ipam')
  writeFileSync(script, `#!/bin/sh\nenv >>${seen}\n[ $CNI_COMMAND != ADD ] || echo '${result}'\n`)
  chmodSync(script, 0o755)
  const options = { environment: { ...trace, CNI_PATH: `${binaries}:${host.dataDir}` } }
  for (const ipam of [host.config().ipam, { type: 'tracing-ipam' }]) {
    const valid = { 'cni.dev/valid-attachments': [{ containerID: pod.containerId, ifname: 'net1' }] }
    const config = host.config({ ipam, ...valid })
    const look = (prevResult: object): void => {
      for (const verb of ['CHECK', 'STATUS', 'GC', 'VERSION']) {
        const answer = host.call(verb, pod, { ...config, prevResult }, options)
        expect(answer).toMatchObject({ exitCode: 0, stderr: '' })
      }
    }
    attached(host, pod, config, look, options)
  }
  const lines = readFileSync(seen, 'utf8').split('\n')
  for (const [name, value] of Object.entries(trace)) {
    expect(lines.filter((line) => line === `${name}=${value}`)).toHaveLength(
      ['ADD', 'CHECK', 'STATUS', 'GC', 'DEL'].length,
    )
  }
})
