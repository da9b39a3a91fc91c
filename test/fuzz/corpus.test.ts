import { readdirSync } from 'node:fs'
import { dirname } from 'node:path'
import t from 'tap'
import { seededRandom } from '../support/fake-clock.ts'
import { corpusFile, readCorpus } from './corpus.ts'
import { Coverage, installCoverage } from './coverage.ts'
import { explore } from './explore.ts'
import { GLOBAL, instrument } from './instrument.ts'
import type { Target } from './target.ts'
import { TARGETS } from './targets.ts'

const LIMIT_MS = 50
const LONG_OCTETS = 8192

for (const [name, entry] of Object.entries(TARGETS)) {
  t.test(`${name}: every input that once reached new code, or found a bug, passes`, async (t) => {
    const target = await entry.load()
    const inputs = [...target.seeds, ...readCorpus(name)]
    t.ok(inputs.length > target.seeds.length, 'there is a corpus')
    for (const input of inputs) {
      await t.resolves(Promise.resolve(target.run(input)), Buffer.from(input.subarray(0, 64)).toString('hex'))
      if (input.length < LONG_OCTETS) continue
      const takesMs = await bestCpuMs(target, input)
      t.ok(takesMs < LIMIT_MS, `${input.length} octets in ${takesMs.toFixed(1)} ms`)
    }
  })
}

/** Of five times, what it takes at its best: another process on the machine must not decide. */
async function bestCpuMs(target: Target, input: Uint8Array): Promise<number> {
  let best = Number.POSITIVE_INFINITY
  for (let i = 0; i < 5; i++) {
    const before = process.cpuUsage()
    await target.timed(input)
    const { user, system } = process.cpuUsage(before)
    best = Math.min(best, (user + system) / 1000)
  }
  return best
}

t.test('every corpus has a target', async (t) => {
  const files = readdirSync(dirname(corpusFile('any'))).map((file) => file.replace('.hex', ''))
  t.strictSame(files.sort(), Object.keys(TARGETS).sort())
})

/** A defect behind three comparisons: blind chance would need some 2^40 tries. */
const PLANTED = `
export function read(octets) {
  if (octets.length < 8) return 0
  if (((octets[0] << 8) | octets[1]) === 0xbeef) {
    if (octets[2] === 0x7a && octets[5] === 0x11) throw new Error('planted')
    return 1
  }
  return octets[7] > 9 ? 2 : 3
}`

t.test('the explorer finds a planted bug, the same way for the same seed', async (t) => {
  const coverage = installCoverage()
  const { code, edges, words } = instrument(PLANTED, 'planted.js')
  const { read } = (await import(`data:text/javascript,${encodeURIComponent(code)}`)) as { read: (octets: Uint8Array) => number }
  t.ok(edges >= 6 && coverage.edges === edges, `${edges} arms`)
  const run = () => {
    let found = false
    return explore({
      target: { run: (input) => void read(input), timed: () => {}, maxOctets: 64 },
      seeds: [new Uint8Array(8)],
      coverage,
      random: seededRandom(7),
      words: () => words,
      cpuMs: () => 0,
      enough: (executions) => found || executions > 300_000,
      onFinding: () => {
        found = true
      },
    })
  }
  const first = await run()
  t.match(first.findings, [{ message: /planted/ }])
  t.equal(first.findings[0]?.input.length, 8, 'cut to what it needs')
  t.ok(first.reached >= 5, `${first.reached} arms reached`)
  const second = await run()
  t.equal(second.executions, first.executions)
  Reflect.deleteProperty(globalThis, GLOBAL)
})

t.test('instrumented code behaves the same', async (t) => {
  const source = `
    export const f = (x) => { switch (x) { case 1: return 'one'; default: return x === 2 ? 'two' : x !== 3 && 'many' } }
    export function* g(list) { for (const v of list) if (v) yield v; else continue }
    export class C { #n = 0; get n() { return this.#n } add(v) { try { if (v < 0) throw v; this.#n += v ?? 1 } catch { this.#n = -1 } return this } }`
  Object.defineProperty(globalThis, GLOBAL, { value: new Coverage(), configurable: true })
  const load = async (code: string) => await import(`data:text/javascript,${encodeURIComponent(code)}`)
  const results = (m: {
    f: (x: number) => unknown
    g: (l: number[]) => Iterable<number>
    C: new () => { n: number; add(v?: number): never }
  }) => [...[1, 2, 3, 4].map(m.f), [...m.g([1, 0, 2])], ...[undefined, 3, -1].map((v) => new m.C().add(v)).map(({ n }) => n)]
  t.strictSame(results(await load(instrument(source, 'm.js').code)), results(await load(source)))
  Reflect.deleteProperty(globalThis, GLOBAL)
})
