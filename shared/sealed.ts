/** A line of JSON that ends in a checksum: what is not one whole line as it was written is known to be damaged. */
import { crc32 } from './crc32.ts'

/** One line. The checksum is the last member, over everything before it. */
export function sealLine(value: object): string {
  const body = JSON.stringify(value).slice(0, -1)
  return `${body},"crc32":"${crc32(body)}"}\n`
}

/** From `,"crc32":"` to the line feed: what sealLine puts after the checksummed part. */
const tailChars = 21

/** The value of such a line, without the checksum; undefined when it is not one whole line. */
export function openLine(text: string): unknown {
  const body = text.slice(0, -tailChars)
  if (text.slice(-tailChars) !== `,"crc32":"${crc32(body)}"}\n`) return undefined
  try {
    return JSON.parse(`${body}}`)
  } catch {
    return undefined
  }
}
