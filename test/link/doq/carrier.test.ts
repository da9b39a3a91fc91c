import { randomBytes } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { systemClock, systemRandom } from '../../../src/clock.ts'
import { createAuthority } from '../../../src/demo/authority.ts'
import type { StrictEndpoint } from '../../../src/link/dial/endpoint.ts'
import { tlsSessions } from '../../../src/link/dial/sessions.ts'
import { DOQ } from '../../../src/link/doq/carrier.ts'
import { openScheduled, openTransport } from '../../../src/link/transports.ts'
import { missingQuic } from '../../../src/quic.ts'
import { nativeQuic } from '../../../src/system/quic.ts'
import { startDoq } from '../../support/doq-server.ts'
import { codeOf, endpointAt, NAME, pause } from '../../support/link-rig.ts'
import { query } from '../../support/messages.ts'
import { newerNode, runIn } from '../../support/real/newer-node.ts'
import { addressRecord, replyTo } from '../../support/replies.ts'
import { freePace } from '../../support/rules.ts'

const clock = systemClock()
const authority = await createAuthority()
const options = () => ({ clock, sessions: tlsSessions(clock), pace: freePace(clock), quic: async () => nativeQuic() })
const at = (port: number, more: Partial<StrictEndpoint> = {}): StrictEndpoint => ({
  ...endpointAt(port, { ca: authority.certificate, doq: { port } }),
  ...more,
})
/** How many datagrams of an attacker; `npm run test:long` sends a million. */
const HOSTILE = process.env.HOSTILE_DATAGRAMS ?? '20000'
const isFor = (q: Uint8Array, name: string) => Buffer.from(q).toString('latin1').includes(name)

/** What a Node with QUIC does; as lines of JSON. */
async function inNewerNode(): Promise<void> {
  const tell = (what: string, found: object) => process.stdout.write(`${JSON.stringify({ what, ...found })}\n`)
  const identity = await authority.issue({ name: NAME })
  const seen: number[] = []
  const server = startDoq({
    identity,
    answer: (q) => {
      seen.push(q[0] ?? 0, q[1] ?? 0)
      if (isFor(q, 'busy')) return DOQ.excessiveLoad
      if (isFor(q, 'long')) return { raw: Buffer.concat([Buffer.from([0, 12]), replyTo(q)]) }
      if (isFor(q, 'nothing')) return { raw: new Uint8Array(0) }
      return replyTo(q, [addressRecord()])
    },
  })
  const opened = await openTransport(at(server.port), 'doq', options())
  const told: string[] = []
  const watcher = {
    ...{ heard: () => {}, draining: () => {}, idle: () => {} },
    mismatch: () => void told.push('mismatch'),
    down: ({ message }: Error) => void told.push(message),
  }
  const carrier = opened.carry({ clock, random: systemRandom, watcher })
  const ask = (name: string) =>
    new Promise<string>((resolve) => {
      const request = query({ name, id: 0x4711 })
      carrier.send(request, {
        answered: ({ wire }) => resolve(`answered ${wire[0]} ${wire[1]}`),
        failed: ({ code, message }, loss) => resolve(`${code} ${loss}: ${message}`),
      })
    })
  tell('protection', opened.protection)
  tell('reply', { said: await ask('www.example'), id: seen.slice(0, 2) })
  tell('reset', { said: await ask('busy.example') })
  tell('empty', { said: await ask('nothing.example') })
  tell('many', {
    said: [...new Set(await Promise.all(Array.from({ length: 300 }, (_, i) => ask(`n${i}.example`))))],
    connections: server.counts.connections,
  })
  tell('broken', { said: await ask('long.example'), told })

  const faults: [string, Partial<StrictEndpoint>][] = [
    ['name', { authenticationDomainName: 'other.test' }],
    ['root', { ca: (await createAuthority()).certificate }],
    ['bundled roots', { ca: undefined }],
    ['pin', { spkiPins: [Buffer.alloc(32).toString('base64')] }],
  ]
  const before = server.counts.queries
  for (const [what, more] of faults) tell(what, { code: await codeOf(openTransport(at(server.port, more), 'doq', options())) })
  tell('not one query', { queries: server.counts.queries - before })
  const pinned = await openTransport(at(server.port, { spkiPins: [identity.spkiPin] }), 'doq', options())
  tell('pinned', pinned.protection)
  pinned.close()
  await server.close()
  await hostile(tell)
}

