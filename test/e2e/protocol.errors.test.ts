/**
 * The errors of broken calls beside those of the reference library, in Debian's macvlan plugin (containernetworking-plugins
 * 1.1, library 1.0): the same code, message and details, or a difference that is meant and says why.
 */
import { afterAll, expect, test } from 'vitest'
import { type Answer, Host, ip, type Pod } from './host.ts'

interface Broken {
  readonly when: string
  readonly verb?: string
  readonly environment?: Record<string, string>
  /** Keys over those of a config that works, or a text in its place. */
  readonly config?: object | string
}

/** `code`, `msg` and `details` are compared; an expectation of either side may use asymmetric matchers. */
interface Different extends Broken {
  readonly because: string
  readonly reference: object | 'success'
  readonly ours: object | 'success'
}

const attachment = ['CNI_CONTAINERID', 'CNI_NETNS', 'CNI_IFNAME', 'CNI_PATH']
const needed = { ADD: attachment, CHECK: attachment, DEL: attachment.filter((name) => name !== 'CNI_NETNS') }
const none = Object.fromEntries(attachment.map((name) => [name, '']))

const same: Broken[] = [
  ...Object.entries(needed).flatMap(([verb, names]) => [
    ...names.map((name) => ({ when: `${verb} without ${name}`, verb, environment: { [name]: '' } })),
    { when: `${verb} without any variable`, verb, environment: none },
  ]),
  ...['../x', 'a b', '-a', '.a', '_a', 'a/b', 'a\n', 'ä'].map((id) => ({
    when: `a container ID ${JSON.stringify(id)}`,
    environment: { CNI_CONTAINERID: id },
  })),
  ...['FOO', 'add'].map((verb) => ({ when: `the command ${verb}`, verb })),
  { when: 'an unknown command in an unknown version', verb: 'FOO', config: { cniVersion: '9' } },
  { when: 'an unknown command on a network without a name', verb: 'FOO', config: { name: '' } },
  ...['', 'a/b', '-a', 'a b', 'a\n', null].map((name) => ({
    when: `the network name ${JSON.stringify(name)}`,
    config: { name },
  })),
  { when: 'a second network name that is bad', config: '{"cniVersion":"1.0.0","name":"a","name":"b!"}' },
]

const ifName = (name: string, msg: string, rule = ''): Different => ({
  when: `the interface name ${JSON.stringify(name)}`,
  environment: { CNI_IFNAME: name },
  because: 'the details name the value, which the reference keeps to itself',
  reference: { code: 4, msg, ...(rule === '' ? {} : { details: rule }) },
  ours: { code: 4, msg, details: `${rule === '' ? '' : `${rule}; `}CNI_IFNAME is ${JSON.stringify(name)}` },
})
const tooLong = ['interface name is too long', 'interface name should be less than 16 characters'] as const
const badCharacter = 'interface name contains / or : or whitespace characters'

const known = '"0.1.0" "0.2.0" "0.3.0" "0.3.1" "0.4.0" "1.0.0"'
const version = (cniVersion: string, verb: string, reference?: object): Different => ({
  when: `${verb} in version ${cniVersion}`,
  verb,
  config: { cniVersion },
  because: reference === undefined ? 'ours speaks 1.1.0 as well' : 'ours judges the version before the verb',
  reference: reference ?? {
    code: 1,
    msg: 'incompatible CNI versions',
    details: `config is "${cniVersion}", plugin supports [${known}]`,
  },
  ours: {
    code: 1,
    msg: 'incompatible CNI versions',
    details: `config is "${cniVersion}", plugin supports [${known} "1.1.0"]`,
  },
})
const cannotCheck = { code: 1, msg: 'plugin version does not allow CHECK' }

const undecoded = (when: string, config: string, words: string, ours: string): Different => ({
  when,
  config,
  because: 'the words after the colon are those of the JSON reader',
  reference: { code: 6, msg: `error unmarshall network config: ${words}` },
  ours: { code: 6, msg: expect.stringMatching(`^error unmarshall network config: ${ours}`) },
})
const goStruct = 'Go value of type struct { Name string "json:\\"name\\"" }'

const typed = (when: string, config: object, reference: string, ours: string): Different => ({
  when,
  config,
  because: 'the reference has code 999 for whatever its plugins find, ours the code for a bad config and the value',
  reference: { code: 999, msg: reference },
  ours: { code: 7, msg: ours },
})

const args = (text: string, reference: string, ours: string): Different => ({
  when: `CNI_ARGS ${JSON.stringify(text)}`,
  environment: { CNI_ARGS: text },
  because: 'a variable is bad, which is code 4; and the message names the variable',
  reference: { code: 999, msg: reference },
  ours: { code: 4, msg: ours },
})

