/** A kubeconfig for the node, made of the service account of a pod; written by the installer and kept fresh by the agent. */
import { readFileSync, statSync } from 'node:fs'
import { isErrno, replaceDurable } from './disk.ts'

const accountFolder = '/var/run/secrets/kubernetes.io/serviceaccount'

export interface ServiceAccount {
  /** `https://10.96.0.1:443`. */
  readonly server: string
  readonly tokenFile: string
  /** Undefined: the server's certificate is not looked at. */
  readonly certificateFile: string | undefined
  readonly namespaceFile: string
}

/** Whether a variable of the environment says yes. */
export const isSet = (text: string | undefined): boolean => /^(1|true|yes)$/i.test(text ?? '')

/** What a pod's environment says; undefined outside of a cluster. */
export function serviceAccountOf(env: Readonly<Record<string, string | undefined>>): ServiceAccount | undefined {
  const { KUBERNETES_SERVICE_HOST: host = '', KUBERNETES_SERVICE_PORT: port } = env
  if (host === '') return undefined
  const authority = `${host.includes(':') ? `[${host}]` : host}:${port || '443'}`
  const skips = isSet(env.SKIP_TLS_VERIFY)
  return {
    server: `${env.KUBERNETES_SERVICE_PROTOCOL || 'https'}://${authority}`,
    tokenFile: `${accountFolder}/token`,
    certificateFile: skips ? undefined : env.KUBE_CA_FILE || `${accountFolder}/ca.crt`,
    namespaceFile: `${accountFolder}/namespace`,
  }
}

/** What is needed to speak to the API server. */
export interface Credentials {
  readonly server: string
  readonly token: string
  /** PEM. */
  readonly certificate: string | undefined
  readonly namespace: string
}

const readText = (path: string): string => readFileSync(path, 'utf8').trim()

/** Undefined where a pod has no token: it was told not to mount one. Throws when a file cannot be read. */
export function readCredentials(account: ServiceAccount): Credentials | undefined {
  try {
    const token = readText(account.tokenFile)
    const certificate = account.certificateFile === undefined ? undefined : readText(account.certificateFile)
    return { server: account.server, token, certificate, namespace: readText(account.namespaceFile) }
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return undefined
    throw error
  }
}

/** As JSON, which every reader of a kubeconfig takes for the YAML that it is. */
export function renderKubeconfig({ server, token, certificate, namespace }: Credentials): string {
  const trust =
    certificate === undefined
      ? { 'insecure-skip-tls-verify': true }
      : { 'certificate-authority-data': Buffer.from(`${certificate}\n`).toString('base64') }
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'local', cluster: { server, ...trust } }],
    users: [{ name: 'berth', user: { token } }],
    contexts: [{ name: 'berth', context: { cluster: 'local', user: 'berth', namespace } }],
    'current-context': 'berth',
  }
  return `${JSON.stringify(config, null, 2)}\n`
}

/** What a kubeconfig's mode is: it has a token. */
export const isPrivate = (mode: number): boolean => (mode & 0o077) === 0

/** Writes a file if it does not say that already, for its owner alone; whether it had to. Its folder must be there. */
export function writeIfOther(path: string, content: string): boolean {
  try {
    if (readFileSync(path, 'utf8') === content && isPrivate(statSync(path).mode)) return false
  } catch (error) {
    if (!isErrno(error, 'ENOENT')) throw error
  }
  replaceDurable(path, content)
  return true
}
