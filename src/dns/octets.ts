/** Octets of a message header (RFC 1035 section 4.1.1). */
export const HEADER_OCTETS = 12

/** A private copy of [start, end). `slice` is none where `bytes` is a Buffer: Buffer's shares memory. */
export function copyOf(bytes: Uint8Array, start = 0, end = bytes.length): Uint8Array {
  return new Uint8Array(bytes.subarray(start, end))
}

/** The 16-bit number at `at`; the caller has checked the bounds. */
export function u16(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 8) | bytes[at + 1]!
}

/** The unsigned 32-bit number at `at`; the caller has checked the bounds. */
export function u32(bytes: Uint8Array, at: number): number {
  return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0
}

export function putU16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 8
  bytes[at + 1] = value
}

export function putU32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24
  bytes[at + 1] = value >>> 16
  bytes[at + 2] = value >>> 8
  bytes[at + 3] = value
}

/** Copies `length` octets, lowering A-Z byte by byte (RFC 4343); every other octet, 0x80 and above too, stays as it is. */
export function copyLower(from: Uint8Array, at: number, length: number, to: Uint8Array, toAt: number): void {
  for (let i = 0; i < length; i++) {
    const octet = from[at + i]!
    to[toAt + i] = octet >= 0x41 && octet <= 0x5a ? octet | 0x20 : octet
  }
}
