import { once } from 'node:events'
import { createSecureServer as createH2 } from 'node:http2'
import { createServer as createHttps } from 'node:https'
import type { AddressInfo } from 'node:net'
import { Duplex } from 'node:stream'
import { setTimeout as pause } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { systemClock } from '../../../src/clock.ts'
import { targetKeyOf } from '../../../src/config/odoh-config.ts'
import { createAuthority } from '../../../src/demo/authority.ts'
import { newKeyPair, type Relay, startRelay, startTarget, type Target, type TargetOptions } from '../../../src/demo/oblivious-pair.ts'
import { EnigmError } from '../../../src/errors.ts'
import { tlsSessions } from '../../../src/link/dial/sessions.ts'
import { fetchTargetConfig } from '../../../src/link/odoh/fetch-config.ts'
import { ObliviousLink } from '../../../src/link/odoh/oblivious-link.ts'
import { SEAL_OCTETS, TargetKeys } from '../../../src/link/odoh/target-keys.ts'
import { FakeClock } from '../../support/fake-clock.ts'
import { codeOf, endpointAt, linkTo } from '../../support/link-rig.ts'
import { query } from '../../support/messages.ts'
import { addressRecord, replyTo } from '../../support/replies.ts'
import { freePace } from '../../support/rules.ts'

const authority = await createAuthority()
const identity = await authority.issue({ name: 'resolver.test' })
const ca = authority.certificate

interface Scene {
  readonly target: Target
  readonly relay: Relay
  readonly keys: TargetKeys
  readonly ask: ReturnType<typeof linkTo>['ask']
}

/** A link through a relay to a target, whose key is pinned and may be fetched. */
async function scene(
  t: Test,
  o: Partial<TargetOptions> & {
    readonly pinned?: boolean
    readonly fetches?: boolean
    readonly spoils?: (body: Buffer) => Buffer
    readonly chunked?: boolean
  } = {},
): Promise<Scene> {
  const target = await startTarget({ identity, answer: (q) => replyTo(q, [addressRecord()]), ...o })
  const relay = await startRelay({
    identity,
    targets: { 'resolver.test:1': { port: target.port, ca } },
    ...(o.spoils && { spoils: o.spoils }),
    chunked: o.chunked === true,
  })
  const clock = systemClock()
  const at = {
    resolver: 'test',
    addresses: ['127.0.0.1'],
    authenticationDomainName: 'resolver.test',
    spkiPins: [],
    ca,
    usageProfile: 'strict',
  } as const
  const options = { clock, sessions: tlsSessions(clock), pace: freePace(clock) }
  const pinned = targetKeyOf(Buffer.from(target.config(), 'base64'))
  const keys = new TargetKeys({
    clock,
    pinned: o.pinned === false || typeof pinned === 'string' ? undefined : pinned,
    fetch: o.fetches === false ? undefined : () => fetchTargetConfig({ ...at, doh: { port: target.port, path: '' } }, options),
  })
  const path = '/proxy?targethost=resolver.test%3A1&targetpath=%2Fdns-query'
  const {
    dot: _dot,
    doh: _doh,
    ...endpoint
  } = endpointAt(relay.port, { ca, odoh: { relay: 'relay', port: relay.port, path, keys, sealOctets: SEAL_OCTETS } })
  const { link, ask } = linkTo(endpoint, 'odoh')
  t.teardown(async () => {
    await link.close()
    await relay.close()
    await target.close()
  })
  return { target, relay, keys, ask }
}

const QUERY = query({ id: 77, name: 'secret.example', opt: {} })

t.test('a query goes through: the relay sees no name, the target sees the relay alone', async (t) => {
  const { target, relay, ask } = await scene(t)
  const { wire, protection } = await ask(QUERY)
  t.equal((wire[0] ?? 0) * 256 + (wire[1] ?? 0), 77)
  t.equal(protection.authenticated, true)
  t.equal(relay.log.length, 1)
  t.notOk(relay.log[0]?.body.includes('secret'), 'no label of the name in what the relay had')
  t.equal(relay.log[0]?.target, 'resolver.test:1')
  t.ok(Buffer.from(target.log[0]?.query ?? []).includes('secret'))
  t.equal(target.fetched(), 0, 'a pinned key is not fetched')
  const again = await ask(QUERY)
  t.ok(again.wire.length > 12)
  t.notSame(relay.log[0]?.body.subarray(37, 69), relay.log[1]?.body.subarray(37, 69), 'another ephemeral key')
})

