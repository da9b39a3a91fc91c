import { addressOctets, canonical, parseCidr } from '../config/cidr.ts'

/** A block of addresses: the first `prefix` of the `width` bits of `value`. */
interface Block {
  readonly width: 32 | 128
  readonly value: bigint
  readonly prefix: number
}

interface ClientRule {
  readonly block: Block
  readonly allows: boolean
}

/** Limit of blocks of clients. `allowFrom` may have 1000, and a hole divides a block. */
export const MOST_CLIENT_BLOCKS = 900

/** Private networks. They may ask if the old configuration allowed all clients. */
const PRIVATE = ['127.0.0.0/8', '::1/128', '10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', 'fc00::/7', 'fe80::/10']
const PRIVATE_BLOCKS = PRIVATE.flatMap((text) => blockOf(text) ?? [])

/**
 * Which clients the old configuration answered, for `allowFrom`. The smallest block that contains
 * an address decides, in any order of the lines. Of equal blocks, the last one counts.
 */
export class ClientBlocks {
  readonly #rules: ClientRule[] = []

  /**
   * Allows a block. Of a block that reaches far into the internet, only the private networks are
   * allowed. Returns whether it was too large in this sense; undefined: it is not a block.
   */
  allow(text: string): { readonly tooLarge: boolean } | undefined {
    const block = blockOf(text)
    if (block === undefined) return undefined
    this.#add({ block, allows: true })
    return { tooLarge: isTooLarge(block) }
  }

  /** Whether it has the most rules that it may have. */
  get isFull(): boolean {
    // The two loopback blocks do not count.
    return this.#rules.length >= MOST_CLIENT_BLOCKS + 2
  }

  /** Refuses a block. Returns whether it is a block. */
  refuse(text: string): boolean {
    const block = blockOf(text)
    if (block !== undefined) this.#add({ block, allows: false })
    return block !== undefined
  }

  /** The smallest allowed block around `text`. Undefined: there is none. */
  allowedAround(text: string): string | undefined {
    const inner = blockOf(text)
    if (inner === undefined) return undefined
    const around = this.#rules.filter(({ block, allows }) => allows && block.prefix < inner.prefix && contains(block, inner))
    const smallest = around.toSorted((a, b) => b.block.prefix - a.block.prefix)[0]
    return smallest === undefined ? undefined : textOf(smallest.block)
  }

  /** Whether a block lies in a private network, or contains one. */
  touchesPrivate(text: string): boolean {
    const block = blockOf(text)
    return block !== undefined && PRIVATE_BLOCKS.some((one) => contains(one, block) || contains(block, one))
  }

  /** The value of `allowFrom`. `isOpen`: other hosts can reach the service. */
  allowFrom(isOpen: boolean): readonly string[] {
    if (this.#rules.length === 0) return isOpen ? PRIVATE : []
    let blocks: { readonly block: Block; readonly order: number }[] = []
    const largestFirst = this.#rules.map((rule, order) => ({ ...rule, order })).sort((a, b) => a.block.prefix - b.block.prefix)
    for (const { block, allows, order } of largestFirst)
      if (!allows) blocks = blocks.flatMap((one) => without(one.block, block).map((rest) => ({ block: rest, order: one.order })))
      else
        for (const added of isTooLarge(block) ? PRIVATE_BLOCKS.filter((one) => contains(block, one)) : [block])
          if (!blocks.some((one) => contains(one.block, added))) blocks.push({ block: added, order })
    return blocks.sort((a, b) => a.order - b.order).map(({ block }) => textOf(block))
  }

  #add(rule: ClientRule) {
    const index = this.#rules.findIndex(({ block }) => isSame(block, rule.block))
    if (index < 0) this.#rules.push(rule)
    else this.#rules[index] = rule
  }
}

/** The same text for every spelling of a block. Undefined: it is not a block. */
export function blockKey(text: string): string | undefined {
  const block = blockOf(text)
  return block === undefined ? undefined : textOf(block)
}

function blockOf(text: string): Block | undefined {
  const cidr = parseCidr(text)
  if (cidr === undefined) return undefined
  const octets = addressOctets(cidr.address)
  const width = octets.length === 4 ? 32 : 128
  const rest = BigInt(width - cidr.prefix)
  const value = (BigInt(`0x${Buffer.from(octets).toString('hex')}`) >> rest) << rest
  return { width, value, prefix: cidr.prefix }
}

function textOf({ width, value, prefix }: Block): string {
  const hex = value.toString(16).padStart(width / 4, '0')
  const address =
    width === 32
      ? Buffer.from(hex, 'hex').join('.')
      : canonical((hex.match(/.{4}/g) ?? []).map((group) => group.replace(/^0+(?=.)/, '')).join(':'))
  return prefix === width && width === 32 ? address : `${address}/${prefix}`
}

const contains = (outer: Block, inner: Block) =>
  outer.width === inner.width && outer.prefix <= inner.prefix && (outer.value ^ inner.value) >> BigInt(outer.width - outer.prefix) === 0n
const isSame = (a: Block, b: Block) => a.prefix === b.prefix && contains(a, b)

/** Whether a block is larger than any network of one operator, and not private. */
function isTooLarge(block: Block): boolean {
  return block.prefix < (block.width === 32 ? 8 : 16) && !PRIVATE_BLOCKS.some((one) => contains(one, block))
}

/** The blocks of `block` without those of `hole`, in the order of their addresses. */
function without(block: Block, hole: Block): readonly Block[] {
  if (contains(hole, block)) return []
  if (!contains(block, hole)) return [block]
  const rest: Block[] = []
  for (let prefix = block.prefix + 1; prefix <= hole.prefix; prefix++) {
    const bits = BigInt(block.width - prefix)
    rest.push({ width: block.width, value: ((hole.value >> bits) ^ 1n) << bits, prefix })
  }
  return rest.sort((a, b) => (a.value < b.value ? -1 : 1))
}
