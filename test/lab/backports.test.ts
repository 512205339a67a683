/** From which of a machine's sources the backports are taken. */
import { spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { expect, test } from 'vitest'
import { root } from '../house/sources.ts'
import { temporaryDirectory } from '../shared/temporary.ts'

const keyring = '/usr/share/keyrings/debian.gpg'
const debian = [
  'Types: deb deb-src',
  '# a snapshot',
  'URIs: http://mirror.example/debian',
  'Suites: bookworm bookworm-updates',
  'Components: main contrib',
  `Signed-By: ${keyring}`,
].join('\n')
const stanza = debian
  .replace('# a snapshot\n', '')
  .replace('deb deb-src', 'deb')
  .replace('bookworm bookworm-updates', 'bookworm-backports')
const security = debian.replaceAll(/Suites:.*/g, 'Suites: bookworm-security')
const docker = debian.replace('main contrib', 'stable').replace('mirror.example/debian', 'docker.example')
const line = `deb [arch=amd64 signed-by=${keyring}] http://mirror.example/debian`

/** What backports.sh adds to these files of /etc/apt, and how it ends. */
function backports(files: Record<string, string>): { status: number | null; stderr: string; added: string } {
  const [system, made] = [temporaryDirectory(), join(temporaryDirectory(), 'sources')]
  const all = { 'etc/os-release': 'VERSION_CODENAME=bookworm\n', ...files }
  for (const [name, text] of Object.entries(all)) {
    mkdirSync(dirname(join(system, name)), { recursive: true })
    writeFileSync(join(system, name), text)
  }
  const options = { encoding: 'utf8', env: { ...process.env, APT_ROOT: system } } as const
  const { status, stderr, stdout } = spawnSync(join(root, 'scripts', 'backports.sh'), [made], options)
  if (status === 0) expect(stdout).toBe(`-o Dir::Etc::SourceParts=${made} -t bookworm-backports\n`)
  const added = readdirSync(made).filter((name) => name.startsWith('backports.'))
  return { status, stderr, added: added.map((name) => readFileSync(join(made, name), 'utf8').trim()).join('\n') }
}

test.each([
  ['the stanza of the release', { 'etc/apt/sources.list.d/debian.sources': `${security}\n\n${debian}\n` }, stanza],
  [
    'none of another distributor',
    { 'etc/apt/sources.list.d/a.sources': docker, 'etc/apt/sources.list.d/b.sources': debian },
    stanza,
  ],
  [
    'none that is not enabled',
    { 'etc/apt/sources.list.d/a.sources': `${docker}\n\n${debian.replace('mirror', 'off')}\nEnabled: no\n\n${debian}` },
    stanza,
  ],
  [
    'the line of the release',
    { 'etc/apt/sources.list': `# ${line} bookworm main\n${line} bookworm-updates main\n${line} bookworm main\n` },
    `${line} bookworm-backports main`,
  ],
  [
    'the line in a file',
    { 'etc/apt/sources.list.d/d.list': `${line} bookworm main` },
    `${line} bookworm-backports main`,
  ],
])('backports.sh takes mirror and keys from %s', (_, files, added) => {
  expect(backports(files)).toEqual({ status: 0, stderr: '', added })
})

test('backports.sh says which release it found no source of', () => {
  const { status, stderr } = backports({ 'etc/apt/sources.list.d/docker.sources': docker })
  expect(status).toBe(1)
  expect(stderr).toBe('Cannot find backports of "bookworm": no source of apt on this machine has that suite\n')
})