for (const [unknownKey, chunked] of [
  ['status', false],
  ['empty', false],
  ['empty', true],
] as const)
  t.test(
    `another key (${unknownKey}${chunked ? ', of no length' : ''}): fetched once, and the query is answered all the same`,
    async (t) => {
      const { target, ask } = await scene(t, { unknownKey, chunked })
      await ask(QUERY)
      target.rotate()
      await Promise.all([ask(QUERY), ask(QUERY), ask(QUERY)])
      t.equal(target.fetched(), 1)
      t.equal(target.log.length, 4)
      target.rotate()
      t.equal(await codeOf(ask(QUERY)), 'target-key', 'within a minute it is not fetched again')
      t.equal(target.fetched(), 1)
    },
  )

t.test('without a pinned key it is fetched before the first query', async (t) => {
  const { target, relay, ask } = await scene(t, { pinned: false })
  await Promise.all([ask(QUERY), ask(QUERY)])
  t.strictSame([target.fetched(), target.log.length, relay.log.length], [1, 2, 2])
})

t.test('where nothing may be fetched nothing is: the query fails, and says what to do', async (t) => {
  const { target, relay, ask } = await scene(t, { fetches: false })
  target.rotate()
  await t.rejects(ask(QUERY), { code: 'target-key', message: /new config into the trusted set/ })
  t.strictSame([target.fetched(), relay.log.length], [0, 1])
})

t.test('a relay that changes a response has no answer accepted', async (t) => {
  const { ask } = await scene(t, {
    spoils(body) {
      const copy = Buffer.from(body)
      copy[copy.length - 1] = (copy.at(-1) ?? 0) ^ 1
      return copy
    },
  })
  t.equal(await codeOf(ask(QUERY)), 'reply-malformed')
})

t.test('the key is fetched at most once a minute, and sooner if the target was not reached', async (t) => {
  const clock = new FakeClock()
  const fetches: number[] = []
  const answers: (() => Promise<Uint8Array>)[] = []
  const keys = new TargetKeys({
    clock,
    pinned: undefined,
    fetch: () => {
      fetches.push(clock.nowMs())
      return answers.shift()?.() ?? Promise.reject(new EnigmError('http-status', 'status 500'))
    },
  })
  const refused = () => t.rejects(keys.ready(), { code: 'target-key' })
  answers.push(() => Promise.reject(new EnigmError('connect-refused', 'nobody there')))
  await refused()
  await refused()
  t.equal(fetches.length, 1)
  await clock.advance(2000)
  await refused()
  t.equal(fetches.length, 2, 'after two seconds: it was not reached')
  await clock.advance(59_000)
  await refused()
  t.equal(fetches.length, 2, 'it was asked: not before a minute is over')
  await clock.advance(1000)
  answers.push(async () => Buffer.from('nonsense'))
  await refused()
  t.equal(fetches.length, 3)
  t.throws(() => keys.seal(QUERY), { code: 'target-key' })
  t.notOk(keys.known)
})

/** Keys whose fetches the test ends, each with the signal that it was given. */
function slowKeys(o: { readonly beforeDial?: () => void } = {}) {
  const fetches: { readonly signal: AbortSignal; come(configs: Buffer): void; fail(error: EnigmError): void }[] = []
  const keys = new TargetKeys({
    ...o,
    clock: new FakeClock(),
    pinned: undefined,
    fetch: (signal) =>
      new Promise((come, fail) => {
        fetches.push({ signal, come, fail })
        signal.addEventListener('abort', () => fail(signal.reason))
      }),
  })
  return { keys, fetches }
}
/** Waits for the next fetch: what it needs is loaded first, which takes some turns. */
async function until(fetches: readonly unknown[], count: number): Promise<void> {
  for (let turns = 0; fetches.length < count && turns < 1000; turns++) await pause(2)
}

t.test('another network: a fetch of the key begins again, and queries wait for that one', async (t) => {
  const { keys, fetches } = slowKeys()
  const { link } = linkTo(endpointAt(1, { ca }), 'doh')
  const oblivious = new ObliviousLink(link, keys, systemClock())
  const waiting = [keys.ready(), keys.ready()]
  await until(fetches, 1)
  oblivious.renew(false)
  await until(fetches, 2)
  t.equal(fetches[0]?.signal.aborted, true)
  t.equal(fetches.length, 2, 'one for all that wait, within the minute')
  fetches[1]?.come(newKeyPair().configs)
  await Promise.all(waiting)
  t.ok(keys.known)
  await t.rejects(keys.renew(keys.version), { code: 'target-key' }, 'on one network it is fetched once a minute')
  keys.reset()
  const closing = keys.renew(keys.version)
  await until(fetches, 3)
  t.equal(fetches.length, 3)
  await oblivious.close()
  await t.rejects(closing, { code: 'closed' })
  t.equal(fetches[2]?.signal.aborted, true)
  t.equal(fetches.length, 3, 'a closed link fetches nothing')
})

