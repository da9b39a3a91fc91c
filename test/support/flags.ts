/** The flag bits of a header, by name (RFC 1035 section 4.1.1, RFC 4035 section 3). */
export function decodedFlags(message: Uint8Array): Readonly<Record<'qr' | 'aa' | 'tc' | 'rd' | 'ra' | 'ad' | 'cd', boolean>> {
  const bit = (octet: number, mask: number) => ((message[octet] ?? 0) & mask) !== 0
  return { qr: bit(2, 0x80), aa: bit(2, 4), tc: bit(2, 2), rd: bit(2, 1), ra: bit(3, 0x80), ad: bit(3, 0x20), cd: bit(3, 0x10) }
}
