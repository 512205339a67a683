import { mkdirSync, writeFileSync } from 'node:fs'
import { beforeEach, expect, test } from 'vitest'
import { planOf } from '../../ipam/asked.ts'
import { withNodeDefaults } from '../../ipam/node-defaults.ts'
import { confDirs } from '../../shared/node-config.ts'
import { requestOf } from '../shared/cni/requests.ts'
import { failureOf } from '../shared/failures.ts'
import { temporaryDirectory } from '../shared/temporary.ts'

let root: string
beforeEach(() => {
  root = temporaryDirectory()
  mkdirSync(`${root}/etc`)
})

function write(text: string, folder: string = confDirs.usual): void {
  mkdirSync(`${root}${folder}/berth.d`, { recursive: true })
  writeFileSync(`${root}${folder}/berth.d/berth.conf`, text)
}

const conf = JSON.stringify({ ipam: { cooldownSeconds: 60, Sticky: true } })

test('withNodeDefaults() fills what a config does not have, in every dialect, and no more', () => {
  write(conf)
  const plan = (ipam: object) => planOf(requestOf({ ipam }), root)
  expect(plan({ type: 'berth-ipam', range: '10.0.0.0/24' })).toMatchObject({ coolDownMs: 60_000, keepMs: 86_400_000 })
  expect(plan({ type: 'host-local', subnet: '10.0.0.0/24', cooldownSeconds: 0 })).toMatchObject({ coolDownMs: 0 })
  expect(plan({ type: 'berth-ipam', range: '10.0.0.0/24', sticky: false })).toMatchObject({ keepMs: undefined })
})

test.each(Object.values(confDirs))('withNodeDefaults() reads the file in %s', (folder) => {
  write(conf, folder)
  expect(withNodeDefaults({}, root)).toEqual({ cooldownSeconds: 60, sticky: true })
})

test('withNodeDefaults() changes nothing without a file, and does not read it again within a second', () => {
  const ipam = { range: '10.0.0.0/24' }
  expect(withNodeDefaults(ipam, root)).toBe(ipam)
  write(conf)
  expect(withNodeDefaults(ipam, root)).toBe(ipam)
})

test.each([
  ['{', 'Expected property name'],
  ['{"ipam": {"sticky": "yes"}}', 'Cannot read "ipam.sticky": "yes": must be boolean'],
  ['[]', 'must be an object'],
])('withNodeDefaults() fails with code 7 and names the file when it is %s', (text, why) => {
  write(text)
  const failure = failureOf(() => withNodeDefaults({}, root))
  expect([failure.code, failure.message]).toEqual([7, expect.stringContaining(why)])
  expect(failure.message).toContain('Cannot use the defaults in "/etc/cni/net.d/berth.d/berth.conf": ')
})

test('withNodeDefaults() reads the file of a distribution before one that was left in the usual folder', () => {
  write('{"ipam": {"cooldownSeconds": 1}}')
  write('{"ipam": {"cooldownSeconds": 2}}', confDirs.k3s)
  expect(withNodeDefaults({}, root)).toEqual({ cooldownSeconds: 2 })
})
