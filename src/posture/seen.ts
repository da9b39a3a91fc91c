import * as v from 'valibot'
import { isForeignJson, readPrivateJson, writePrivateJson } from '../files/json.ts'
import type { Seal } from './seal.ts'

/**
 * What a verifier remembers, by key: boots in the order in which they were first seen, each with
 * the highest sequence.
 */
const memory = v.record(
  v.pipe(v.string(), v.maxLength(200)),
  v.pipe(v.array(v.object({ bootId: v.pipe(v.string(), v.maxLength(200)), sequence: v.number() })), v.maxLength(64)),
)

/** Damaged, a memory still looks like one; the file of somebody else does not. */
const likeMemory = v.record(v.string(), v.array(v.looseObject({})))

const MAX_KEYS = 64
const MAX_BOOTS = 32

/** What earlier verifications saw. */
export interface Seen {
  /**
   * Whether this seal is older than one that was seen: a lower sequence of the same boot, or a boot
   * that another one has followed.
   */
  isOlder(seal: Seal): boolean
  /**
   * Keeps it, and writes only what is new; false if that was not possible, or the file is something
   * else: then a replay of it cannot be told next time.
   */
  remember(seal: Seal): boolean
}

/** The memory in `file`; a missing or damaged one is empty. */
export function seenIn(file: string): Seen {
  const known = readPrivateJson(file, memory) ?? {}
  return {
    isOlder(seal) {
      const boots = known[seal.key] ?? []
      const at = boots.findIndex((b) => b.bootId === seal.bootId)
      if (at < 0) return false
      return at < boots.length - 1 || seal.sequence < (boots[at]?.sequence ?? 0)
    },
    remember(seal) {
      if (isForeignJson(file, likeMemory)) return false
      // Read again: another verification may have seen more meanwhile.
      const now = readPrivateJson(file, memory) ?? {}
      const boots = now[seal.key] ?? []
      if (boots.some((b, i) => b.bootId === seal.bootId && (i < boots.length - 1 || b.sequence >= seal.sequence))) return true
      const others = boots.filter((b) => b.bootId !== seal.bootId)
      const mine = [...others, { bootId: seal.bootId, sequence: seal.sequence }].slice(-MAX_BOOTS)
      const rest = Object.entries(now).filter(([key]) => key !== seal.key)
      return writePrivateJson(file, Object.fromEntries([...rest.slice(-(MAX_KEYS - 1)), [seal.key, mine]]))
    },
  }
}
