import t from 'tap'
import type { Endpoint } from '../../../src/link/dial/endpoint.ts'
import { sessionKey, tlsSessions } from '../../../src/link/dial/sessions.ts'
import { FakeClock } from '../../support/fake-clock.ts'

const HOUR_MS = 3600_000
const endpoint: Endpoint = {
  resolver: 'test',
  addresses: ['192.0.2.1'],
  authenticationDomainName: 'resolver.test',
  dot: { port: 853 },
  spkiPins: ['a', 'b'],
  ca: undefined,
  usageProfile: 'strict',
}

function scene() {
  const clock = new FakeClock()
  const sessions = tlsSessions(clock)
  const evidence = { by: 'ca', notBeforeMs: clock.wallMs() - HOUR_MS, notAfterMs: clock.wallMs() + HOUR_MS } as const
  const keep = (key: string, text: string) => sessions.keep(key, { session: Buffer.from(text), evidence })
  const take = (key: string) => sessions.take(key)?.session.toString()
  return { clock, sessions, keep, take, evidence }
}

t.test('each session is used once, the newest first, four are kept', async (t) => {
  const { keep, take, sessions } = scene()
  for (const text of ['1', '2', '3', '4', '5']) keep('k test', text)
  t.equal(sessions.size, 4)
  t.same([take('k test'), take('k test'), take('k test'), take('k test'), take('k test')], ['5', '4', '3', '2', undefined])
  t.equal(take('other test'), undefined)
})

t.test('a session ends with its certificate, with a clock set back before it, and by age', async (t) => {
  const { keep, take, clock, sessions, evidence } = scene()
  keep('k test', '1')
  clock.jumpWall(HOUR_MS)
  t.equal(take('k test'), undefined, 'the certificate has expired since')
  clock.jumpWall(-HOUR_MS)
  keep('k test', '1')
  clock.jumpWall(-2 * HOUR_MS)
  t.equal(take('k test'), undefined, 'it is not valid yet')
  clock.jumpWall(2 * HOUR_MS)
  sessions.keep('k test', { session: Buffer.from('1'), evidence: { ...evidence, notAfterMs: Number.MAX_SAFE_INTEGER } })
  await clock.advance(8 * HOUR_MS)
  t.equal(take('k test'), undefined)
  t.equal(sessions.size, 0)
})

t.test('the key contains everything on which the proof depends, but not the order of the pins', async (t) => {
  const key = sessionKey(endpoint, 'dot')
  t.equal(sessionKey({ ...endpoint, spkiPins: ['b', 'a'] }, 'dot'), key)
  const others = [
    sessionKey(endpoint, 'doh'),
    sessionKey({ ...endpoint, spkiPins: ['a'] }, 'dot'),
    sessionKey({ ...endpoint, spkiPins: [] }, 'dot'),
    sessionKey({ ...endpoint, ca: 'PEM' }, 'dot'),
    sessionKey({ ...endpoint, authenticationDomainName: 'other.test' }, 'dot'),
    sessionKey({ ...endpoint, resolver: 'other' }, 'dot'),
  ]
  t.equal(new Set([key, ...others]).size, 7)
})

t.test('a flush forgets one resolver, or all; the number of endpoints is bounded', async (t) => {
  const { keep, sessions, take } = scene()
  keep('k one', '1')
  keep('k two', '2')
  sessions.flush('one')
  t.equal(take('k one'), undefined)
  t.equal(take('k two'), '2')
  for (let i = 0; i < 300; i++) keep(`k ${i}`, '')
  t.equal(sessions.size, 256)
  sessions.flush()
  t.equal(sessions.size, 0)
})