const different: Different[] = [
  ifName('abcdefghijklmnop', ...tooLong),
  ifName('ääääääää', ...tooLong),
  ...['.', '..'].map((name) => ifName(name, 'interface name is . or ..')),
  ...['a/b', 'a:b', 'a b', 'a\tb', 'a\n', 'a\u00a0b'].map((name) => ifName(name, badCharacter)),
  {
    when: 'the interface name "net%d"',
    environment: { CNI_IFNAME: 'net%d' },
    because: 'the kernel takes it for a pattern, and the reference leaves the link "net0" behind',
    reference: { code: 999, msg: 'failed to refetch macvlan "net%d": Link not found' },
    ours: { code: 4, msg: 'interface name contains %', details: 'CNI_IFNAME is "net%d"' },
  },
  {
    when: 'a bad container ID and no namespace',
    environment: { CNI_CONTAINERID: '../x', CNI_NETNS: '' },
    because: 'the library of today judges a value before it lists what is missing',
    reference: { code: 4, msg: 'required env variables [CNI_NETNS] missing' },
    ours: { code: 4, msg: 'invalid characters in containerID', details: '../x' },
  },
  {
    when: 'an unknown command without any variable',
    verb: 'FOO',
    environment: none,
    because: 'the library of today judges the variables of the verbs that need them',
    reference: { code: 3, msg: 'missing containerID' },
    ours: { code: 4, msg: 'unknown CNI_COMMAND: FOO' },
  },
  ...['GC', 'STATUS'].map((verb) => ({
    when: `the command ${verb} in version 1.0.0`,
    verb,
    because: 'Debian’s knows no verb of 1.1.0',
    reference: { code: 4, msg: `unknown CNI_COMMAND: ${verb}` },
    ours: { code: 1, msg: `config version does not allow ${verb}`, details: 'config is "1.0.0"' },
  })),
  ...['0.1.0', '0.3.1', ''].map((cniVersion) => ({
    when: `CHECK in version "${cniVersion}"`,
    verb: 'CHECK',
    config: { cniVersion },
    because: 'the details name the value',
    reference: { code: 1, msg: 'config version does not allow CHECK' },
    ours: {
      code: 1,
      msg: 'config version does not allow CHECK',
      details: `config is "${cniVersion || '0.1.0'}"`,
    },
  })),
  ...['2.0.0', '1.1', '0.5.0', 'v1.0.0'].flatMap((one) => [version(one, 'ADD'), version(one, 'DEL')]),
  version('2.0.0', 'CHECK', cannotCheck),
  version('1.1', 'CHECK', cannotCheck),
  version('v1.0.0', 'CHECK', {
    code: 6,
    msg: 'failed to convert major version part "v1": strconv.Atoi: parsing "v1": invalid syntax',
  }),
  undecoded('no config', '', 'unexpected end of JSON input', 'Unexpected end of JSON input'),
  undecoded('a config cut short', '{"cniVersion":', 'unexpected end of JSON input', 'Unexpected end of JSON input'),
  undecoded('words after it', '{"name":"a"} x', "invalid character 'x' after top-level value", 'Unexpected non-white'),
  undecoded('a list', '[]', `json: cannot unmarshal array into ${goStruct}`, 'the config must be a JSON object'),
  undecoded('a text', '"x"', `json: cannot unmarshal string into ${goStruct}`, 'the config must be a JSON object'),
  {
    when: 'the config null',
    config: 'null',
    because: 'to Go it is an empty object',
    reference: { code: 7, msg: 'missing network name' },
    ours: { code: 6, msg: 'error unmarshall network config: the config must be a JSON object' },
  },
  ...[
    ['name', 'json: cannot unmarshal number into Go struct field .name of type string'],
    ['cniVersion', 'json: cannot unmarshal number into Go struct field .cniVersion of type string'],
  ].map(([key = '', words]) => ({
    when: `a number as ${key}`,
    config: { [key]: 5 },
    because: 'it is JSON and can be read: what is wrong is the config',
    reference: { code: 6, msg: expect.stringContaining(words ?? '') },
    ours: { code: 7, msg: `Cannot read "${key}": 5: must be string` },
  })),
  args('bad', 'ARGS: invalid pair "bad"', 'CNI_ARGS: invalid pair "bad"'),
  args('IgnoreUnknown=1;', 'ARGS: invalid pair ""', 'CNI_ARGS: invalid pair ""'),
  args('FOO=1', 'ARGS: unknown args ["FOO=1"]', 'CNI_ARGS: unknown args ["FOO=1"]'),
  args('FOO=1;BAR=2', 'ARGS: unknown args ["FOO=1" "BAR=2"]', 'CNI_ARGS: unknown args ["FOO=1","BAR=2"]'),
  args(
    'mac=02:00:00:00:00:01',
    'ARGS: unknown args ["mac=02:00:00:00:00:01"]',
    'CNI_ARGS: unknown args ["mac=02:00:00:00:00:01"]',
  ),
  args(
    'IgnoreUnknown=x',
    'ARGS: error parsing value of pair "IgnoreUnknown=x": boolean unmarshal error: invalid input x',
    'CNI_ARGS: IgnoreUnknown is "x": must be 1, true, 0 or false',
  ),
  {
    when: 'a DEL with CNI_ARGS that cannot be read',
    verb: 'DEL',
    environment: { CNI_ARGS: 'bad' },
    because: 'what only an ADD uses must not keep a DEL from cleaning up',
    reference: { code: 999, msg: 'ARGS: invalid pair "bad"' },
    ours: 'success',
  },
  {
    when: 'a DEL of a namespace that is a plain file',
    verb: 'DEL',
    environment: { CNI_NETNS: '/etc/hostname' },
    because: 'a bind mount that is gone leaves such a file: there is nothing to remove',
    reference: { code: 999, msg: expect.stringMatching(/^unknown FS magic on "\/etc\/hostname"/) },
    ours: 'success',
  },
  typed(
    'an MTU above the master’s',
    { mtu: 9000 },
    'invalid MTU 9000, must be [0, master MTU(1500)]',
    'Cannot use mtu 9000: must be 0 to 1500, the MTU of master "nic0"',
  ),
  typed(
    'an unknown mode',
    { mode: 'source' },
    'unknown macvlan mode: "source"',
    'Cannot read "mode": "source": must be one of bridge, private, vepa, passthru',
  ),
  typed(
    'no such master',
    { master: 'absent0' },
    'Link not found',
    'Cannot find master "absent0": the host has no such link',
  ),
  typed(
    'no default route',
    { master: '' },
    'no default route interface found',
    'Cannot choose a master: none is named and the host has no default route',
  ),
  typed(
    'a MAC that is none',
    { mac: 'xx' },
    'invalid args xx for MAC addr: address xx: invalid MAC address',
    'Cannot use mac "xx": write six bytes as "02:00:00:00:00:01", or "fromIP"',
  ),
  {
    when: 'a CHECK without prevResult',
    verb: 'CHECK',
    because: 'the reference has code 999 for it, and a capital',
    reference: { code: 999, msg: 'Required prevResult missing' },
    ours: { code: 7, msg: 'required prevResult missing' },
  },
]