/** Datagrams of an attacker to a connection in its handshake, and to one that is up. */
async function hostile(tell: (what: string, found: object) => void): Promise<void> {
  const count = Number(HOSTILE)
  const quic = nativeQuic()
  if (quic === undefined) throw new Error('no QUIC')
  const sent: Uint8Array[] = []
  const connection = quic.connect({
    ...{ address: '127.0.0.1', port: 1, serverName: NAME, roots: authority.certificate, groups: 'X25519', verify: true },
    send: (datagram) => {
      sent.push(datagram)
      if (sent.length > 64) sent.shift()
    },
  })
  connection.handshake()
  let ended = 0
  for (let i = 0; i < count; i++) {
    const base = sent[i % Math.max(1, sent.length)]
    const datagram = i % 3 === 0 || base === undefined ? randomBytes(systemRandom.below(1500)) : Buffer.from(base)
    for (let flips = systemRandom.below(20); flips > 0 && datagram.length > 0; flips--)
      datagram[systemRandom.below(datagram.length)] = systemRandom.below(256)
    connection.receive(datagram)
    if (i % 16 === 0) {
      connection.drive()
      connection.handshake()
      connection.request(Buffer.from([0, 1, 2]))
      if (connection.ended() !== undefined) ended++
    }
    if (i % 4096 === 0) await pause(0)
  }
  connection.close(0)
  for (let i = 0; i < 3; i++) {
    connection.close(0)
    connection.receive(randomBytes(100))
    connection.drive()
    connection.handshake()
  }
  tell('hostile', { count, ended, after: [connection.timeoutMs() ?? null, connection.request(new Uint8Array(3)) ?? null] })
}

function tests(): void {
  t.test('the sentence on a Node without QUIC, which is not dialled', async (t) => {
    t.equal(
      missingQuic({ ...process.versions, node: '22.1.0', openssl: '3.0.15' }),
      'DNS over QUIC needs Node 24 or later: Node 22.1.0 has OpenSSL 3.0.15, which has no QUIC',
    )
    for (const openssl of ['3.5.0', '3.5.8', '4.0.1']) t.equal(missingQuic({ ...process.versions, openssl }), undefined, openssl)
    if (missingQuic() === undefined) return
    t.equal(nativeQuic(), undefined)
    await t.rejects(openTransport(at(853), 'doq', options()), { code: 'connect-failed', message: missingQuic() ?? '' })
  })

  t.test('the sentence for a schedule', async (t) => {
    await t.rejects(openScheduled(at(853), 'doq', options()), { message: 'DoQ has no records of one size, so it keeps no schedule' })
  })

  for (const major of [24, 26] as const) {
    t.test(`on Node ${major}`, { timeout: HOSTILE === '20000' ? 120_000 : 3_600_000 }, async (t) => {
      const node = newerNode(t, major)
      if (node === undefined) return
      const said = await runIn(node, fileURLToPath(import.meta.url), { IN_NEWER_NODE: 'yes', HOSTILE_DATAGRAMS: HOSTILE })
      const found = new Map(
        said
          .trim()
          .split('\n')
          .map((line) => [JSON.parse(line).what, JSON.parse(line)]),
      )
      t.match(found.get('protection'), {
        authenticated: true,
        by: 'ca',
        tlsVersion: 'TLSv1.3',
        cipher: /^TLS_/,
        group: 'X25519MLKEM768',
        resumed: false,
      })
      t.match(found.get('reply'), { said: `answered ${0x47} ${0x11}`, id: [0, 0] }, 'the ID on the wire is 0 (RFC 9250 section 4.2.1)')
      t.match(found.get('reset'), { said: 'connection-lost lost: the resolver is overloaded' })
      t.match(found.get('empty'), { said: /^connection-lost lost: the resolver ended a stream without a reply/ })
      t.match(found.get('many'), { said: [`answered ${0x47} ${0x11}`], connections: 1 }, 'more than the peer allows at once')
      t.match(found.get('broken'), { said: /^connection-lost/, told: ['the resolver broke DNS over QUIC'] })
      t.match(found.get('name'), { code: 'certificate-name' })
      t.match(found.get('root'), { code: 'certificate-untrusted' })
      t.match(found.get('bundled roots'), { code: 'certificate-untrusted' })
      t.match(found.get('pin'), { code: 'pin-mismatch' })
      t.match(found.get('not one query'), { queries: 0 })
      t.match(found.get('pinned'), { authenticated: true, by: 'ca+spki' })
      t.match(found.get('hostile'), { after: [null, null] })
    })
  }
}

if (process.env.IN_NEWER_NODE === undefined) tests()
else await inNewerNode().then(() => process.exit(0))
