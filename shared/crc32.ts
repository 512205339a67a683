/** CRC-32 (IEEE 802.3, the one of zlib and gzip) of a text's UTF-8 bytes. Pure. */

/** One entry for each half byte: sixteen are made in no time, and a program that runs once never earns a larger table back. */
const table = Uint32Array.from({ length: 16 }, (_, half) => {
  let rest = half
  for (let bit = 0; bit < 4; bit++) rest = rest & 1 ? (rest >>> 1) ^ 0xedb88320 : rest >>> 1
  return rest
})

/** The checksum as eight hexadecimal digits. */
export function crc32(text: string): string {
  let crc = 0xffffffff
  for (const byte of Buffer.from(text)) {
    crc ^= byte
    crc = (crc >>> 4) ^ (table[crc & 15] ?? 0)
    crc = (crc >>> 4) ^ (table[crc & 15] ?? 0)
  }
  return ((crc ^ 0xffffffff) >>> 0).toString(16).padStart(8, '0')
}
