import { describe, expect, it } from 'vitest'
import { type Environment, parseRequest } from '../../../shared/cni/request.ts'
import { failureOf } from '../failures.ts'
import { environmentOfAdd, plainConfig, requestOf } from './requests.ts'

const failureIn = (environment: Environment) => failureOf(() => requestOf({}, environment))

const tooLong = 'interface name is too long'
const dots = 'interface name is . or ..'
const characters = 'interface name contains / or : or whitespace characters'

describe('parseRequest() of an environment', () => {
  it.each([
    ['ADD', 'CNI_CONTAINERID,CNI_NETNS,CNI_IFNAME,CNI_PATH'],
    ['CHECK', 'CNI_CONTAINERID,CNI_NETNS,CNI_IFNAME,CNI_PATH'],
    ['DEL', 'CNI_CONTAINERID,CNI_IFNAME,CNI_PATH'],
    ['GC', 'CNI_PATH'],
    ['STATUS', 'CNI_PATH'],
  ])('names all variables that %s misses, in one error', (CNI_COMMAND, names) => {
    for (const absent of [undefined, '']) {
      const nothing = { CNI_CONTAINERID: absent, CNI_NETNS: absent, CNI_IFNAME: absent, CNI_PATH: absent }
      const { errorName, code, message, details } = failureIn({ ...nothing, CNI_COMMAND })
      expect([errorName, code, details]).toEqual(['ERR_ENVIRONMENT', 4, ''])
      expect(message).toBe(`required env variables [${names}] missing`)
    }
  })

  it('names CNI_COMMAND when there is none', () => {
    expect(failureIn({ CNI_COMMAND: undefined }).message).toBe('required env variables [CNI_COMMAND] missing')
  })

  it.each([
    ['DEL', { CNI_NETNS: '' }],
    ['GC', { CNI_CONTAINERID: '', CNI_NETNS: '', CNI_IFNAME: '' }],
    ['STATUS', { CNI_CONTAINERID: '', CNI_NETNS: '', CNI_IFNAME: '' }],
  ])('does without what %s does not need', (CNI_COMMAND, environment) => {
    expect(requestOf({}, { ...environment, CNI_COMMAND })).toMatchObject({ verb: CNI_COMMAND, netnsPath: '' })
  })

  it.each(['GC', 'STATUS'])('does not judge what %s does not use', (CNI_COMMAND) => {
    expect(requestOf({}, { CNI_COMMAND, CNI_CONTAINERID: '../x', CNI_IFNAME: 'a/b' }).verb).toBe(CNI_COMMAND)
  })

  it.each(['../../x', 'a/b', '.a', '-a', 'a b', 'a\n', 'a\0', 'a,b', 'a;b', '\u00e4'])(
    'refuses the container ID %j',
    (CNI_CONTAINERID) => {
      const { code, message, details } = failureIn({ CNI_CONTAINERID })
      expect([code, message, details]).toEqual([4, 'invalid characters in containerID', CNI_CONTAINERID])
    },
  )

  it('refuses a container ID of more than 128 bytes', () => {
    const { code, message, details } = failureIn({ CNI_CONTAINERID: 'c'.repeat(129) })
    expect([code, message]).toEqual([4, 'containerID is too long'])
    expect(details).toBe(`CNI_CONTAINERID is "${'c'.repeat(129)}", at most 128 bytes are allowed`)
    expect(requestOf({}, { CNI_CONTAINERID: 'c'.repeat(128) }).key.containerId).toHaveLength(128)
  })

  it.each([
    ['16 bytes', 'abcdefghijklmnop', tooLong],
    ['16 bytes in 8 letters', '\u00e4'.repeat(8), tooLong],
    ['16 bytes in 4 letters', '\u{1F6A2}'.repeat(4), tooLong],
    ['a path', '../../../etc/x', characters],
    ['a dot', '.', dots],
    ['two dots', '..', dots],
    ['a slash', 'a/b', characters],
    ['a colon', 'eth0:1', characters],
    ['a space', 'a b', characters],
    ['a tab', 'a\tb', characters],
    ['a newline', 'net1\n', characters],
    ['a zero byte', 'net1\0', characters],
    ['an escape character', 'a\u001b[2J', characters],
    ['a delete character', 'a\u007f', characters],
    ['a no-break space', 'a\u00a0b', characters],
    ['a next-line character', 'a\u0085b', characters],
    ['a pattern of the kernel', 'net%d', 'interface name contains %'],
  ])('refuses an interface name of %s', (_, CNI_IFNAME, wanted) => {
    const { code, message, details } = failureIn({ CNI_IFNAME })
    const rule = wanted === tooLong ? 'interface name should be less than 16 characters; ' : ''
    expect([code, message]).toEqual([4, wanted])
    expect(details).toBe(`${rule}CNI_IFNAME is ${JSON.stringify(CNI_IFNAME)}`)
  })

  it.each(['a', 'abcdefghijklmno', 'eth0.100', '\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4', '...', 'a,b'])(
    'takes the interface name %s',
    (CNI_IFNAME) => {
      expect(requestOf({}, { CNI_IFNAME }).key.ifName).toBe(CNI_IFNAME)
    },
  )

  it.each(['FOO', 'add', 'Del', 'ADD ', 'VERSION', 'constructor'])('refuses the command %j', (CNI_COMMAND) => {
    const { code, message } = failureIn({ CNI_COMMAND })
    expect([code, message]).toEqual([4, `unknown CNI_COMMAND: ${CNI_COMMAND}`])
  })

  it.each(['ADD', 'CHECK'])('passes on what CNI_ARGS is refused for when the verb is %s', (CNI_COMMAND) => {
    const failure = failureIn({ CNI_COMMAND, CNI_ARGS: 'bad' })
    expect([failure.code, failure.message]).toEqual([4, 'CNI_ARGS: invalid pair "bad"'])
  })

  it.each(['DEL', 'GC', 'STATUS'])('does not mind broken CNI_ARGS when the verb is %s', (CNI_COMMAND) => {
    expect(requestOf({}, { CNI_COMMAND, CNI_ARGS: 'bad' }).args).toEqual({})
  })
})