const working = { cniVersion: '1.0.0', name: 'net-a', type: 'macvlan', master: 'nic0' }

/** The error without its cniVersion, which the reference leaves out; `success` when there was none. */
function errorOf({ exitCode, stdout }: Answer): object | 'success' {
  if (exitCode === 0) return 'success'
  expect(exitCode).toBe(1)
  const { cniVersion: _, ...error } = JSON.parse(stdout)
  return error
}

/** One node for the whole table, with a pod for each plugin: no row leaves anything for the next one. */
const host = new Host()
const pods = { ours: host.pod(), reference: host.pod() }
afterAll(() => host[Symbol.dispose]())

/** The errors of both plugins for the same call; ours leaves nothing, and what the reference leaves is removed. */
function errorsOfBoth({ verb = 'ADD', environment = {}, config = {} }: Broken) {
  const input = typeof config === 'string' ? config : { ...working, ...config }
  const ask = (pod: Pod, plugin: string) => errorOf(host.call(verb, pod, input, { plugin, environment }))
  const ours = ask(pods.ours, 'berth-macvlan')
  expect(host.leftovers()).toEqual([])
  const reference = ask(pods.reference, '/usr/lib/cni/macvlan')
  for (const link of host.linksOf(pods.reference.name)) ip('-n', pods.reference.name, 'link', 'del', link)
  return { ours, reference }
}

test.each(same)('berth-macvlan answers as the reference does when the call has $when', (broken) => {
  const { ours, reference } = errorsOfBoth(broken)
  expect(reference).toMatchObject({ code: expect.any(Number) })
  expect(ours).toEqual(reference)
})

test.each(different)('berth-macvlan differs from the reference when the call has $when: $because', (broken) => {
  const both = errorsOfBoth(broken)
  expect(both).toEqual({ ours: broken.ours, reference: broken.reference })
  expect(both.ours).not.toEqual(both.reference)
})
