import type { Random } from '../../src/clock.ts'
import type { Coverage } from './coverage.ts'
import { mutate, type Stock } from './mutate.ts'
import type { Target } from './target.ts'

/** An input that broke a property. */
export interface Finding {
  readonly message: string
  readonly input: Uint8Array
}

export interface Exploration {
  readonly executions: number
  /** Arms reached, of those there are in what was loaded. */
  readonly reached: number
  readonly corpus: readonly Uint8Array[]
  readonly findings: readonly Finding[]
}

export interface ExploreOptions {
  readonly target: Pick<Target, 'run' | 'timed' | 'maxOctets' | 'words'>
  readonly seeds: readonly Uint8Array[]
  readonly coverage: Coverage
  readonly random: Random
  /** Literals of what was loaded, latin1. */
  readonly words: () => readonly string[]
  /** Time that this process has worked: the machine has other work too. */
  readonly cpuMs: () => number
  /** Says when to end: asked after each execution. */
  readonly enough: (executions: number) => boolean
  readonly onFinding?: (finding: Finding) => void
}

/**
 * No input of at most 64 KiB may take more than 50 ms (test/fuzz/corpus.test.ts holds every seed to
 * that); the counting makes it some four times as slow.
 */
const SLOW_MS = 200
const LONG_OCTETS = 2048
const LONG_SELDOM = 64
const MAX_FINDINGS = 20
/** Runs spent on making one finding shorter. */
const MAX_CUTS = 2000
const MAX_CUTTING_MS = 10_000
const MAX_LEARNT = 4096
/** Operands of comparisons are learnt from one run in so many: it costs as much as the run. */
const CURIOUS_EVERY = 16

interface Entry {
  readonly input: Uint8Array
  /** Features that no shorter input shows. */
  owned: number
}

/**
 * Breeds inputs that reach what none reached before, as libFuzzer does: an input that shows a new
 * feature, or an old one with fewer octets, is kept; one that owns no feature any more is dropped.
 * Every run is checked by the target's properties and by the clock. The same seed gives the same
 * inputs.
 */
export async function explore(o: ExploreOptions): Promise<Exploration> {
  const { coverage, random, target } = o
  const owners: (Entry | undefined)[] = []
  const entries: Entry[] = []
  const edges = new Set<number>()
  const findings = new Map<string, Finding>()
  const learnt: Uint8Array[] = (target.words ?? []).map((word) => Uint8Array.from(word))
  const known = new Set<string>()
  let executions = 0

  const learn = (words: readonly string[]) => {
    for (const word of words) {
      if (known.has(word)) continue
      known.add(word)
      const octets = Uint8Array.from(Buffer.from(word, 'latin1'))
      if (learnt.length < MAX_LEARNT) learnt.push(octets)
      else learnt[random.below(MAX_LEARNT)] = octets
    }
  }
  const keep = (input: Uint8Array) => {
    const entry: Entry = { input, owned: 0 }
    coverage.visit((feature) => {
      const owner = owners[feature]
      if (owner !== undefined && owner.input.length <= input.length) return
      if (owner === undefined) edges.add(coverage.edgeOf(feature))
      else if (--owner.owned === 0) entries.splice(entries.indexOf(owner), 1)
      owners[feature] = entry
      entry.owned++
    })
    if (entry.owned > 0) entries.push(entry)
  }
  const found = async (error: unknown, input: Uint8Array) => {
    const message = describe(error)
    if (findings.has(message) || findings.size >= MAX_FINDINGS) return
    const finding = { message, input: await shortest(input, message, o) }
    findings.set(message, finding)
    o.onFinding?.(finding)
  }
  const execute = async (input: Uint8Array) => {
    executions++
    coverage.clear()
    coverage.curious = executions % CURIOUS_EVERY === 0
    const error = await fault(input, o)
    if (coverage.curious) learn(coverage.words())
    if (error === undefined) keep(input)
    else await found(error, input)
  }

  for (const seed of [new Uint8Array(0), ...o.seeds]) await execute(seed)
  const stock: Stock = {
    random,
    maxOctets: target.maxOctets,
    other: () => entries[random.below(entries.length)]?.input ?? new Uint8Array(0),
    word: () => learnt[random.below(learnt.length)],
  }
  /**
   * The latest of two, since what is new leads further; seldom a long one, since it costs the time
   * of many.
   */
  const parent = (): Uint8Array => {
    const { length } = entries
    if (length === 0) return new Uint8Array(0)
    const input = entries[Math.max(random.below(length), random.below(length))]?.input ?? new Uint8Array(0)
    return input.length <= LONG_OCTETS || random.below(LONG_SELDOM) === 0 ? input : parent()
  }
  while (!o.enough(executions)) {
    if (executions % 1000 === 0) learn(o.words())
    await execute(mutate(parent(), stock))
  }
  const corpus = entries.map(({ input }) => input).sort((a, b) => a.length - b.length)
  return { executions, reached: edges.size, corpus, findings: [...findings.values()] }
}

/** What is wrong with one run, or undefined. */
async function fault(input: Uint8Array, { target, cpuMs }: ExploreOptions): Promise<unknown> {
  const timeOf = async (run: (input: Uint8Array) => void | Promise<void>) => {
    const sinceMs = cpuMs()
    const running = run(input)
    if (running !== undefined) await running
    return cpuMs() - sinceMs
  }
  try {
    if ((await timeOf(target.run)) < SLOW_MS) return undefined
    // Most of that was the checking, or collecting garbage: slow is what is slow alone, three
    // times.
    for (let tries = 0; tries < 3; tries++) if ((await timeOf(target.timed)) < SLOW_MS) return undefined
  } catch (error) {
    return error ?? new Error('nothing was thrown')
  }
  return new Error(`slow: takes more than ${SLOW_MS} ms`)
}

/** By sentence and by the first place of ours in the stack, so that one defect is one finding. */
function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const place = /build\/((?:src|test\/fuzz)\/[^:)]+:\d+)/.exec(error.stack ?? '')?.[1]
  return `${error.name}: ${error.message.replace(/\d+/g, 'N')}${place === undefined ? '' : ` (${place})`}`
}

/** Cuts out what the fault does not need: halves first, single octets last. */
async function shortest(input: Uint8Array, message: string, o: ExploreOptions): Promise<Uint8Array> {
  let best = input
  let tries = 0
  const untilMs = o.cpuMs() + MAX_CUTTING_MS
  for (let size = input.length >>> 1; size > 0; size >>>= 1) {
    for (let from = 0; from < best.length && tries++ < MAX_CUTS && o.cpuMs() < untilMs; ) {
      const shorter = Uint8Array.from(Buffer.concat([best.subarray(0, from), best.subarray(from + size)]))
      const error = await fault(shorter, o)
      if (error !== undefined && describe(error) === message) best = shorter
      else from += size
    }
  }
  return best
}
