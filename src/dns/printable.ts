import { SocketAddress } from 'node:net'

/** In quotes, with every octet that is not printable ASCII as `\DDD`: nothing in it can act on a terminal. */
export function quoted(octets: Uint8Array): string {
  return `"${escaped(octets).replaceAll('"', '\\"')}"`
}

/** Octets as printable ASCII: `\DDD` for what is not, `\\` for a backslash. */
export function escaped(octets: Uint8Array): string {
  let text = ''
  for (const octet of octets) {
    if (octet === 0x5c) text += '\\\\'
    else text += octet < 0x20 || octet >= 0x7f ? `\\${octet.toString().padStart(3, '0')}` : String.fromCharCode(octet)
  }
  return text
}

/** An IPv6 address as RFC 5952 writes it. */
export function ipv6Text(octets: Uint8Array): string {
  const groups = Array.from({ length: 8 }, (_, i) => (((octets[2 * i] ?? 0) << 8) | (octets[2 * i + 1] ?? 0)).toString(16))
  return new SocketAddress({ address: groups.join(':'), family: 'ipv6' }).address
}
