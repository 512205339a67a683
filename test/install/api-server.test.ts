import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { clusterWarning } from '../../install/api-server.ts'

/** What the installer says of a server that answers like this. */
async function warningFor(answer: RequestListener, token = 'secret'): Promise<string | undefined> {
  const server = createServer(answer).listen(0, '127.0.0.1')
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return await clusterWarning({ server: `http://127.0.0.1:${port}`, token, certificate: undefined, namespace: 'berth' })
}

const versions = (...names: string[]): RequestListener => {
  const body = JSON.stringify({ kind: 'APIGroup', versions: names.map((version) => ({ version })) })
  return (_request, response) => void response.end(body)
}

test('clusterWarning() has nothing to say when the cluster has what Multus needs', async () => {
  const asked: unknown[] = []
  const warning = await warningFor((request, response) => {
    asked.push([request.url, request.headers.authorization])
    versions('v1')(request, response)
  })
  expect([warning, asked]).toEqual([undefined, [['/apis/k8s.cni.cncf.io', 'Bearer secret']]])
})

test.each<[string, RequestListener, string]>([
  [
    'an old CRD',
    versions('v1beta1'),
    'NetworkAttachmentDefinitions of v1beta1 only, and v1 is needed: their CRD is old',
  ],
  ['no versions', (_, response) => void response.end('{}'), 'of no version only'],
  ['no CRD', (_, response) => void response.writeHead(404).end(), 'Multus is not installed yet'],
  ['no permission', (_, response) => void response.writeHead(403).end(), "answers 403 to the pod's service account"],
  ['something else', (_, response) => void response.end('<html>'), 'cannot be asked: Unexpected token'],
  [
    'a reply that ends in the middle',
    (_, response) => {
      response.writeHead(200, { 'content-length': 1000 }).write('{"versions"')
      setTimeout(() => response.destroy(), 50)
    },
    'cannot be asked: aborted',
  ],
  ['silence', () => undefined, 'cannot be asked: no answer within 3000 ms; nothing that is installed needs it'],
])('clusterWarning() says so when the server has %s', async (_, answer, words) => {
  expect(await warningFor(answer)).toContain(words)
})

test('clusterWarning() says so when there is no server', async () => {
  const nobody = { server: 'https://127.0.0.1:1', token: '', certificate: 'x', namespace: '' }
  expect(await clusterWarning(nobody)).toMatch(
    /^the API server "https:\/\/127.0.0.1:1" cannot be asked: .*; nothing that is installed needs it$/,
  )
})
