import t from 'tap'
import type { Event } from '../../src/events.ts'
import { answered, at, started, verdictAfter } from './evidence.ts'

const DAY_MS = 86_400_000

/** An answer over a connection whose certificate is valid from and to these days from now. */
function withDates(fromDays: number, toDays: number): Event {
  const event = answered('a')
  const validity = { notBeforeMs: at(fromDays * DAY_MS).wallMs, notAfterMs: at(toDays * DAY_MS).wallMs }
  return { ...event, protection: { ...event.protection, validity } }
}

const said = (...events: readonly (Event | number)[]) =>
  verdictAfter(events).signals.secureNameResolution.reasons.filter(({ code }) => code === 'certificate-expires')

t.test('a certificate is announced 14 days before it expires', (t) => {
  t.strictSame(said(started, withDates(-60, 15)), [])
  t.match(said(started, withDates(-60, 14)), [{ severity: 'warn', message: 'The certificate of a expires in 14 days.' }])
  t.match(said(started, withDates(-1, 9)), [{ message: 'The certificate of a expires in 9 days.' }])
  t.match(said(started, withDates(-60, 1)), [{ message: 'The certificate of a expires in 1 day.' }])
  t.match(said(started, withDates(-60, 0.5)), [{ message: 'The certificate of a expires in 1 day.' }])
  t.match(said(started, withDates(-60, -1)), [{ message: 'The certificate of a has expired, or the clock of this host is wrong.' }])
  t.match(said(started, withDates(-800, -700)), [{ message: /has expired/ }])
  t.end()
})

t.test('one that is valid for a few days is announced in the last third of its life', (t) => {
  t.strictSame(said(started, withDates(-1, 6)), [])
  t.strictSame(said(started, withDates(-3, 3)), [])
  t.match(said(started, withDates(-4, 2)), [{ message: 'The certificate of a expires in 2 days.' }])
  t.end()
})

t.test('it comes with time, and goes with a renewed certificate', (t) => {
  t.match(said(started, withDates(-60, 15), 2 * DAY_MS), [{ message: 'The certificate of a expires in 13 days.' }])
  t.strictSame(said(started, withDates(-60, 5), withDates(0, 90)), [])
  t.end()
})
