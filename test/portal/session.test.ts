import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import t, { type Test } from 'tap'
import { PlainClient } from '../../src/cleartext/plain-client.ts'
import { systemClock, systemRandom } from '../../src/clock.ts'
import type { SocketAddress } from '../../src/config/listen-address.ts'
import { nameFromText } from '../../src/dns/name.ts'
import { EnigmError } from '../../src/errors.ts'
import type { Event } from '../../src/events.ts'
import type { Outcome } from '../../src/job.ts'
import { CaptivePortal } from '../../src/portal/captive-portal.ts'
import { PortalSwitch } from '../../src/portal/portal-switch.ts'
import { PortalSession, PROBE_NAMES, SIMPLE_STUB } from '../../src/portal/session.ts'
import type { Query, Question } from '../../src/resolve.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { bytes, u16s } from '../support/messages.ts'
import { addressRecord, replyTo } from '../support/replies.ts'

const questionOf = (name: string, type = 1): Question => ({
  lower: bytes(nameFromText(name.toLowerCase()), u16s(type, 1)),
  type,
  class: 1,
})
const queryOf = (name: string, type = 1) => ({ question: questionOf(name, type) }) as Query

type Answer = (query: Buffer) => Uint8Array | undefined

/** A session whose resolver says what `answer` makes; nothing of it runs by itself. */
async function scene(t: Test, answer: Answer, o: { readonly forwarded?: string; readonly refused?: () => boolean } = {}) {
  const clock = new FakeClock()
  const events: Event[] = []
  const asked: Buffer[] = []
  const resolver = createSocket('udp4', (query, from) => {
    asked.push(query)
    const reply = answer(query)
    if (reply !== undefined) resolver.send(reply, from.port, from.address)
  })
  resolver.bind(0, '127.0.0.1')
  await once(resolver, 'listening')
  const over: string[] = []
  const session = new PortalSession({
    ...{ clock, random: systemRandom, emit: (event: Event) => void events.push(event), found: () => {} },
    refusal: () => (o.refused?.() === true ? new EnigmError('vpn-required', '') : undefined),
    isForwarded: ({ lower }) => o.forwarded !== undefined && Buffer.from(lower).includes(o.forwarded),
    resolvers: [{ address: '127.0.0.1', port: resolver.address().port }],
    untilMs: clock.nowMs() + 60_000,
    over: (why) => void over.push(why),
  })
  t.teardown(() => {
    session.close()
    resolver.close()
  })
  const ask = (name: string, type?: number) =>
    new Promise<Outcome>((resolve) => session.ask(queryOf(name, type), clock.nowMs() + 4000, resolve))
  return { clock, events, asked, session, ask, over, sent: () => events.filter(({ type }) => type === 'cleartext').length }
}

const codeOf = (outcome: Outcome) => (outcome instanceof EnigmError ? outcome.code : outcome.rcode)

t.test('takes the names of the platforms, exactly and in any type, and no other', async (t) => {
  const { session } = await scene(t, () => undefined)
  for (const name of PROBE_NAMES) t.ok(session.takes(questionOf(name)), name)
  t.ok(session.takes(questionOf('captive.apple.com', 28)))
  for (const name of ['apple.com', 'www.captive.apple.com', 'captive.apple.com.example', 'www.google.com', 'www.gstatic.com', 'example'])
    t.notOk(session.takes(questionOf(name)), name)
})

t.test('a name of a forward zone is never sent to the network', async (t) => {
  const { session } = await scene(t, () => undefined, { forwarded: 'ubuntu' })
  t.notOk(session.takes(questionOf('connectivity-check.ubuntu.com')))
  t.ok(session.takes(questionOf('nmcheck.gnome.org')))
})

t.test('an answer: TTL 5 at most, no AD, not to be stored, and counted before it is sent', async (t) => {
  const { ask, asked, sent } = await scene(t, (query) => replyTo(query, [addressRecord(9)], 0x81a0))
  const outcome = await ask('captive.apple.com')
  if (outcome instanceof EnigmError) throw outcome
  t.equal(outcome.storeS, 'no')
  t.equal(outcome.from, 'portal')
  t.equal(outcome.wire.at(-7), 5, 'TTL')
  t.equal((outcome.wire[3] ?? 0) & 0x20, 0, 'AD')
  t.equal(asked.length, 1)
  t.equal(sent(), 1)
  t.equal(asked[0]?.readUInt16BE(10), 0, 'no OPT: the least that a resolver of a hotel knows')
})

t.test('only address types are queried', async (t) => {
  const { ask, sent } = await scene(t, (query) => replyTo(query))
  for (const type of [65, 64, 16, 255, 2]) {
    const outcome = await ask('captive.apple.com', type)
    t.match(outcome, { rcode: 0, storeS: 'no' }, `type ${type}`)
  }
  t.equal(sent(), 0)
})

