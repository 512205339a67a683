/** Calls as a runtime makes them, with what a test wants different. */
import { type Environment, parseRequest, type Request } from '../../../shared/cni/request.ts'

export const environmentOfAdd = {
  CNI_COMMAND: 'ADD',
  CNI_CONTAINERID: 'ctr-1',
  CNI_NETNS: '/run/netns/pod-1',
  CNI_IFNAME: 'net1',
  CNI_PATH: '/opt/cni/bin',
} as const

export const plainConfig = { cniVersion: '1.1.0', name: 'storage', type: 'berth-macvlan' } as const

/** The request of an ADD, with these keys and variables instead of or besides the plain ones. */
export const requestOf = (config: object = {}, environment: Environment = {}): Request =>
  parseRequest(
    { ...environmentOfAdd, ...environment },
    () => JSON.stringify({ ...plainConfig, ...config }),
    () => undefined,
  )
