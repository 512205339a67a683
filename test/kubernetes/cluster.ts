/** A control plane on a machine: a real etcd and a real API server with certificates of their own, and kubectl to speak with it. */
import type { Programs } from './build.ts'
import { type Machine, type RunOptions, until } from './machine.ts'

/** On two busy cores the API server takes ten seconds, and its first answers are slow. */
const startWithinMs = 120_000
const stopWithinMs = 60_000

/** The node's address and that of its NIC's network, and the ports that an administrator expects. */
export const nodeAddress = '192.168.77.10'
const serverPort = '6443'
const etcdUrl = 'http://127.0.0.1:2379'

const pki = '/etc/kubernetes/pki'
const kubeconfig = '/etc/kubernetes/admin.conf'

const makeCertificates = `
mkdir -p ${pki}
cd ${pki}
signed() {
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -keyout "$1.key" -out "$1.crt" -subj "$2" "\${@:3}" 2>openssl.log ||
    { cat openssl.log >&2; exit 1; }
}
signed ca /CN=kubernetes
signed server /CN=kube-apiserver -CA ca.crt -CAkey ca.key -addext "subjectAltName=IP:${nodeAddress},IP:127.0.0.1,DNS:kubernetes.default.svc"
signed admin /O=system:masters/CN=admin -CA ca.crt -CAkey ca.key
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out sa.key 2>/dev/null
openssl pkey -in sa.key -pubout -out sa.pub
`

/** How a client finds the API server, as an administrator's kubeconfig has it. */
const adminConfig = {
  apiVersion: 'v1',
  kind: 'Config',
  clusters: [
    {
      name: 'c',
      cluster: { server: `https://${nodeAddress}:${serverPort}`, 'certificate-authority': `${pki}/ca.crt` },
    },
  ],
  users: [{ name: 'admin', user: { 'client-certificate': `${pki}/admin.crt`, 'client-key': `${pki}/admin.key` } }],
  contexts: [{ name: 'admin', context: { cluster: 'c', user: 'admin' } }],
  'current-context': 'admin',
}

/** What kubelet tells every container of where the API server is. */
export const serviceEnvironment = { KUBERNETES_SERVICE_HOST: nodeAddress, KUBERNETES_SERVICE_PORT: serverPort }

export interface KubeObject {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: {
    readonly name: string
    readonly namespace?: string
    readonly uid?: string
    readonly annotations?: Record<string, string>
  }
  readonly [key: string]: unknown
}

export class Cluster {
  readonly machine: Machine
  readonly #programs: Programs
  #apiServer: number | undefined

  /** Starts both; the machine's end is theirs. */
  constructor(machine: Machine, programs: Programs) {
    this.machine = machine
    this.#programs = programs
    machine.shell(makeCertificates)
    machine.write(kubeconfig, JSON.stringify(adminConfig))
    const urls = [
      '--listen-client-urls',
      etcdUrl,
      '--advertise-client-urls',
      etcdUrl,
      '--listen-peer-urls',
      'http://127.0.0.1:2380',
    ]
    machine.start('etcd', [programs.etcd, '--data-dir', '/var/lib/etcd', ...urls, '--unsafe-no-fsync'])
    this.startApiServer()
  }

  startApiServer(): void {
    const flags = {
      'advertise-address': nodeAddress,
      'allow-privileged': 'true',
      'authorization-mode': 'Node,RBAC',
      'client-ca-file': `${pki}/ca.crt`,
      'etcd-servers': etcdUrl,
      'secure-port': serverPort,
      'service-account-issuer': 'https://kubernetes.default.svc.cluster.local',
      'service-account-key-file': `${pki}/sa.pub`,
      'service-account-signing-key-file': `${pki}/sa.key`,
      'service-cluster-ip-range': '10.96.0.0/16',
      'tls-cert-file': `${pki}/server.crt`,
      'tls-private-key-file': `${pki}/server.key`,
    }
    const command = [this.#programs.apiServer, ...Object.entries(flags).map(([flag, value]) => `--${flag}=${value}`)]
    this.#apiServer = this.machine.start('kube-apiserver', command)
    const answers = (): boolean => this.tryKubectl(['get', '--raw', '/readyz', '--request-timeout=5s']).exitCode === 0
    if (until(answers, startWithinMs, 500)) return
    throw new Error(`the API server is not ready: ${this.machine.log('kube-apiserver').slice(-4000)}`)
  }

  stopApiServer(): void {
    if (this.#apiServer !== undefined) this.machine.stop(this.#apiServer, 'KILL', stopWithinMs)
    this.#apiServer = undefined
  }

  tryKubectl(args: readonly string[], options: RunOptions = {}) {
    const environment = { KUBECONFIG: kubeconfig, ...options.environment }
    return this.machine.run([this.#programs.kubectl, ...args], { ...options, environment })
  }

  /** What kubectl prints; throws what it said when it fails. */
  kubectl(args: readonly string[], options: RunOptions = {}): string {
    const { exitCode, stdout, stderr } = this.tryKubectl(args, options)
    if (exitCode !== 0) throw new Error(`kubectl ${args.join(' ')}: ${stderr}${stdout}`)
    return stdout
  }

  /** Applies manifests as a user does; an unknown field is refused by the server. */
  apply(manifests: string | readonly KubeObject[], ...flags: readonly string[]): string {
    const input =
      typeof manifests === 'string' ? manifests : JSON.stringify({ apiVersion: 'v1', kind: 'List', items: manifests })
    return this.kubectl(['apply', '--validate=strict', ...flags, '-f', '-'], { input })
  }

  get(kind: string, name: string, namespace: string): KubeObject {
    return JSON.parse(this.kubectl(['get', kind, name, '-n', namespace, '-o', 'json']))
  }

  /** A token of a service account, as kubelet projects it into a pod. */
  token(serviceAccount: string, namespace: string): string {
    return this.kubectl(['create', 'token', serviceAccount, '-n', namespace]).trim()
  }

  get certificateAuthority(): string {
    return this.machine.read(`${pki}/ca.crt`)
  }
}
