/** The keys of berth-sriov, their defaults, and what a call makes of them. */
import type { Plan } from '../../ipam/index.ts'
import { CniError } from '../../shared/cni/errors.ts'
import { keyed, keyValue, nearMisses, readKeys, textOrNone, uint32 } from '../../shared/cni/keys.ts'
import { netConfKeys } from '../../shared/cni/netconf.ts'
import type { Request } from '../../shared/cni/request.ts'
import * as z from '../../shared/cni/schema.ts'
import { parsePciAddress } from '../../shared/host/pci.ts'
import type { VfAttributes, VfVlan } from '../../shared/host/vf-attributes.ts'
import { planFor } from '../addresses.ts'
import type { Deps } from '../deps.ts'
import { type Layer3, layer3KeyDocs, layer3Of, layer3Shape } from '../layer3.ts'
import { wantedMac } from '../mac.ts'
import { metadataKeyDoc as openstackMetadata } from '../openstack/port.ts'
import { type PfSelector, readPfSelector } from './pf.ts'

const vlanMax = 4094
const qosMax = 7

/** A function: each schema costs its making, and the calls of other plugins need none of these. */
export const sriovShape = () => {
  const onOrOff = z.optional(z.enum(['', 'on', 'off']))
  return {
    deviceID: textOrNone,
    pciBusID: textOrNone,
    // Text or object; the schema of the latter is made when one is there.
    pf: z.optional(z.unknown()),
    openstackMetadata: textOrNone,
    vlan: z.optional(z.int(z.gte(0), z.lte(vlanMax))),
    vlanQoS: z.optional(z.int(z.gte(0), z.lte(qosMax))),
    vlanProto: textOrNone,
    mac: textOrNone,
    spoofchk: onOrOff,
    trust: onOrOff,
    link_state: z.optional(z.enum(['', 'auto', 'enable', 'disable'])),
    min_tx_rate: z.optional(uint32),
    max_tx_rate: z.optional(uint32),
    mtu: z._default(uint32, 0),
    allmulti: z._default(z.boolean(), false),
    vlanTrunk: z.optional(z.unknown()),
    logLevel: textOrNone,
    logFile: textOrNone,
    ...layer3Shape(),
  }
}
const makeSchema = () => keyed(sriovShape())
let schema: ReturnType<typeof makeSchema> | undefined

/** What the keys mean, for the README's table (scripts/tables.ts). */
export const sriovKeyDocs: Record<keyof ReturnType<typeof sriovShape>, string> = {
  deviceID:
    'PCI address of the VF, as a device plugin or a DRA driver hands it over; `runtimeConfig.deviceID` goes before it. It may be that of a NIC without a PF, as a guest has them',
  pciBusID: 'another name for `deviceID`',
  pf: 'without `deviceID`: take the first free VF of this PF. A name or a PCI address, or `{"name", "address", "vendor", "device", "driver"}` of which every one given must fit; `openstack:<UUID>`: the NIC of the instance\'s port in this Neutron network',
  openstackMetadata,
  vlan: 'VLAN that the PF puts the VF into, 0 to 4094; 0: none; not given: as it is',
  vlanQoS: 'priority of its frames, 0 to 7; needs `vlan`',
  vlanProto: '`802.1q` or `802.1ad`; needs `vlan`',
  mac: 'MAC of the VF, set on the PF as well; `runtimeConfig.mac`, CNI_ARGS `MAC` and `args.cni.mac` go before it; none: the one that it has; `fromIP`: made of the first address',
  spoofchk: '`on` or `off`: whether the PF drops frames from a MAC that is not the VF’s',
  trust: '`on` or `off`: whether the VF may ask for promiscuous mode or another MAC',
  link_state: '`auto`, `enable` or `disable`: the link as the VF sees it',
  min_tx_rate: 'Mbps that the VF is sure of; 0: none',
  max_tx_rate: 'Mbps that the VF may send; 0: no limit',
  mtu: "bytes, 0 to the PF's MTU; 0: as it is",
  allmulti: 'the link takes in all multicast',
  vlanTrunk: 'refused: the kernel has no interface for several VLANs of one VF',
  logLevel: 'ignored, with a warning: `BERTH_LOG` says what is logged',
  logFile: 'ignored, with a warning: log lines go to standard error',
  ...layer3KeyDocs,
}

export interface SriovConfig {
  /** The PCI address that was asked for; undefined: `pf` says which one to take. */
  readonly address: string | undefined
  readonly pf: PfSelector | undefined
  /** Where a network of `openstack:<UUID>` is looked up, below the caller's root. */
  readonly metadataFolder: string | undefined
  /** What the PF shall be told of the VF, but for the MAC. */
  readonly attributes: VfAttributes
  /** Lower case, colons; 'fromIP': made of the first address; undefined: as it is. */
  readonly mac: string | undefined
  /** Undefined: as it is. */
  readonly mtuBytes: number | undefined
  readonly allMulticast: boolean
  /** The `ipam.type`; undefined: no addresses, layer 2 only. */
  readonly ipamType: string | undefined
  readonly layer3: Layer3
}

