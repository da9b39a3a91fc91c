import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import t, { type Test } from 'tap'
import { AnswerCache } from '../../src/cache/answer-cache.ts'
import { askedBy } from '../../src/cache/key.ts'
import { systemClock, systemRandom } from '../../src/clock.ts'
import type { SocketAddress } from '../../src/config/listen-address.ts'
import { nameFromText } from '../../src/dns/name.ts'
import { EnigmError } from '../../src/errors.ts'
import type { Event } from '../../src/events.ts'
import { Job, type Outcome } from '../../src/job.ts'
import { type Query, VIEW_OF_ALL } from '../../src/resolve.ts'
import { PlainSide } from '../../src/rules/plain-side.ts'
import { bytes, u16s } from '../support/messages.ts'
import { addressRecord, replyTo } from '../support/replies.ts'

const clock = systemClock()
// The timers of the clock do not keep the process alive.
const alive = setInterval(() => {}, 1000)
t.teardown(() => clearInterval(alive))

function queryFor(name: string): Query {
  const lower = bytes(nameFromText(name), u16s(1, 1))
  return {
    ...{ id: 0, question: { lower, type: 1, class: 1 }, authenticData: false, checkingDisabled: false, edns: undefined },
    client: { address: '127.0.0.1', transport: 'udp', view: VIEW_OF_ALL },
  }
}

/** A server whose address ends in `octet`; a mute one answers nothing. */
async function server(t: Test, octet: number, mute = false): Promise<SocketAddress & { readonly asked: number[] }> {
  const socket = createSocket('udp4')
  const asked: number[] = []
  socket.on('message', (message, from) => {
    asked.push(octet)
    if (!mute) socket.send(replyTo(message, [addressRecord(octet)]), from.port, from.address)
  })
  socket.bind(0, '127.0.0.1')
  await once(socket, 'listening')
  t.teardown(() => socket.close())
  return { address: '127.0.0.1', port: socket.address().port, asked }
}

function side(servers: readonly SocketAddress[] | (() => Promise<readonly SocketAddress[]>), refused: { now?: EnigmError } = {}) {
  const events: Event[] = []
  const one = new PlainSide({
    ...{ clock, random: systemRandom, emit: (event: Event) => void events.push(event), servers },
    refusal: () => refused.now,
    clamp: { minTtlS: 0, maxTtlS: 86_400 },
    lifetime: ({ ttlS }) => ttlS ?? 'no',
  })
  const ask = (name = 'host.corp.example', ms = 2000) =>
    new Promise<Outcome>((resolve) => {
      one.ask(new Job([], queryFor(name), { purpose: 'client', deadlineMs: clock.nowMs() + ms }, () => {}), resolve)
    })
  const said = async (name?: string, ms?: number) => {
    const outcome = await ask(name, ms)
    return outcome instanceof EnigmError ? outcome.code : outcome.wire.at(-1)
  }
  return { one, ask, said, events }
}

t.test('an answer belongs to its network, and each packet is an event before it leaves', async (t) => {
  const { ask, events } = side([await server(t, 1)])
  t.match(await ask(), { rcode: 0, storeS: 300, from: 'split-dns', ofNetwork: true })
  t.strictSame(events, [{ type: 'cleartext', cause: 'split-dns' }])
})

t.test('the link of another network: what is in progress is asked again there, and nothing of the old one is used', async (t) => {
  const [old, fresh] = [await server(t, 1, true), await server(t, 2)]
  let announced: readonly SocketAddress[] = [old]
  const { one, said } = side(async () => announced)
  const waiting = said()
  for (let i = 0; i < 100 && old.asked.length === 0; i++) await new Promise((resolve) => setTimeout(resolve, 10))
  announced = [fresh]
  one.disturbed()
  t.equal(await waiting, 2)
  t.equal(old.asked.length, 1)
})

t.test('a network that announces nothing: the question waits a little for a lease, and fails without one', async (t) => {
  const found = await server(t, 3)
  let announced: readonly SocketAddress[] = []
  const late = side(async () => announced)
  const waiting = late.said('host.corp.example', 4000)
  setTimeout(() => {
    announced = [found]
  }, 300)
  t.equal(await waiting, 3)
  t.equal(await side(async () => []).said('host.corp.example', 500), 'no-upstream')
})

t.test('the policy closes: no packet leaves, and the question fails for its reason', async (t) => {
  const asked = await server(t, 1)
  const { said, events } = side([asked], { now: new EnigmError('vpn-required', 'no') })
  t.equal(await said(), 'vpn-required')
  t.strictSame([asked.asked, events], [[], []])
})

t.test('closing: questions in progress end, later ones fail', async (t) => {
  const { one, said } = side([await server(t, 1)])
  const waiting = said()
  const closed = one.close()
  t.equal(await said('other.corp.example'), 'closed')
  t.equal(await waiting, 1)
  await closed
})

t.test('a change of network drops these answers from the cache, and no others', async (t) => {
  const cache = new AnswerCache({ maxBytes: 100_000, staleMaxS: 3600, seed: 1 })
  const { ask } = side([await server(t, 1)])
  const answer = await ask()
  if (answer instanceof EnigmError) return t.fail(answer.code)
  const { ofNetwork: _local, ...general } = answer
  cache.put(askedBy(queryFor('host.corp.example')), answer, cache.epoch, 0)
  const other = bytes(
    answer.wire.subarray(0, 12),
    queryFor('ten.example').question.lower,
    answer.wire.subarray(12 + queryFor('host.corp.example').question.lower.length),
  )
  cache.put(askedBy(queryFor('ten.example')), { ...general, wire: other }, cache.epoch, 0)
  t.equal(cache.entries, 2)
  cache.newNetwork()
  t.equal(cache.get(askedBy(queryFor('host.corp.example')), 0), undefined)
  t.equal(cache.stale(askedBy(queryFor('host.corp.example')), 400_000), undefined, 'nor is it given as a stale one')
  t.not(cache.get(askedBy(queryFor('ten.example')), 0), undefined)
})
