import { closeSync, constants, openSync, readlinkSync, readSync } from 'node:fs'

/**
 * What the kernel or a package keeps in these files is far smaller; but a router's table of routes
 * may have a million lines.
 */
export const MAX_TEXT_OCTETS = 65_536
/** Read into and copied out of at once. */
const octets = Buffer.allocUnsafeSlow(MAX_TEXT_OCTETS)

/**
 * The first 64 KiB of a file of the system's (/proc, /sys, /etc) as text; undefined where it cannot
 * be read. Never throws, and does not wait for the writer of a FIFO.
 */
export function textOf(file: string): string | undefined {
  let fd: number | undefined
  try {
    fd = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK)
    let length = 0
    for (let n = -1; n !== 0 && length < octets.length; length += n) n = readSync(fd, octets, length, octets.length - length, null)
    return octets.toString('latin1', 0, length)
  } catch {
    return undefined
  } finally {
    if (fd !== undefined) closeSync(fd)
  }
}

/** Where a link of the system's leads, as /proc/self/ns/net; undefined where it cannot be read. */
export function targetOf(link: string): string | undefined {
  try {
    return readlinkSync(link)
  } catch {
    return undefined
  }
}
