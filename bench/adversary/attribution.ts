import { lowerBound, REPLY_BODY, type Seen } from '../observer/observed.ts'
import { RTT_MS } from '../observer/resolver-model.ts'

/**
 * A reply that comes so soon after a slot was answered from the resolver's cache. The path's own
 * round trip is no secret: the handshake shows it.
 */
const QUICK_MS = RTT_MS + 10
const EARLIEST_MS = RTT_MS - 1
const FIRST = 96
const COUNTED = [4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 400, 600]
const HALVES = 16
const WHOLES = 30
const PLACES = 12
/** Of slots that were slow, of large replies, of slots that no reply belongs to. */
const KINDS = 3
const ONE_KIND = COUNTED.length + HALVES + WHOLES + PLACES + 2

/** How many features A4+ computes. */
export const ATTRIBUTED = FIRST + KINDS * ONE_KIND + 3

/**
 * A4+: latency and size attributed to slots. A reply that comes one round trip after a slot is that
 * slot's; those that are left over belong to the slots that are. It says which slots the resolver
 * had to look up, which brought a large reply, and which brought none.
 */
export function attributed(seen: Seen, into: Float32Array, at: number): void {
  const { out, slow, large, silent } = attribute(seen)
  const origin = out[0] ?? 0
  for (let i = 0; i < FIRST; i++) into[at + i] = i >= out.length ? -1 : (silent[i] ?? 0) * 4 + (large[i] ?? 0) * 2 + (slow[i] ?? 0)
  let put = at + FIRST
  for (const flags of [slow, large, silent]) put = summed(flags, out, origin, into, put)
  into[put++] = out.length
  into[put++] = out.length === 0 ? 0 : slow.reduce((sum, flag) => sum + flag, 0) / out.length
  into[put++] = longestRun(slow)
}

function summed(flags: Uint8Array, out: Float64Array, origin: number, into: Float32Array, at: number): number {
  const places: number[] = []
  let [sum, counted] = [0, 0]
  for (let i = 0; i < out.length; i++) {
    while (counted < COUNTED.length && COUNTED[counted] === i) into[at + counted++] = sum
    if (flags[i] === 0) continue
    sum++
    if (places.length < PLACES) places.push(i)
    const sinceMs = (out[i] ?? 0) - origin
    if (sinceMs < HALVES * 500) into[at + COUNTED.length + Math.floor(sinceMs / 500)]! += 1
    if (sinceMs < WHOLES * 1000) into[at + COUNTED.length + HALVES + Math.floor(sinceMs / 1000)]! += 1
  }
  while (counted < COUNTED.length) into[at + counted++] = sum
  const rest = at + COUNTED.length + HALVES + WHOLES
  for (let i = 0; i < PLACES; i++) into[rest + i] = places[i] ?? 9999
  into[rest + PLACES] = sum
  into[rest + PLACES + 1] = places.length < 2 ? 9999 : Math.min(...places.slice(1).map((place, i) => place - (places[i] ?? 0)))
  return rest + PLACES + 2
}

/** What is known of each slot, in order of time. */
interface Attributed {
  readonly out: Float64Array
  readonly slow: Uint8Array
  readonly large: Uint8Array
  readonly silent: Uint8Array
}

/** Which reply belongs to which slot, as well as times tell. */
export function attribute({ atMs, octets }: Seen): Attributed {
  const out = atMs.filter((_, i) => (octets[i] ?? 0) > 0)
  const back = atMs.filter((_, i) => (octets[i] ?? 0) < 0)
  const sizes = octets.filter((size) => size < 0)
  const taken = new Uint8Array(back.length)
  const slow = new Uint8Array(out.length)
  const large = new Uint8Array(out.length)
  const silent = new Uint8Array(out.length)
  const isLarge = (reply: number) => Number(-(sizes[reply] ?? 0) > REPLY_BODY)
  const left: number[] = []
  out.forEach((sentMs, slot) => {
    let reply = lowerBound(back, sentMs + EARLIEST_MS)
    while (taken[reply] === 1) reply++
    if ((back[reply] ?? Number.POSITIVE_INFINITY) <= sentMs + QUICK_MS) {
      taken[reply] = 1
      large[slot] = isLarge(reply)
    } else left.push(slot)
  })
  let reply = 0
  for (const slot of left) {
    while (reply < back.length && (taken[reply] === 1 || (back[reply] ?? 0) < (out[slot] ?? 0) + EARLIEST_MS)) reply++
    slow[slot] = Number(reply < back.length)
    silent[slot] = Number(reply >= back.length)
    large[slot] = isLarge(reply)
    reply++
  }
  return { out, slow, large, silent }
}

function longestRun(flags: Uint8Array): number {
  let [longest, run] = [0, 0]
  for (const flag of flags) {
    run = flag === 1 ? run + 1 : 0
    if (run > longest) longest = run
  }
  return longest
}
