import { toJsonSchema } from '@valibot/to-json-schema'
import t from 'tap'
import { REDACTED_SCHEMA, redacted, statusDocument } from '../../src/posture/document.ts'
import { isReasonCode, REASONS } from '../../src/posture/reasons.ts'
import { report } from '../../src/posture/report.ts'
import { after, answered, at, failed, JITTER, started, up, verdictOn } from './evidence.ts'

const SECRET = 'quad9.example 192.0.2.7 wg0 CH'

function full() {
  const resolvers = JITTER.resolvers.map((r) => ({ ...r, operator: SECRET, jurisdiction: SECRET, pins: 3, claims: { filtering: SECRET } }))
  const { state, nowMs } = after([started, up('a'), answered('a'), failed('b', 'pin-mismatch')], { ...JITTER, resolvers })
  const writer = { version: SECRET, pid: 42, processStart: SECRET, heartbeatS: 10 }
  return report(state, verdictOn(state, nowMs), writer, { entries: 3, bytes: 900, maxBytes: 1 }, at(nowMs).wallMs)
}

t.test('states, severities and codes, resolvers as counts, and nothing else', (t) => {
  t.same(redacted(full()), {
    schema: REDACTED_SCHEMA,
    state: 'protected',
    signals: {
      secureNameResolution: {
        state: 'warn',
        reasons: [{ code: 'pin-mismatch', severity: 'warn' }],
      },
      protectedNetwork: { state: 'unknown', reasons: [{ code: 'not-assessed', severity: 'info' }] },
      policyCompliance: { state: 'off', reasons: [{ code: 'not-assessed', severity: 'info' }] },
      vpn: { state: 'off', reasons: [{ code: 'not-assessed', severity: 'info' }] },
      service: { state: 'ok', reasons: [] },
    },
    resolvers: { answering: 1, idle: 0, failing: 1, untried: 0 },
    shaping: { inForce: 'yes' },
    bypassed: { seen: 'cannot-tell' },
  })
  t.end()
})

t.test('for any file, only predefined words pass', (t) => {
  const hostile = JSON.parse(JSON.stringify(full()), (_key, value) => (typeof value === 'string' ? SECRET : value))
  const extra = { ...hostile, [SECRET]: SECRET, signals: { ...hostile.signals, [SECRET]: { state: 'ok' } } }
  const text = JSON.stringify(redacted(extra))
  t.notMatch(text, /quad9|192\.0|wg0/)
  t.match(text, /"other"/, 'a code that is not ours is told as such')
  for (const junk of [undefined, null, 7, 'x', [], [1], { signals: [] }, { signals: { service: { reasons: {} } } }, { resolvers: 'x' }])
    t.equal(redacted(junk).schema, REDACTED_SCHEMA)
  t.notOk(isReasonCode('toString'))
  t.end()
})

t.test('the allow-list is in the published schema', (t) => {
  const text = JSON.stringify(toJsonSchema(statusDocument, { errorMode: 'ignore' }))
  t.ok((text.match(/"x-share"/g) ?? []).length > 10)
  for (const [code, { doc }] of Object.entries(REASONS)) t.ok(/^[a-z-]+$/.test(code) && doc.endsWith('.'), code)
  t.end()
})
