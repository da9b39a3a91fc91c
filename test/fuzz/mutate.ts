import type { Random } from '../../src/clock.ts'

/** What a mutation draws from. */
export interface Stock {
  readonly random: Random
  readonly maxOctets: number
  /** Another input to splice with. */
  readonly other: () => Uint8Array
  /** A word that means something to the parser, if any is known. */
  readonly word: () => Uint8Array | undefined
}

type Mutation = (input: Uint8Array, stock: Stock) => Uint8Array

/** Edges of the ranges that lengths, counts and types live in. */
const TELLING = [0, 1, 2, 3, 4, 12, 16, 41, 63, 64, 127, 128, 191, 192, 193, 253, 254, 255]

const at = (input: Uint8Array, { random }: Stock) => random.below(Math.max(1, input.length))
/** Mostly short: a small change leaves the rest of the message in place. */
const some = ({ random }: Stock, limit: number) => 1 + random.below(Math.max(1, Math.min(limit, random.below(8) === 0 ? limit : 12)))

function spliced(input: Uint8Array, from: number, to: number, ...parts: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(Buffer.concat([input.subarray(0, from), ...parts, input.subarray(to)]))
}

function with1(input: Uint8Array, index: number, octet: number): Uint8Array {
  const out = Uint8Array.from(input)
  if (out.length > 0) out[index] = octet
  return out
}

const flipBit: Mutation = (input, stock) => {
  const i = at(input, stock)
  return with1(input, i, (input[i] ?? 0) ^ (1 << stock.random.below(8)))
}
const setOctet: Mutation = (input, stock) => with1(input, at(input, stock), stock.random.below(256))
const setTelling: Mutation = (input, stock) => with1(input, at(input, stock), TELLING[stock.random.below(TELLING.length)] ?? 0)
const nudge: Mutation = (input, stock) => {
  const i = at(input, stock)
  return with1(input, i, (input[i] ?? 0) + stock.random.below(9) - 4)
}
const insert: Mutation = (input, stock) => {
  const i = stock.random.below(input.length + 1)
  return spliced(input, i, i, stock.random.bytes(some(stock, 64)))
}
const remove: Mutation = (input, stock) => {
  const i = at(input, stock)
  return spliced(input, i, Math.min(input.length, i + some(stock, input.length)))
}
const repeat: Mutation = (input, stock) => {
  const i = at(input, stock)
  const chunk = input.subarray(i, i + some(stock, 64))
  return spliced(input, i, i, ...Array.from({ length: some(stock, 16) }, () => chunk))
}
/** One chunk until the limit: what is quadratic shows only when it is long. */
const stretch: Mutation = (input, stock) => {
  if (stock.random.below(40) !== 0) return repeat(input, stock)
  const i = at(input, stock)
  const chunk = input.subarray(i, i + some(stock, 64))
  const times = Math.floor((stock.maxOctets - input.length) / Math.max(1, chunk.length))
  return chunk.length === 0 ? input : spliced(input, i, i, ...Array.from({ length: Math.max(0, times) }, () => chunk))
}
const move: Mutation = (input, stock) => {
  const i = at(input, stock)
  const to = at(input, stock)
  const chunk = input.slice(i, i + some(stock, 64))
  return spliced(input, to, Math.min(input.length, to + chunk.length), chunk)
}
const cross: Mutation = (input, stock) => {
  const other = stock.other()
  const from = stock.random.below(other.length + 1)
  return spliced(input, stock.random.below(input.length + 1), input.length, other.subarray(from))
}
const borrow: Mutation = (input, stock) => {
  const other = stock.other()
  const from = stock.random.below(other.length + 1)
  const i = stock.random.below(input.length + 1)
  return spliced(input, i, i, other.subarray(from, from + some(stock, 256)))
}
const putWord: Mutation = (input, stock) => {
  const word = stock.word()
  if (word === undefined) return setOctet(input, stock)
  const i = stock.random.below(input.length + 1)
  return spliced(input, i, Math.min(input.length, i + word.length), word)
}
const addWord: Mutation = (input, stock) => {
  const i = stock.random.below(input.length + 1)
  return spliced(input, i, i, stock.word() ?? stock.random.bytes(2))
}

const MUTATIONS: readonly Mutation[] = [
  ...[flipBit, setOctet, setTelling, nudge, insert, remove, remove, repeat, stretch, move, cross, borrow, putWord, putWord, addWord],
]
const MAX_STEPS = 5

/** `input` changed in one to five ways; never the array itself, never longer than `maxOctets`. */
export function mutate(input: Uint8Array, stock: Stock): Uint8Array {
  let out = input
  for (let steps = 1 + stock.random.below(MAX_STEPS); steps > 0; steps--) {
    const mutation = MUTATIONS[stock.random.below(MUTATIONS.length)] ?? flipBit
    out = mutation(out, stock)
  }
  return out === input ? Uint8Array.from(out) : out.subarray(0, stock.maxOctets)
}
