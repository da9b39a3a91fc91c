import t from 'tap'
import type { Event } from '../../src/events.ts'
import { plaintextLedger } from '../../src/posture/ledger.ts'

t.test('under strict nothing is let out', (t) => {
  const events: Event[] = []
  const ledger = plaintextLedger('strict', new Set(['captive-portal', 'user-exception']), (e) => events.push(e))
  t.notOk(ledger.allowPlaintext('captive-portal'))
  t.same(ledger.counts(), { 'captive-portal': 0, 'user-exception': 0 })
  t.same(events, [])
  t.end()
})

t.test('what is let out is counted and reported, and only what is permitted', (t) => {
  const events: Event[] = []
  const ledger = plaintextLedger('opportunistic', new Set(['captive-portal']), (e) => events.push(e))
  t.ok(ledger.allowPlaintext('captive-portal'))
  t.ok(ledger.allowPlaintext('captive-portal'))
  t.notOk(ledger.allowPlaintext('user-exception'))
  t.same(ledger.counts(), { 'captive-portal': 2, 'user-exception': 0 })
  t.same(events, [
    { type: 'plaintext', cause: 'captive-portal' },
    { type: 'plaintext', cause: 'captive-portal' },
  ])
  t.end()
})
