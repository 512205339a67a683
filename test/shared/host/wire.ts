/** Frames as strangers would send them, made without the code under test. */
import { ipBytes } from '../../../shared/address.ts'
import { ip } from '../addresses.ts'

const mac = (text: string): string => text.replaceAll(':', '')
const address = (text: string): string => Buffer.from(ipBytes(ip(text))).toString('hex')
const short = (value: number): string => value.toString(16).padStart(4, '0')
const byte = (value: number): string => value.toString(16).padStart(2, '0')

export function arp(packet: { operation: number; from: string; sender: string; target: string }): Buffer {
  const { operation, from, sender, target } = packet
  const head = `ffffffffffff${mac(from)}0806000108000604${short(operation)}`
  return Buffer.from(`${head}${mac(from)}${address(sender)}000000000000${address(target)}`, 'hex')
}

/** The checksum of RFC 1071 over hexadecimal text, with numbers as large as they become. */
function checksum(hex: string): number {
  const words = hex.match(/.{1,4}/g) ?? []
  const sum = words.reduce((total, word) => total + Number.parseInt(word.padEnd(4, '0'), 16), 0)
  return 0xffff - (sum % 0xffff)
}

interface Message {
  readonly from: string
  readonly target: string
  readonly type?: number
  readonly code?: number
  readonly hopLimit?: number
  readonly option?: string
}

function icmp6(source: string, destination: string, flags: string, message: Required<Message>): Buffer {
  const { type, code, target, option } = message
  const content = (sum: string): string => `${byte(type)}${byte(code)}${sum}${flags}${address(target)}${option}`
  const length = content('0000').length / 2
  const addresses = address(source) + address(destination)
  const sum = checksum(`${addresses}${short(0)}${short(length)}${short(0)}${short(58)}${content('0000')}`)
  const ethernet = `3333${address(destination).slice(-8)}${mac(message.from)}86dd`
  const header = `60000000${short(length)}3a${byte(message.hopLimit)}${addresses}`
  return Buffer.from(ethernet + header + content(short(sum)), 'hex')
}

/** As a node answers detection of duplicates: to all nodes, overriding, with its MAC in an option. */
export const advertisement = (message: Message): Buffer =>
  icmp6(message.target, 'ff02::1', '20000000', {
    ...{ type: 136, code: 0, hopLimit: 255, option: `0201${mac(message.from)}` },
    ...message,
  })

export const solicitation = (message: Message & { source: string }): Buffer =>
  icmp6(
    message.source,
    `ff02::1:ff${address(message.target).slice(-6, -4)}:${address(message.target).slice(-4)}`,
    '00000000',
    {
      ...{ type: 135, code: 0, hopLimit: 255, option: '' },
      ...message,
    },
  )
