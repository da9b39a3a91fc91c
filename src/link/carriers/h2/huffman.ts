/**
 * Lengths of the Huffman codes of octets 0 to 255 and EOS, a digit of base 36 each (RFC 7541 appendix B). The code is canonical (section 5.2): within one length
 * codes follow the order of symbols, so the lengths say all.
 */
const LENGTHS =
  'dnsssssssoussussssssssusssssssss6aacd68baa8b8666555666666678f6cad67777777777777777777777878djde6f56565666577666567655677777fbeds' +
  'kmkkmmmnmnnnnnonoomnonnnnlmnmnnomlkmmnnlnmmolmnnllmlnmnnkmmmnmmnqqkjmnmpqqqrrqopjlqrrqrollqqsrrrkoklmllnmmppooqnqrqqrrrrrsrrrrrqu'

const EOS = 256
/** An outcome where a state would stand: no code begins like this. */
const FAILED = 0xffff

interface Nibbles {
  /** By state * 16 + nibble: next state (16 bits), whether a symbol came out (bit 16), the symbol (bits 24 to 31). */
  readonly steps: Uint32Array
  /** Whether a text may end in a state: the root, or a prefix of EOS shorter than 8 bits, all ones (RFC 7541 section 5.2). */
  readonly mayEnd: Uint8Array
}

const table = build()

/** The code of every symbol (256 is EOS), in canonical order. */
export function huffmanCodes(): readonly { readonly symbol: number; readonly code: number; readonly bits: number }[] {
  const lengths = Array.from(LENGTHS, (digit) => Number.parseInt(digit, 36))
  const order = lengths.map((bits, symbol) => ({ bits, symbol })).sort((a, b) => a.bits - b.bits || a.symbol - b.symbol)
  let code = 0
  let before = 0
  return order.map(({ bits, symbol }) => {
    code <<= bits - before
    before = bits
    return { symbol, bits, code: code++ }
  })
}

/** The tree as pairs of children; a leaf is minus the symbol, less one. */
function tree(): number[] {
  const children = [0, 0]
  for (const { symbol, code, bits } of huffmanCodes()) {
    let node = 0
    for (let bit = bits - 1; bit > 0; bit--) {
      const branch = node * 2 + ((code >>> bit) & 1)
      if (children[branch] === 0) {
        children[branch] = children.length / 2
        children.push(0, 0)
      }
      node = children[branch]!
    }
    children[node * 2 + (code & 1)] = -symbol - 1
  }
  return children
}

/** Four bits a step: the shortest code has five, so a step gives at most one symbol. */
function build(): Nibbles {
  const children = tree()
  const states = children.length / 2
  const steps = new Uint32Array(states * 16)
  for (let state = 0; state < states; state++) {
    for (let nibble = 0; nibble < 16; nibble++) steps[state * 16 + nibble] = step(children, state, nibble)
  }
  const mayEnd = new Uint8Array(states)
  for (let node = 0, depth = 0; depth < 8 && node >= 0; node = children[node * 2 + 1]!, depth++) mayEnd[node] = 1
  return { steps, mayEnd }
}

function step(children: readonly number[], state: number, nibble: number): number {
  let node = state
  let out = 0
  for (let bit = 3; bit >= 0; bit--) {
    node = children[node * 2 + ((nibble >>> bit) & 1)]!
    if (node >= 0) continue
    const symbol = -node - 1
    if (symbol === EOS) return FAILED
    out = (symbol << 24) | 0x10000
    node = 0
  }
  return (out | node) >>> 0
}

/**
 * Decodes a Huffman string into `out` at 0 and returns its octets; -1 where it is no valid one (EOS inside, padding that is not ones or longer than 7 bits) or
 * longer than `out`.
 */
export function huffmanDecode(from: Uint8Array, start: number, end: number, out: Uint8Array): number {
  const { steps, mayEnd } = table
  let state = 0
  let octets = 0
  for (let at = start; at < end; at++) {
    const octet = from[at]!
    for (let shift = 4; shift >= 0; shift -= 4) {
      const next = steps[state * 16 + ((octet >>> shift) & 15)]!
      state = next & 0xffff
      if (state === FAILED) return -1
      if ((next & 0x10000) === 0) continue
      if (octets >= out.length) return -1
      out[octets++] = next >>> 24
    }
  }
  return mayEnd[state] === 1 ? octets : -1
}
