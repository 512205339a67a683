/** Sockets that Node does not have: rtnetlink's, and one for whole Ethernet frames. Both are plain descriptors for node:fs. */
import { closeSync } from 'node:fs'
import { checkedCall, systemCall } from './libc.ts'

const AF_NETLINK = 16
const SOCK_RAW = 3
const SOCK_NONBLOCK = 0o4000
const SOCK_CLOEXEC = 0o2000000
const NETLINK_ROUTE = 0
const SOL_NETLINK = 270
const SOL_SOCKET = 1
const SO_RCVTIMEO = 20
/** Who listens looks up that often whether anybody still wants to know. */
const listenMs = 100
/** Socket options of linux/netlink.h: short acks without the request in them, with the kernel's words instead. */
const netlinkOptions = { NETLINK_CAP_ACK: 10, NETLINK_EXT_ACK: 11 }
const NETLINK_GET_STRICT_CHK = 12
const on = Buffer.from([1, 0, 0, 0])

/** struct sockaddr_nl of the kernel: the family, and port 0. */
const kernelAddress = Buffer.from([AF_NETLINK, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])

/**
 * A NETLINK_ROUTE socket of the calling thread's network namespace; it stays in it wherever the thread goes. Connected to
 * the kernel it takes answers from nobody else: a pod that may administer its network could forge them. `groups` are those whose
 * announcements it hears (RTMGRP_* of linux/rtnetlink.h); these anybody in the namespace may forge who may administer it.
 */
export function openNetlink(groups = 0): number {
  const fd = checkedCall(
    'socket',
    AF_NETLINK,
    SOCK_RAW | SOCK_CLOEXEC | (groups === 0 ? SOCK_NONBLOCK : 0),
    NETLINK_ROUTE,
  )
  try {
    prepareNetlink(fd, groups)
    return fd
  } catch (error) {
    closeSync(fd)
    throw error
  }
}

function prepareNetlink(fd: number, groups: number): void {
  if (groups !== 0) {
    const address = Buffer.from(kernelAddress)
    address.writeUInt32LE(groups, 8)
    checkedCall('bind', fd, address, address.length)
  }
  checkedCall('connect', fd, kernelAddress, kernelAddress.length)
  // Requests are answered while they are sent (netlink(7)); only who listens waits.
  if (groups !== 0) setPatience(fd, 'receive', listenMs)
  for (const option of Object.values(netlinkOptions)) {
    // Kernels before 4.12 know neither: they answer without words, that is all.
    systemCall('setsockopt', fd, SOL_NETLINK, option, on, on.length)
  }
}

/** Lists asked for over the socket leave out what was not asked for. Kernels before 4.20 do not know that, and list all. */
export const beStrict = (fd: number): void =>
  void systemCall('setsockopt', fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, on, on.length)

const AF_PACKET = 17
const SO_SNDTIMEO = 21
const SOL_PACKET = 263
const PACKET_ADD_MEMBERSHIP = 1

/** struct sockaddr_ll of linux/if_packet.h: family, protocol (network byte order), interface index. */
function linkAddress(linkIndex: number, protocol: number): Buffer {
  const address = Buffer.alloc(20)
  address.writeUInt16LE(AF_PACKET, 0)
  address.writeUInt16BE(protocol, 2)
  address.writeInt32LE(linkIndex, 4)
  return address
}

/** struct packet_mreq of linux/if_packet.h: interface index, PACKET_MR_MULTICAST (0), length, MAC. */
function multicastMembership(linkIndex: number, group: Uint8Array): Buffer {
  const membership = Buffer.alloc(16)
  membership.writeInt32LE(linkIndex, 0)
  membership.writeUInt16LE(group.length, 6)
  membership.set(group, 8)
  return membership
}

/** struct timeval. One of zero would mean to wait for ever. */
function timeval(ms: number): Buffer {
  const microseconds = Math.max(1, Math.floor(ms * 1000))
  const bytes = Buffer.alloc(16)
  bytes.writeBigInt64LE(BigInt(Math.floor(microseconds / 1e6)))
  bytes.writeBigInt64LE(BigInt(microseconds % 1e6), 8)
  return bytes
}

/**
 * A socket for whole Ethernet frames of one protocol (linux/if_ether.h) on one link of the calling thread's network
 * namespace; as netlink's it stays there. `groups` are multicast MACs that the link takes in while the socket is open.
 */
export function openPacket(linkIndex: number, protocol: number, groups: readonly Uint8Array[]): number {
  // Protocol 0 hears nothing: with any other the socket would hear every link until it is bound to one.
  const fd = checkedCall('socket', AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0)
  try {
    const address = linkAddress(linkIndex, protocol)
    checkedCall('bind', fd, address, address.length)
    for (const group of groups) {
      const membership = multicastMembership(linkIndex, group)
      checkedCall('setsockopt', fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, membership, membership.length)
    }
    return fd
  } catch (error) {
    closeSync(fd)
    throw error
  }
}

/** How long a write to the socket waits for room, and a read for something to come, before they fail with EAGAIN. */
export function setPatience(fd: number, direction: 'send' | 'receive', ms: number): void {
  const option = direction === 'send' ? SO_SNDTIMEO : SO_RCVTIMEO
  const patience = timeval(ms)
  checkedCall('setsockopt', fd, SOL_SOCKET, option, patience, patience.length)
}
