import t from 'tap'
import { AnswerCache } from '../../src/cache/answer-cache.ts'
import { viewOf } from '../../src/cache/key.ts'
import { nameFromText } from '../../src/dns/name.ts'
import { record, synthesise } from '../../src/dns/response.ts'
import type { Asked } from '../../src/job.ts'
import type { Answer, Question } from '../../src/resolve.ts'
import { RULES_VERSIONS, RulesVersion } from '../../src/rules-version.ts'

const MARK = 0x4000
const UPSTREAM = { upstream: 'a', transport: 'dot' } as const

function asked(text: string): Asked {
  const octets = Buffer.concat([nameFromText(text), Buffer.of(0, 1, 0, 1)])
  return { octets, from: 0, end: octets.length, mark: (octets.length << 18) | (MARK & 0x3fffc), hash: 0 }
}

function answer(text: string, from: Answer['from'] = UPSTREAM, storeS = 60): Answer {
  const question: Question = { lower: asked(text).octets, type: 1, class: 1 }
  const wire = synthesise(question, { rcode: 0, answers: [record(nameFromText(text), 1, 60, Buffer.of(192, 0, 2, 1))] })
  return { wire, rcode: 0, storeS, from }
}

function scene(o: { readonly judges: boolean; readonly staleMaxS?: number }) {
  const version = new RulesVersion()
  const judged: string[] = []
  let blocked = ''
  const allows = (wire: Uint8Array, view: number) => {
    const name = Buffer.from(wire.subarray(13, 13 + (wire[12] ?? 0))).toString('latin1')
    judged.push(`${name} ${view}`)
    return name !== blocked
  }
  const rules = { version, allows: o.judges ? allows : undefined }
  const cache = new AnswerCache({ maxBytes: 1 << 20, staleMaxS: o.staleMaxS ?? 0, seed: 1, rules })
  const put = (text: string, from?: Answer['from'], under?: number) => cache.put(asked(text), answer(text, from), cache.epoch, 0, under)
  return { version, judged, cache, put, block: (name: string) => (blocked = name) }
}

t.test('a change of the rules flushes nothing: each entry is judged once, at its first hit after it', (t) => {
  const { version, judged, cache, put, block } = scene({ judges: true })
  for (const name of ['good', 'bad', 'idle']) put(name)
  for (let i = 0; i < 1_000_000; i++) if (cache.get(asked('good'), 1) === undefined) throw new Error('no hit')
  t.strictSame(judged, [], 'hits do not ask the rules')
  block('bad')
  version.change()
  t.ok(cache.get(asked('good'), 1))
  t.equal(cache.get(asked('bad'), 1), undefined)
  t.equal(cache.get(asked('bad'), 1), undefined, 'it is gone')
  for (let i = 0; i < 1000; i++) cache.get(asked('good'), 1)
  t.strictSame(judged, [`good ${viewOf(asked('good').mark)}`, `bad ${viewOf(asked('bad').mark)}`])
  t.equal(cache.entries, 2, 'the idle one waits for its hit')
  t.end()
})

t.test('an answer that was made here is made again, not judged', (t) => {
  const { version, judged, cache, put } = scene({ judges: true })
  put('blocked', 'policy')
  t.ok(cache.get(asked('blocked'), 1)?.isOwn)
  version.change()
  t.equal(cache.get(asked('blocked'), 1), undefined)
  t.strictSame(judged, [])
  t.end()
})

t.test('an answer on its way during a change is judged at its first hit', (t) => {
  const { version, judged, cache, put, block } = scene({ judges: true })
  const before = cache.rulesVersion
  block('late')
  version.change()
  put('late', UPSTREAM, before)
  t.equal(cache.get(asked('late'), 1), undefined)
  t.equal(judged.length, 1)
  t.end()
})

t.test('a thread without rules asks again', (t) => {
  const { version, cache, put } = scene({ judges: false })
  put('good')
  version.change()
  t.equal(cache.get(asked('good'), 1), undefined)
  put('good')
  t.ok(cache.get(asked('good'), 1))
  t.end()
})

t.test('a stale answer that is blocked now is not served', (t) => {
  const { version, cache, put, block } = scene({ judges: true, staleMaxS: 600 })
  put('good')
  put('bad')
  block('bad')
  version.change()
  t.ok(cache.stale(asked('good'), 61_000))
  t.equal(cache.stale(asked('bad'), 61_000), undefined)
  t.end()
})

t.test('the version is shared between threads, and comes round', (t) => {
  const version = new RulesVersion()
  const other = new RulesVersion(version.shared)
  version.change()
  t.equal(other.current, 1)
  for (let i = 0; i < RULES_VERSIONS; i++) version.change()
  t.ok(other.current < RULES_VERSIONS - 1)
  t.end()
})
