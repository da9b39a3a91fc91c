import t, { type Test } from 'tap'
import { systemClock, systemRandom } from '../../src/clock.ts'
import { idOf, setId } from '../../src/dns/message.ts'
import { EnigmError } from '../../src/errors.ts'
import { type Loss, MAX_IN_FLIGHT, type Opened, type Sent } from '../../src/link/carriers/carrier.ts'
import { tlsSessions } from '../../src/link/dial/sessions.ts'
import { openTransport } from '../../src/link/transports.ts'
import type { Authenticated } from '../../src/resolve.ts'
import { nativeQuic } from '../../src/system/quic.ts'
import { requestFor } from '../shaping/paced-rig.ts'
import { pause } from '../support/link-rig.ts'
import { addressRecord, replyTo } from '../support/replies.ts'
import { freePace } from '../support/rules.ts'
import { type Answer, endpointOf, proofOf, type Server, serve, WAYS, type Way } from './contract-rig.ts'

/**
 * What `Carrier` (src/link/carriers/carrier.ts) promises, of everything that carries queries, to
 * real TLS servers.
 */
interface Scene {
  readonly way: Way
  readonly server: Server
  readonly opened: Opened<Authenticated>
}

function promise(what: string, answer: Answer, test: (t: Test, scene: Scene) => Promise<void>, ways: readonly Way[] = WAYS): void {
  for (const way of ways) {
    t.test(`${what}: ${way.name}`, async (t) => {
      const server = await serve(way, answer)
      t.teardown(() => server.close())
      const clock = systemClock()
      const opened = await openTransport(endpointOf(server.port, way), way.transport, {
        ...{ clock, sessions: tlsSessions(clock), pace: freePace(clock), random: systemRandom, emit: () => {} },
        quic: async () => nativeQuic(),
        ...(way.h2 === undefined ? {} : { h2: way.h2 }),
      })
      await test(t, { way, server, opened })
    })
  }
}

/** The carrier on what was opened, and all that was told, in turn. */
function carried({ opened }: Scene) {
  const told: string[] = []
  const carrier = opened.carry({
    clock: systemClock(),
    random: systemRandom,
    watcher: {
      heard: () => {},
      draining: () => void told.push('draining'),
      idle: () => void told.push('idle'),
      mismatch: () => void told.push('mismatch'),
      down: ({ code }) => void told.push(`down ${code}`),
    },
  })
  /** Tells under `name` how it ended, each time that it is told. */
  const send = (name: string, then: () => void = () => {}): Sent => {
    const request = requestFor(`${name}.example`)
    setId(request, 0x4711)
    return carrier.send(request, {
      answered: ({ wire, protection }) => {
        told.push(`${name} answered${idOf(wire) === 0x4711 && protection === carrier.protection ? '' : ' wrongly'}`)
        then()
      },
      failed: ({ code }, loss: Loss) => {
        told.push(`${name} ${code} ${loss}`)
        then()
      },
    })
  }
  const until = async (done: () => boolean) => {
    for (let i = 0; !done() && i < 1000; i++) await pause(2)
  }
  return { carrier, told, send, until, end: () => carrier.destroy(new EnigmError('closed', 'the test is over')) }
}

const answered: Answer = (q) => replyTo(q, [addressRecord()])
const slowly: Answer = (q) => pause(50).then(() => replyTo(q))
const silent: Answer = () => undefined
const isFor = (q: Uint8Array, name: string) => Buffer.from(q).toString('latin1').includes(name)

promise('it says where it leads, how it is protected, how long that took, and what the peer showed', answered, async (t, scene) => {
  const { opened } = scene
  const { carrier, end } = carried(scene)
  for (const one of [opened, carrier]) {
    t.equal(one.address, '127.0.0.1')
    t.match(one.protection, { authenticated: true, by: proofOf(scene.way).by, resumed: false })
    t.ok(one.handshakeMs > 0 && one.handshakeMs < 3000)
    if (scene.way.connectionless !== true) t.match(one.certificate()?.subjectAltName, /resolver\.test/)
  }
  end()
})

promise('closed instead of used: the peer sees the end, and not one octet', answered, async (t, { opened, server }) => {
  opened.close()
  await pause(30)
  t.strictSame({ ...server.counts }, { tcp: 1, queries: 0 })
})