describe('parseRequest() of a call with several mistakes', () => {
  const call = (environment: Environment, stdin: string) => () =>
    parseRequest(
      { ...environmentOfAdd, ...environment },
      () => stdin,
      () => undefined,
    )
  const text = (config: object) => JSON.stringify({ ...plainConfig, ...config })

  it.each<[string, string, () => unknown, string]>([
    [
      'an invalid variable',
      'missing ones, before and after it',
      call({ CNI_CONTAINERID: '', CNI_IFNAME: 'a/b', CNI_PATH: '' }, text({})),
      characters,
    ],
    ['a missing variable', 'a broken config', call({ CNI_PATH: '' }, '{'), 'required env variables [CNI_PATH] missing'],
    [
      'a broken config',
      'an unknown command',
      call({ CNI_COMMAND: 'FOO' }, '[]'),
      'error unmarshall network config: the config must be a JSON object',
    ],
    ['a missing name', 'an unknown command', call({ CNI_COMMAND: 'FOO' }, text({ name: '' })), 'missing network name'],
    ['a missing name', 'an unknown version', call({}, text({ name: '', cniVersion: '2.0.0' })), 'missing network name'],
    [
      'an unknown command',
      'an unknown version',
      call({ CNI_COMMAND: 'FOO' }, text({ cniVersion: '2.0.0' })),
      'unknown CNI_COMMAND: FOO',
    ],
    [
      'an unknown version',
      'broken CNI_ARGS',
      call({ CNI_ARGS: 'bad' }, text({ cniVersion: '2.0.0' })),
      'incompatible CNI versions',
    ],
  ])('complains of %s before %s', (_first, _second, work, message) => {
    expect(failureOf(work).message).toBe(message)
  })

  it('does not read standard input when the environment is wrong', () => {
    const parse = () =>
      parseRequest(
        { ...environmentOfAdd, CNI_PATH: '' },
        () => expect.unreachable('standard input was read'),
        () => undefined,
      )
    expect(failureOf(parse).code).toBe(4)
  })
})