t.test('unmatched replies are ignored, and the wait continues', async (t) => {
  let first = true
  const { ask, clock } = await scene(t, (query) => {
    const wrong = replyTo(query, [addressRecord(66)])
    if (first) {
      first = false
      new DataView(wrong.buffer, wrong.byteOffset).setUint16(0, query.readUInt16BE(0) ^ 1)
      return wrong
    }
    return replyTo(query, [addressRecord(9)])
  })
  const outcome = ask('captive.apple.com')
  await new Promise((resolve) => setTimeout(resolve, 100))
  await clock.advance(1500)
  const found = await outcome
  t.equal(found instanceof EnigmError ? found : found.wire.at(-1), 9)
})

t.test('silence: two packets, then a failure at the deadline of the client', async (t) => {
  const { ask, clock, sent } = await scene(t, () => undefined)
  const outcome = ask('captive.apple.com')
  for (const ms of [1500, 1500, 1000]) {
    await new Promise((resolve) => setTimeout(resolve, 50))
    await clock.advance(ms)
  }
  t.equal(codeOf(await outcome), 'deadline')
  t.equal(sent(), 2)
})

t.test('no packet is sent once it is closed, after its time, or while the policy refuses', async (t) => {
  let refused = false
  const { ask, clock, sent, over, session } = await scene(t, (query) => replyTo(query, [addressRecord()]), { refused: () => refused })
  refused = true
  t.equal(codeOf(await ask('captive.apple.com')), 'closed')
  refused = false
  t.equal(codeOf(await ask('captive.apple.com')), 0)
  t.equal(sent(), 1)
  await clock.advance(60_000)
  t.not(codeOf(await ask('captive.apple.com')), 0, 'though no timer has run')
  t.equal(sent(), 1)
  session.close()
  t.equal(codeOf(await ask('nmcheck.gnome.org')), 'deadline')
  t.equal(sent(), 1)
  t.ok(over.length <= 1)
})

t.test('at most 64 questions of clients at a time', async (t) => {
  const { ask, session } = await scene(t, () => undefined)
  const waiting = Array.from({ length: 64 }, () => ask('captive.apple.com'))
  t.equal(codeOf(await ask('captive.apple.com')), 'overloaded')
  session.close()
  for (const outcome of await Promise.all(waiting)) t.equal(codeOf(outcome), 'closed')
})

t.test('the switch: off takes nothing; on in a worker passes every question on', (t) => {
  const main = new PortalSwitch()
  const worker = new PortalSwitch(main.shared)
  t.notOk(worker.takes(questionOf('captive.apple.com')))
  main.set({ takes: ({ type }) => type === 1, ask() {} })
  t.ok(worker.takes(questionOf('anything.example')))
  t.ok(main.takes(questionOf('captive.apple.com')))
  t.notOk(main.takes(questionOf('captive.apple.com', 28)))
  main.set(undefined)
  t.notOk(worker.on)
  t.end()
})

t.test('the status is exposed before the first packet, and the end is reported after the last', async (t) => {
  const clock = new FakeClock()
  const events: string[] = []
  const said: object[] = []
  const bypass = new PortalSwitch()
  const portal = new CaptivePortal({
    ...{ clock, random: systemRandom, bypass, refusal: () => undefined, isForwarded: () => false, ended: () => {} },
    emit: ({ type }) => void events.push(type),
  })
  const outlet = { send: (lines: readonly object[]) => said.push(...lines) > 0, end() {} }
  portal.begin(10_000, [{ address: '127.0.0.1', port: 9 }], outlet)
  t.strictSame(events, ['portal'])
  t.match(said[0], { portal: 'on' })
  for (let i = 0; i < 100 && !events.includes('cleartext'); i++) await new Promise((resolve) => setTimeout(resolve, 20))
  t.ok(bypass.on)
  await clock.advance(10_000)
  t.notOk(bypass.on)
  t.equal(events.at(-1), 'portal')
  t.match(said.at(-1), { portal: 'off', why: 'time', packets: events.filter((type) => type === 'cleartext').length })
  portal.end('stop')
  t.equal(events.filter((type) => type === 'portal').length, 2, 'over is over')
})

t.test('a resolver to which there is no route counts as one that failed, and the next one is asked', async (t) => {
  const server = createSocket('udp4', (query, from) => server.send(replyTo(query, [addressRecord()]), from.port, from.address))
  server.bind(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const clock = systemClock()
  // The kernel refuses it at once: a socket may not send to everybody unless it says so.
  const without = { address: '255.255.255.255', port: 53 }
  const reachable = { address: '127.0.0.1', port: server.address().port }
  const ask = (resolvers: readonly SocketAddress[]) =>
    new PlainClient({ clock, random: systemRandom, resolvers, manner: SIMPLE_STUB, mayLeave: () => true }).ask(
      questionOf('login.example.'),
      clock.nowMs() + 500,
    )
  t.match(await ask([without, reachable]), { kind: 'positive' })
  await t.rejects(ask([without]), { code: 'connect-failed' })
})