type Keys = z.output<ReturnType<typeof makeSchema>>

function refuse(key: string, value: unknown, why: string): never {
  throw new CniError('ERR_CONFIG', `Cannot use ${key} ${JSON.stringify(value)}: ${why}`)
}

function vlanOf({ vlan, vlanQoS, vlanProto }: Keys): VfVlan | undefined {
  const protocol = vlanProto.toLowerCase() || '802.1q'
  if (protocol !== '802.1q' && protocol !== '802.1ad') refuse('vlanProto', vlanProto, 'must be 802.1q or 802.1ad')
  if (vlan === undefined) {
    if (vlanQoS !== undefined) refuse('vlanQoS', vlanQoS, 'it is the priority of a VLAN, and "vlan" is not given')
    if (vlanProto !== '') refuse('vlanProto', vlanProto, 'it is the protocol of a VLAN, and "vlan" is not given')
    return undefined
  }
  if (vlan === 0) {
    if ((vlanQoS ?? 0) !== 0) refuse('vlanQoS', vlanQoS, 'vlan 0 is no VLAN')
    if (protocol === '802.1ad') refuse('vlanProto', vlanProto, 'vlan 0 is no VLAN')
  }
  return { id: vlan, qos: vlanQoS ?? 0, protocol }
}

function rateOf({ min_tx_rate: min, max_tx_rate: max }: Keys): VfAttributes['rate'] {
  if (min === undefined && max === undefined) return undefined
  const rate = { minMbps: min ?? 0, maxMbps: max ?? 0 }
  if (rate.maxMbps !== 0 && rate.minMbps > rate.maxMbps) refuse('min_tx_rate', min, `max_tx_rate is ${max}`)
  return rate
}

const switchOf = (text: '' | 'on' | 'off' | undefined): boolean | undefined =>
  text === undefined || text === '' ? undefined : text === 'on'

const attributesOf = (keys: Keys): VfAttributes => ({
  vlan: vlanOf(keys),
  rate: rateOf(keys),
  spoofCheck: switchOf(keys.spoofchk),
  linkState: keys.link_state || undefined,
  trust: switchOf(keys.trust),
})

/** The most specific place first: what a runtime injects by the capability, then what Multus and DRA drivers put at the top. */
function addressOf({ raw }: Request, { deviceID, pciBusID }: Keys): string | undefined {
  const injected = keyValue(keyValue(raw, 'runtimeConfig'), 'deviceID') ?? ''
  if (typeof injected !== 'string') refuse('runtimeConfig.deviceID', injected, 'must be a PCI address')
  const text = [injected, deviceID, pciBusID].find((one) => one !== '')
  if (text === undefined) return undefined
  return parsePciAddress(text) ?? refuse('deviceID', text, 'write a PCI address as "0000:03:02.1"')
}

/** Reads the config. Throws ERR_CONFIG that names the key and the value. */
export function sriovConfig(request: Request): SriovConfig {
  schema ??= makeSchema()
  const keys = readKeys(schema, request.raw, '')
  if (keys.vlanTrunk !== undefined) {
    refuse('vlanTrunk', keys.vlanTrunk, 'the kernel has no interface for several VLANs of one VF')
  }
  return {
    address: addressOf(request, keys),
    pf: keys.pf === undefined || keys.pf === '' ? undefined : readPfSelector(keys.pf),
    metadataFolder: keys.openstackMetadata || undefined,
    attributes: attributesOf(keys),
    mac: wantedMac(request, keys.mac),
    mtuBytes: keys.mtu || undefined,
    allMulticast: keys.allmulti,
    ipamType: request.config.ipam?.type || undefined,
    layer3: layer3Of(keys),
  }
}

/** What the network says of its link counts where the config is silent. Throws the errors of planFor, and ERR_CONFIG where they disagree. */
export function withPlan(
  config: SriovConfig,
  request: Request,
  deps: Deps,
): { readonly config: SriovConfig; readonly plan: Plan } {
  const plan = planFor(request, deps)
  const { mtuBytes = plan.link.mtuBytes, attributes } = config
  const { vlan: planned } = plan.link
  if (planned === undefined) return { plan, config: { ...config, mtuBytes } }
  const vlan = attributes.vlan ?? { id: planned, qos: 0, protocol: '802.1q' as const }
  if (vlan.id !== planned) {
    throw new CniError('ERR_CONFIG', `Cannot attach to vlan ${vlan.id}: "ipam.networks" says ${planned}`)
  }
  return { plan, config: { ...config, mtuBytes, attributes: { ...attributes, vlan } } }
}

export function sriovKeyWarnings({ raw }: Request): string[] {
  const ignored = ['logLevel', 'logFile'].filter((key) => (keyValue(raw, key) ?? '') !== '')
  return [
    ...nearMisses(raw, [...Object.keys(sriovShape()), ...netConfKeys], ''),
    ...ignored.map((key) => `"${key}" is ignored: log lines go to standard error, and BERTH_LOG says which`),
  ]
}
