/** One question to the API server: whether Multus' networks can be asked for there. Nothing that is installed needs the answer. */
import { request as overHttp } from 'node:http'
import { request as overHttps } from 'node:https'
import type { Credentials } from '../shared/kubeconfig.ts'
import { messageOf } from '../shared/message.ts'

const timeoutMs = 3000
const answerMaxBytes = 64 * 1024
const group = '/apis/k8s.cni.cncf.io'

interface HttpAnswer {
  readonly status: number
  readonly body: string
}

async function get({ server, token, certificate }: Credentials, path: string): Promise<HttpAnswer> {
  const url = new URL(path, server)
  const trust = certificate === undefined ? { rejectUnauthorized: false } : { ca: certificate }
  const options = { headers: { authorization: `Bearer ${token}` }, timeout: timeoutMs, ...trust }
  const cut = new Error('the answer ends before its end')
  return await new Promise((resolve, reject) => {
    const asked = (url.protocol === 'http:' ? overHttp : overHttps)(url, options, (response) => {
      let body = ''
      response.setEncoding('utf8').on('data', (text: string) => {
        if (body.length < answerMaxBytes) body += text
      })
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body }))
      response.on('error', reject)
      // After an end it is of no consequence.
      response.on('close', () => reject(cut))
    })
    // The option's time is that of a silence; this one is that of the whole question.
    const timer = setTimeout(() => asked.destroy(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs)
    asked.on('timeout', () => asked.destroy(new Error(`no answer within ${timeoutMs} ms`)))
    asked.on('error', reject)
    asked.on('close', () => clearTimeout(timer))
    asked.end()
  })
}

/** The versions that a group's discovery document names. */
function versionsIn(body: string): string[] {
  const document: unknown = JSON.parse(body)
  const versions: unknown = typeof document === 'object' && document !== null && Reflect.get(document, 'versions')
  if (!Array.isArray(versions)) return []
  return versions.flatMap((one: { version?: unknown }) => (typeof one?.version === 'string' ? [one.version] : []))
}

/** What an administrator should know of the cluster, as a warning; undefined when all is well. Never throws. */
export async function clusterWarning(credentials: Credentials): Promise<string | undefined> {
  const { server } = credentials
  try {
    const { status, body } = await get(credentials, group)
    if (status === 404) return 'the cluster has no NetworkAttachmentDefinitions: Multus is not installed yet'
    if (status !== 200) return `the API server "${server}" answers ${status} to the pod's service account`
    const versions = versionsIn(body)
    if (versions.includes('v1')) return undefined
    return `the cluster has NetworkAttachmentDefinitions of ${versions.join(', ') || 'no version'} only, and v1 is needed: their CRD is old`
  } catch (error) {
    return `the API server "${server}" cannot be asked: ${messageOf(error)}; nothing that is installed needs it`
  }
}
