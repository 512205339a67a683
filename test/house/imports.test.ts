import { dirname, join, normalize } from 'node:path'
import { expect, test } from 'vitest'
import { programSources, readDocument, type Source, sources } from './sources.ts'

/** What a file imports: paths from the root without their ending, or module names. */
function importsOf({ path, text }: Source): string[] {
  const specifiers = [...text.matchAll(/^(?:import|export)[^'\n]*?(?:\n[^'\n]*?)*? from '([^']+)'|^import '([^']+)'/gm)]
  return specifiers
    .map((match) => match[1] ?? match[2] ?? '')
    .map((specifier) => (specifier.startsWith('.') ? normalize(join(dirname(path), specifier)) : specifier))
}

/** The rules, from the table in ARCHITECTURE.md: room -> what it may import besides itself and node: modules. */
const rules = new Map(
  [...readDocument('ARCHITECTURE.md').matchAll(/^\| `(\w+)` \| ([\w/, -]+) \|$/gm)].map((row) => [
    row[1] ?? '',
    (row[2] ?? '').split(', '),
  ]),
)

const roomOf = (path: string): string => path.replace(/\.ts$/, '').split('/')[0] ?? ''

function isAllowed(room: string, target: string): boolean {
  if (target.startsWith('node:')) return true
  if (!target.endsWith('.ts')) return (rules.get(room) ?? []).includes(target.split('/')[0] ?? '')
  const path = target.replace(/\.ts$/, '')
  if (roomOf(path) === room) return true
  return (rules.get(room) ?? []).some(
    (allowed) => path === allowed || (!allowed.includes('/') && path.startsWith(`${allowed}/`)),
  )
}

test('the import table of ARCHITECTURE.md has a rule for every room of the program', () => {
  expect([...rules.keys()].sort()).toEqual([...new Set(programSources.map(({ path }) => roomOf(path)))].sort())
})

test('every import is one that the table of ARCHITECTURE.md allows', () => {
  const forbidden = programSources.flatMap((source) =>
    importsOf(source)
      .filter((target) => !isAllowed(roomOf(source.path), target))
      .map((target) => `${source.path} imports ${target}`),
  )
  expect(forbidden).toEqual([])
})

/** The names that a file takes from others: `<path> <name>`, and `<path> *` for all of them. */
function namesFrom({ path, text }: Source): string[] {
  const taken = text.matchAll(/^(?:import|export)(?: type)? (\{[^}]*\}|\*[^']*?) from '(\.[^']+)'/gm)
  return [...taken].flatMap(([, names = '', specifier = '']) => {
    const target = normalize(join(dirname(path), specifier))
    if (names.startsWith('*')) return [`${target} *`]
    return [...names.matchAll(/(?:type )?(\w+)(?: as \w+)?\s*[,}]/g)].map((match) => `${target} ${match[1]}`)
  })
}

test('every exported name of the program has somebody who imports it', () => {
  // Tests count: a small part that is tested by itself is worth its export.
  const taken = new Set(sources.flatMap(namesFrom))
  const exported = /^export (?:async )?(?:const|let|function\*?|class|interface|type) (\w+)/gm
  const idle = programSources.flatMap(({ path, text }) =>
    [...text.matchAll(exported)]
      .map((match) => `${path} ${match[1]}`)
      .filter((name) => !taken.has(name) && !taken.has(`${path} *`)),
  )
  expect(idle).toEqual([])
})

test('no file imports itself over others', () => {
  const graph = new Map(
    sources.map((source) => [source.path, importsOf(source).filter((target) => target.endsWith('.ts'))]),
  )
  const done = new Set<string>()
  const cycles: string[] = []
  const visit = (path: string, trail: readonly string[]): void => {
    if (trail.includes(path)) cycles.push([...trail.slice(trail.indexOf(path)), path].join(' -> '))
    if (trail.includes(path) || done.has(path)) return
    for (const target of graph.get(path) ?? []) visit(target, [...trail, path])
    done.add(path)
  }
  for (const path of graph.keys()) visit(path, [])
  expect(cycles).toEqual([])
})

test('what only berth-sriov needs is in no other plugin’s text', () => {
  const reached = new Set(['plugins/main.ts'])
  for (const path of reached) {
    const source = sources.find((one) => one.path === path)
    for (const target of source === undefined ? [] : importsOf(source)) reached.add(target)
  }
  expect(reached.size).toBeGreaterThan(50)
  expect([...reached].filter((path) => path.startsWith('plugins/sriov/'))).toEqual([])
})

/** Things that only some files may do: a pattern, who may, and what others use instead. */
const reserved: [string, RegExp, RegExp, string][] = [
  ['proper-lockfile', /'proper-lockfile'/, /^ipam\/lock\/index\.ts$/, 'withLock of ipam/lock/index.ts'],
  ['yaml', /from 'yaml'/, /^cli\/import\//, 'JSON'],
  ['prom-client', /'prom-client'/, /^agent\/metrics\.ts$/, 'agent/watch.ts'],
  ['the administrator’s door', /\/admin\.ts'/, /^cli\//, 'ipam/index.ts'],
  [
    'the texts that are loaded later',
    /^import \{.*'\.\/(cli|agent|install|plugins\/(\w+\/)?main)\b/m,
    /^(cli|agent|install|plugins)\//,
    'loadText',
  ],
  ['node:ffi', /'node:ffi'/, /^shared\/host\/libc\.ts$/, 'shared/host/libc.ts'],
  [
    'child processes and sockets',
    /'node:(child_process|net|dgram)'/,
    /^(shared\/host\/|agent\/(server|sockets)\.ts)/,
    'shared/host',
  ],
  ['node:os', /'node:os'/, /^shared\/host\/child\.ts$/, 'shared/host/boot.ts'],
  ['promisify()', /\bpromisify\(\w/, /^shared\/host\/link-removal\.ts$/, 'shared/in-thread.ts'],
  ['HTTP', /'node:https?'/, /^(agent\/monitor|install\/api-server)\.ts$/, 'agent/monitor.ts'],
  ['/proc and /sys', /['`"](\/proc|\/sys)\//, /^shared\/host\//, 'shared/host'],
  ['the process', /process\.(env|argv|argv0|exit|stdout|stdin)\b/, /(^|\/)main\.ts$/, 'arguments'],
  [
    'plain writes',
    /\b(writeFileSync|writeFile|renameSync|rename|appendFileSync)\(/,
    /^shared\/disk\.ts$/,
    'shared/disk.ts',
  ],
  ['Node’s recursive mkdir', /mkdirSync\(.*recursive: true/, /^$/, 'makeDirectory of shared/disk.ts'],
  ['Math.random', /Math\.random\(/, /^$/, 'shared/host/random.ts'],
  [
    'a clock in pure files',
    /Date\.now|new Date\(/,
    /^(?!ipam\/(decide|plan|record|dialects)|shared\/address)/,
    'an argument',
  ],
]

test.each(reserved)('only those who may use %s do', (_, pattern, allowed, instead) => {
  const offenders = programSources
    .filter(({ path, text }) => pattern.test(text) && !allowed.test(path))
    .map(({ path }) => `${path}: use ${instead}`)
  expect(offenders).toEqual([])
})