promise('a request is answered once, under its ID; then it is idle, and nothing is owed', slowly, async (t, scene) => {
  const { carrier, told, send, until, end } = carried(scene)
  t.equal(carrier.silentSinceMs, undefined)
  send('a')
  t.equal(carrier.inFlight, 1)
  await until(() => carrier.silentSinceMs !== undefined)
  t.ok(carrier.silentSinceMs !== undefined, 'owed an answer')
  await until(() => told.length > 1)
  await pause(20)
  t.strictSame(told, ['a answered', 'idle'])
  t.equal(carrier.inFlight, 0)
  t.equal(carrier.silentSinceMs, undefined)
  end()
})

promise(
  'what is taken back is not called, however often',
  (q) => (isFor(q, 'last') ? replyTo(q) : undefined),
  async (t, scene) => {
    const { carrier, told, send, until, end } = carried(scene)
    const written = send('a')
    await until(() => scene.server.counts.queries > 0)
    const unwritten = send('a')
    for (const sent of [unwritten, unwritten, written, written]) sent.cancel()
    t.equal(carrier.inFlight, 0)
    if (scene.way.parallel) {
      send('last')
      await until(() => told.length > 2)
      t.strictSame(told, ['idle', 'last answered', 'idle'])
    } else t.strictSame(told, ['down connection-lost'], 'over HTTP/1.1 it costs the connection')
    end()
  },
)

promise('destroyed: all fail with that error, once, and no `down` follows; then nothing is taken', silent, async (t, scene) => {
  const { carrier, told, send } = carried(scene)
  for (const name of ['a', 'b', 'c']) send(name)
  await pause(40)
  carrier.destroy(new EnigmError('closed', 'the end'))
  const ends = [...told].sort()
  t.equal(carrier.inFlight, 0)
  carrier.destroy(new EnigmError('closed', 'the end, again'))
  await pause(30)
  t.strictSame([...told].sort(), ends)
  t.strictSame(
    ends.map((one) => one.replace(/ (lost|unsent)$/, '')),
    ['a closed', 'b closed', 'c closed'],
  )
  send('d')
  t.notOk(
    told.some((one) => one.startsWith('d')),
    'later, not at once',
  )
  await pause(5)
  t.equal(told.at(-1), 'd connection-lost refused')
  t.notOk(carrier.probe())
})

promise(
  'the peer ends it: told once, before what is in flight fails, each once; a request made meanwhile is refused',
  (q, peer) => {
    if (isFor(q, 'fatal')) setTimeout(() => peer.kill(), 20)
    return undefined
  },
  async (t, scene) => {
    const { carrier, told, send, until } = carried(scene)
    send('fatal', () => void send('x'))
    for (const name of ['b', 'c']) send(name, () => void send('x'))
    await until(() => told.filter((one) => one.startsWith('x')).length === 3)
    await pause(30)
    t.equal(told[0], 'down connection-lost')
    for (const name of ['fatal', 'b', 'c']) t.equal(told.filter((one) => one.startsWith(`${name} connection-lost`)).length, 1, name)
    t.strictSame(
      told.filter((one) => one.startsWith('x')),
      ['x connection-lost refused', 'x connection-lost refused', 'x connection-lost refused'],
    )
    t.equal(told.length, 7)
    t.equal(carrier.inFlight, 0)
  },
  WAYS.filter(({ connectionless }) => connectionless !== true),
)

promise('a ticket may end the connection: no other is answered after that', answered, async (t, scene) => {
  const { carrier, told, send, until } = carried(scene)
  const end = () => carrier.destroy(new EnigmError('closed', 'enough'))
  for (const name of ['a', 'b', 'c']) send(name, end)
  await until(() => told.length >= 3)
  await pause(30)
  t.equal(told.length, 3)
  t.equal(told.filter((one) => one.endsWith('answered')).length, 1)
  t.equal(told.filter((one) => one.includes('closed')).length, 2)
})

promise('no more are in flight than the limit: the next is told so, and the others are not', silent, async (t, scene) => {
  const { carrier, told, send, until, end } = carried(scene)
  for (let i = 0; i < MAX_IN_FLIGHT; i++) send(`n${i}`)
  send('more')
  t.equal(carrier.inFlight, MAX_IN_FLIGHT)
  await until(() => told.length > 0)
  t.strictSame(told, ['more overloaded final'])
  end()
  t.equal(told.length, MAX_IN_FLIGHT + 1)
  t.equal(carrier.inFlight, 0)
})

promise('turned away and taken back, it is not called', silent, async (t, scene) => {
  const { told, send, end } = carried(scene)
  end()
  send('a').cancel()
  await pause(10)
  t.strictSame(told, [])
})
