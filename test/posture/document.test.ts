import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { toJsonSchema } from '@valibot/to-json-schema'
import t from 'tap'
import type { Event } from '../../src/events.ts'
import { asStatusDocument, statusDocument } from '../../src/posture/document.ts'
import { report } from '../../src/posture/report.ts'
import { after, answered, at, dial, failed, JITTER, started, up, verdictOn } from './evidence.ts'

const COUNTS = { entries: 3, bytes: 900, maxBytes: 33_554_432, hits: 1, misses: 2 }
const WRITER = { version: '0.1.0', pid: 42, processStart: 'boot:1234', heartbeatS: 10 } as const

function documentAfter(events: readonly (Event | number)[]) {
  const { state, nowMs } = after(events, JITTER)
  return report(state, verdictOn(state, nowMs), WRITER, COUNTS, at(nowMs).wallMs)
}

t.test('a document has exactly the top level of the contract', (t) => {
  const names =
    'schema, version, pid, processStart, startedAt, updatedAt, heartbeatS, state, signals, proof, resolvers, paths, cache, shaping, plaintext, plaintextAllowed, bypassed, running'.split(
      ', ',
    )
  t.same(Object.keys(documentAfter([])), names)
  t.same(Object.keys(documentAfter([]).signals), ['secureNameResolution', 'protectedNetwork', 'policyCompliance', 'vpn', 'service'])
  t.end()
})

t.test('real documents validate and survive JSON', (t) => {
  const runs = [
    [],
    [started],
    [started, up('a'), answered('a')],
    [started, failed('a'), dial('b', 'pin-mismatch'), answered('a', { plain: true })],
  ]
  for (const events of runs) {
    const d = documentAfter(events)
    t.same(asStatusDocument(JSON.parse(JSON.stringify(d))), d)
  }
  t.equal(asStatusDocument({ ...documentAfter([]), state: 'fine' }), undefined)
  const older = documentAfter(runs[0] ?? [])
  const resolvers = older.resolvers.map(({ cipher: _none, ...r }) => r)
  t.ok(asStatusDocument({ ...older, resolvers }), 'one of before the cipher was told is a document too')
  t.end()
})

t.test('the evidence of a resolver', (t) => {
  const d = documentAfter([started, up('a'), answered('a', { rttMs: 11.26 }), failed('b'), answered('a', { bare: true, rttMs: 30 })])
  t.same(d.resolvers[0], {
    id: 'a',
    operator: 'Operator A',
    state: 'answering',
    transport: 'dot',
    authenticated: 'ca+spki',
    tlsVersion: 'TLSv1.3',
    cipher: 'TLS_AES_128_GCM_SHA256',
    group: null,
    certificateUntil: null,
    resumed: false,
    padding: { sentBlock: 128, repliesPadded: 'mixed' },
    lastHandshakeAt: '2026-01-01T00:00:02.000Z',
    lastAnswerAt: '2026-01-01T00:00:05.000Z',
    rttMs: { p50: 11.3, p90: 30, p99: 30, samples: 2 },
    failures: {},
  })
  t.match(d.resolvers[1], { state: 'failing', transport: null, authenticated: null, rttMs: null, failures: { deadline: 1 } })
  t.same(d.plaintext, { 'captive-portal': 0, 'split-dns': 0, 'dnscrypt-certificate': 0 })
  t.same(d.plaintextAllowed, [])
  t.end()
})

t.test('no address of a peer and no detail of a fault gets into the document', (t) => {
  const text = JSON.stringify(documentAfter([started, up('a'), dial('b', 'connect-refused'), answered('a')]))
  t.notMatch(text, /127\.0\.0\.1|"detail"/)
  t.end()
})

t.test('every field of the schema is described', (t) => {
  const bare: string[] = []
  let fields = 0
  const walk = (node: unknown, path: string): void => {
    if (typeof node !== 'object' || node === null) return
    for (const [key, child] of Object.entries(node)) {
      if (key === 'properties') {
        for (const [name, field] of Object.entries(child as Record<string, { description?: string }>)) {
          fields++
          if (field.description === undefined) bare.push(`${path}/${name}`)
        }
      }
      walk(child, key === 'properties' || key === 'items' ? path : `${path}/${key}`)
    }
  }
  walk(toJsonSchema(statusDocument, { errorMode: 'ignore' }), '')
  t.strictSame(bare, [])
  t.ok(fields > 60, `${fields} fields`)
  t.end()
})

t.test('schema/status.schema.json is the schema of the document', (t) => {
  let root = import.meta.dirname
  while (!existsSync(join(root, 'package.json'))) root = dirname(root)
  const file = join(root, 'schema', 'status.schema.json')
  const generated = `${JSON.stringify(
    {
      title: 'enigm-dns status',
      description: 'What the status file of enigm-dns holds.',
      ...toJsonSchema(statusDocument, { errorMode: 'ignore' }),
    },
    undefined,
    2,
  )}\n`
  if (process.env.UPDATE_SCHEMA === '1') writeFileSync(file, generated)
  t.equal(readFileSync(file, 'utf8'), generated, 'else run this test with UPDATE_SCHEMA=1')
  t.end()
})
