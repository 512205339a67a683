import { expect, test } from 'vitest'
import { readCommandLine, usage } from '../../install/options.ts'

const read = (args: string, env: Record<string, string> = {}) =>
  readCommandLine(args === '' ? [] : args.split(' '), env, '/opt/berth')

test('readCommandLine() looks for the folders, and installs what is beside the program, when nothing is said', () => {
  expect(read('')).toEqual({
    hostRoot: '/',
    binDir: undefined,
    confDir: undefined,
    from: '/opt/berth',
    aliases: [],
    aliasPrimary: false,
    defaults: undefined,
    serviceAccount: undefined,
    force: false,
    uninstall: false,
    leases: undefined,
    dryRun: false,
  })
})

test('readCommandLine() reads the environment as other installers of plugins do, and flags before it', () => {
  const env = {
    CNI_BIN_DIR: '/host/opt/cni/bin/',
    CNI_CONF_DIR: '/host/etc/cni/net.d',
    BERTH_ALIASES: 'macvlan,whereabouts,,macvlan',
    BERTH_FORCE: 'true',
    HOST_ROOT: '/host',
  }
  expect(read('', env)).toMatchObject({
    binDir: '/host/opt/cni/bin',
    confDir: '/host/etc/cni/net.d',
    hostRoot: '/host',
    aliases: ['macvlan', 'whereabouts'],
    force: true,
  })
  expect(read('--cni-bin-dir=/b --cni-conf-dir /c --alias static --from /f', env)).toMatchObject({
    binDir: '/b',
    confDir: '/c',
    from: '/f',
    aliases: ['static'],
  })
})

test('readCommandLine() knows the API server by what a pod is told', () => {
  const host = (KUBERNETES_SERVICE_HOST: string, more = {}) =>
    read('', { KUBERNETES_SERVICE_HOST, ...more })?.serviceAccount
  expect(host('10.96.0.1')?.server).toBe('https://10.96.0.1:443')
  expect(host('fd00::1', { KUBERNETES_SERVICE_PORT: '6443' })?.server).toBe('https://[fd00::1]:6443')
  expect(host('a', { KUBE_CA_FILE: '/ca' })?.certificateFile).toBe('/ca')
  expect(host('a', { SKIP_TLS_VERIFY: 'true' })?.certificateFile).toBeUndefined()
  expect(read('--no-kubeconfig', { KUBERNETES_SERVICE_HOST: 'a' })?.serviceAccount).toBeUndefined()
  expect(read('--uninstall', { KUBERNETES_SERVICE_HOST: 'a' })?.serviceAccount).toBeUndefined()
})

test('readCommandLine() leaves out what an installation was wished to be when it is undone', () => {
  const env = { BERTH_ALIASES: 'macvlan,bridge', BERTH_DEFAULTS: '{' }
  expect(read('--uninstall', env)).toMatchObject({ aliases: [], defaults: undefined })
})

test('readCommandLine() removes leases only with what is told to', () => {
  expect(read('--uninstall --with-leases --data-dir /d')?.leases).toBe('/d')
  expect(read('--uninstall --with-leases')?.leases).toBe('/var/lib/cni/berth')
  expect(read('--uninstall')?.leases).toBeUndefined()
  expect(() => read('--with-leases')).toThrow('--with-leases is only for --uninstall')
})

test.each([
  ['--alias bridge', '--alias "bridge" is none of macvlan, ipvlan, sriov, whereabouts, host-local, static'],
  ['--cni-bin-dir bin', '--cni-bin-dir "bin" is not an absolute path'],
  ['--defaults {', '--defaults "{" is not JSON'],
  ['--defaults []', '--defaults "[]": Cannot read "the config": []: must be an object'],
  ['--defaults {"ipam":{"sticky":1}}', 'Cannot read "ipam.sticky": 1: must be boolean'],
  ['--defaults {"ipam":{"stiky":true}}', 'there is no key "ipam.stiky"'],
  ['--defaults {"range":1}', 'there is no key "range"'],
  ['--cni-bin', "Unknown option '--cni-bin'"],
])('readCommandLine() refuses %s', (args, message) => {
  expect(() => read(args)).toThrow(message)
})

test('readCommandLine() keeps the defaults as a file has them', () => {
  expect(read('', { BERTH_DEFAULTS: '{"ipam":{"cooldownSeconds":60}}' })?.defaults).toBe(
    '{\n  "ipam": {\n    "cooldownSeconds": 60\n  }\n}\n',
  )
})

test('readCommandLine() tells its options when it is asked, each of them', () => {
  expect(read('--help')).toBeUndefined()
  const lines = usage.split('\n')
  for (const option of [
    'cni-bin-dir',
    'alias',
    'defaults',
    'force',
    'uninstall',
    'with-leases',
    'dry-run',
    'host-root',
  ])
    expect(lines.some((line) => line.startsWith(`  --${option} `))).toBe(true)
})
