import { chmodSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { expect, test } from 'vitest'
import { KubeconfigKeeper } from '../../agent/kubeconfig.ts'
import { temporaryDirectory } from '../shared/temporary.ts'

function account() {
  const folder = temporaryDirectory()
  const files = {
    tokenFile: `${folder}/token`,
    certificateFile: `${folder}/ca.crt`,
    namespaceFile: `${folder}/namespace`,
  }
  writeFileSync(files.tokenFile, 'first')
  writeFileSync(files.certificateFile, 'CERTIFICATE\n')
  writeFileSync(files.namespaceFile, 'berth')
  return { ...files, server: 'https://10.96.0.1:443', path: `${folder}/conf/berth.d/berth.kubeconfig` }
}

const userIn = (path: string): unknown => JSON.parse(readFileSync(path, 'utf8')).users[0].user

test('KubeconfigKeeper writes the token anew when it has changed, and the file when it has gone', async () => {
  const { path, ...files } = account()
  using keeper = new KubeconfigKeeper(path, files)
  keeper.start(10)
  expect([userIn(path), statSync(path).mode & 0o777]).toEqual([{ token: 'first' }, 0o600])
  const { ino } = statSync(path)
  await new Promise((resolve) => setTimeout(resolve, 50))
  expect(statSync(path).ino).toBe(ino)
  chmodSync(path, 0o644)
  await expect.poll(() => statSync(path).mode & 0o777).toBe(0o600)
  expect(statSync(dirname(path)).mode & 0o777).toBe(0o755)
  writeFileSync(files.tokenFile, 'second')
  await expect.poll(() => userIn(path)).toEqual({ token: 'second' })
  rmSync(path)
  await expect.poll(() => userIn(path)).toEqual({ token: 'second' })
})

test('KubeconfigKeeper leaves the file as it is when there is no token, and goes on when there is one again', () => {
  const { path, ...files } = account()
  using keeper = new KubeconfigKeeper(path, files)
  keeper.look()
  rmSync(files.tokenFile)
  keeper.look()
  expect(userIn(path)).toEqual({ token: 'first' })
  writeFileSync(files.tokenFile, 'third')
  keeper.look()
  expect(userIn(path)).toEqual({ token: 'third' })
})