t.test('the network is looked at before a key is fetched', async (t) => {
  let looks = 0
  const { keys, fetches } = slowKeys({
    beforeDial() {
      t.equal(fetches.length, 0)
      looks++
      keys.reset()
    },
  })
  const ready = keys.ready()
  await until(fetches, 1)
  t.strictSame([looks, fetches.length], [1, 1])
  fetches[0]?.fail(new EnigmError('hop-unreachable', 'the proxy "tor" cannot be reached', { hop: 'tor' }))
  await t.rejects(ready, { code: 'hop-unreachable', hop: 'tor' }, 'a hop that is down is named, not the key')
})

t.test('a relay that is down, or that is not the relay, is named as the hop', async (t) => {
  const pinned = targetKeyOf(newKeyPair().configs)
  if (typeof pinned === 'string') throw new Error(pinned)
  const keys = new TargetKeys({ clock: systemClock(), pinned, fetch: undefined })
  const relay = await startRelay({ identity, targets: {} })
  const asked = (port: number, authenticationDomainName = 'resolver.test') => {
    const place = { relay: 'relay-1', port, path: '/proxy', keys, sealOctets: SEAL_OCTETS }
    const { dot: _dot, doh: _doh, ...endpoint } = endpointAt(port, { ca, odoh: place, authenticationDomainName })
    const { link, ask } = linkTo(endpoint, 'odoh')
    t.teardown(() => link.close())
    return ask(QUERY)
  }
  t.teardown(() => relay.close())
  await t.rejects(asked(1), { code: 'connect-refused', hop: 'relay-1' })
  await t.rejects(asked(relay.port, 'other.test'), { code: 'certificate-name', hop: 'relay-1' })
})

t.test('behind hops a fetch of the key has the time that they need', async (t) => {
  const clock = new FakeClock()
  const hop = { kind: 'socks5', name: 'tor', host: '127.0.0.1', port: 1, protection: { by: 'none' }, credentials: 'per-operator' } as const
  const endpoint = endpointAt(1, { ca, route: [{ hop, ca: undefined, spkiPins: [] }] })
  const protection = { authenticated: false, why: 'tls-failed', tlsVersion: null, resumed: false } as never
  const silent = new Duplex({ read() {}, write: (_octets, _encoding, done) => done() })
  const secured = { stream: silent, protection, protocol: 'http/1.1' as string | undefined, certificate: () => undefined }
  const handshake = () => ({ result: Promise.resolve(secured), heard: () => true, abandon() {} })
  let fault: unknown
  fetchTargetConfig(endpoint, { clock, sessions: tlsSessions(clock), pace: freePace(clock), handshake }).catch((error) => {
    fault = error
  })
  // The request is written after some turns, and its limit of time begins then.
  await pause(100)
  await clock.advance(17_900)
  t.equal(fault, undefined)
  await clock.advance(200)
  for (let turns = 0; fault === undefined && turns < 1000; turns++) await pause(2)
  t.match(fault, { code: 'deadline' })
})

t.test('what a target publishes, over HTTP/1.1 and HTTP/2; a fault has its code', async (t) => {
  const clock = systemClock()
  const fetched = async (status: number, body: Uint8Array, over: 'http/1.1' | 'h2') => {
    const answer = (_request: unknown, response: { writeHead(status: number): { end(body: Uint8Array): void } }) =>
      void response.writeHead(status).end(body)
    const server = over === 'h2' ? createH2(identity, answer) : createHttps(identity, answer)
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const endpoint = endpointAt((server.address() as AddressInfo).port, { ca })
    try {
      return await fetchTargetConfig(endpoint, { clock, sessions: tlsSessions(clock), pace: freePace(clock) })
    } finally {
      server.close()
    }
  }
  const published = Buffer.from('what it publishes')
  for (const over of ['http/1.1', 'h2'] as const) {
    t.ok(Buffer.from(await fetched(200, published, over)).equals(published), over)
    t.equal(await codeOf(fetched(404, published, over)), 'http-status', over)
    t.equal(await codeOf(fetched(200, Buffer.alloc(9000), over)), 'http-size', over)
  }
  t.equal(
    await codeOf(fetchTargetConfig(endpointAt(1, { ca }), { clock, sessions: tlsSessions(clock), pace: freePace(clock) })),
    'connect-refused',
  )
})
