import { gzipSync } from 'node:zlib'
import t from 'tap'
import { createAuthority } from '../../../src/demo/authority.ts'
import { idOf, setId } from '../../../src/dns/message.ts'
import { nodeH2Carrier } from '../../support/doh-h2.ts'
import { type DohOptions, type DohReply, type DohServer, startDoh, startDohH1 } from '../../support/doh-server.ts'
import { codeOf, endpointAt, linkTo, NAME } from '../../support/link-rig.ts'
import { query } from '../../support/messages.ts'
import { addressRecord, replyTo } from '../../support/replies.ts'

const authority = await createAuthority()
const identity = await authority.issue({ name: NAME })
const TYPE = 'application/dns-message'
const numbered = (n: number) => query({ name: `n${n}.example.com`, id: n })

const over = (server: DohServer, carrier?: typeof nodeH2Carrier) => {
  const rig = linkTo(endpointAt(server.port, { ca: authority.certificate }), 'doh', { h2: carrier })
  const end = async () => {
    await rig.link.close()
    await server.close()
  }
  return { ...rig, server, end }
}
const h2 = async (answer: DohOptions['answer']) => over(await startDoh({ identity, answer }))
const h2Node = async (answer: DohOptions['answer']) => over(await startDoh({ identity, answer }), nodeH2Carrier)
const h1 = async (answer: DohOptions['answer']) => over(await startDohH1({ identity, answer }))

for (const [version, scene] of [['HTTP/2', h2] as const, ['node:http2', h2Node] as const, ['HTTP/1.1', h1] as const]) {
  t.test(`${version}: a reply has the ID of the request; the request reveals only what is needed`, async (t) => {
    const asked: number[] = []
    let headers: object = {}
    const { ask, end, server } = await scene((q, peer) => {
      asked.push(idOf(q))
      headers = peer.headers
      return { headers: { 'content-type': TYPE, age: '17' }, body: [replyTo(q, [addressRecord()])] }
    })
    const request = query({ id: 0x4711 })
    const carried = await ask(request)
    t.same(Buffer.from(carried.wire), Buffer.from(replyTo(request, [addressRecord()])))
    t.equal(carried.ageS, 17)
    t.match(carried.protection, { authenticated: true })
    t.same(asked, [0], 'RFC 8484 section 4.1: ID 0')
    const needed = ['accept', 'accept-encoding', 'content-length', 'content-type']
    const own = version !== 'HTTP/1.1' ? [':authority', ':method', ':path', ':scheme'] : ['connection', 'host']
    t.same(Object.keys(headers).sort(), [...own, ...needed].sort())
    t.match(headers, { accept: TYPE, 'content-type': TYPE, 'accept-encoding': 'identity' })
    const outcomes = await Promise.all(Array.from({ length: 50 }, (_, i) => ask(numbered(i))))
    for (const [i, { wire }] of outcomes.entries()) t.equal(idOf(wire), i)
    t.equal(server.counts.connections, 1)
    await end()
  })

  t.test(`${version}: anything but a 200 with one DNS message fails with its code, and a short one keeps the connection`, async (t) => {
    const big = new Uint8Array(65536)
    const faults: [string, (q: Uint8Array) => DohReply, string][] = [
      ['404', () => ({ status: 404 }), 'http-status'],
      ['500', () => ({ status: 500, headers: { 'content-type': 'text/html' }, body: [Buffer.from('<h1>')] }), 'http-status'],
      ['204', () => ({ status: 204 }), 'http-status'],
      ['a redirect', () => ({ status: 302, headers: { location: 'https://127.0.0.1:1/dns-query' } }), 'http-status'],
      ['a wrong type', (q) => ({ headers: { 'content-type': 'application/dns-message2' }, body: [replyTo(q)] }), 'http-type'],
      ['no type', (q) => ({ headers: {}, body: [replyTo(q)] }), 'http-type'],
      ['gzip', (q) => ({ headers: { 'content-type': TYPE, 'content-encoding': 'gzip' }, body: [gzipSync(replyTo(q))] }), 'http-encoding'],
      ['nothing', () => ({ body: [] }), 'reply-malformed'],
      ['11 octets', (q) => ({ body: [replyTo(q).subarray(0, 11)] }), 'reply-malformed'],
      [
        'a header without question and error',
        () => ({ body: [Uint8Array.of(0, 0, 0x81, 0x80, 0, 0, 0, 0, 0, 0, 0, 0)] }),
        'reply-mismatch',
      ],
      ['a header that counts a question', () => ({ body: [Uint8Array.of(0, 0, 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0)] }), 'reply-mismatch'],
      ['another name', () => ({ body: [setZero(replyTo(query({ name: 'www.example.org' })))] }), 'reply-mismatch'],
      ['another ID', (q) => ({ body: [Uint8Array.of(1, ...replyTo(q).subarray(1))] }), 'reply-mismatch'],
      ['65,536 octets', () => ({ body: [big] }), 'http-size'],
      ['65,536 octets, announced', () => ({ headers: { 'content-type': TYPE, 'content-length': '65536' }, body: [big] }), 'http-size'],
      ['more, in pieces', () => ({ body: Array.from({ length: 100 }, () => new Uint8Array(1000)) }), 'http-size'],
    ]
    for (const [what, reply, code] of faults) {
      const { ask, end, server } = await scene((q, peer) => (peer.requests === 1 && peer.connection === 1 ? reply(q) : replyTo(q)))
      t.equal(await codeOf(ask(query())), code, what)
      t.equal(server.counts.requests, 1, `${what}: not asked again`)
      t.equal(await codeOf(ask(query())), 'answered', `${what}: the next is answered`)
      t.equal(server.counts.connections, version === 'HTTP/1.1' && code === 'http-size' ? 2 : 1, `${what}: connections`)
      await end()
    }
  })

  t.test(`${version}: unusual valid responses`, async (t) => {
    const whole = new Uint8Array(65535)
    const { ask, end } = await scene((q, peer) => {
      const reply = replyTo(q)
      whole.set(reply)
      if (peer.requests === 1)
        return {
          headers: { 'content-type': 'Application/DNS-Message; charset=utf-8' },
          body: [...reply].map((octet) => Uint8Array.of(octet)),
        }
      if (peer.requests === 2) return { headers: { 'content-type': TYPE, 'content-encoding': 'identity', age: 'soon' }, body: [reply] }
      return { body: [whole.subarray(0, 40_000), whole.subarray(40_000)] }
    })
    t.equal(await codeOf(ask(query())), 'answered', 'a parameter, another case, no length, single octets')
    t.equal((await ask(query())).ageS, undefined, 'an Age that is no number')
    t.equal((await ask(query())).wire.length, 65535)
    await end()
  })

  t.test(`${version}: a silent server: cut at the deadline, others not affected`, async (t) => {
    const { ask, end } = await scene((q, peer) => {
      if (q.length % 2 === 0) return undefined
      return peer.requests > 100 ? undefined : replyTo(q)
    })
    const odd = query({ name: 'abc.example.com' })
    const even = query({ name: 'ab.example.com' })
    t.equal(odd.length % 2, 1)
    const silent = codeOf(ask(even, 250))
    if (version !== 'HTTP/1.1') t.equal(await codeOf(ask(odd)), 'answered')
    t.equal(await silent, 'deadline')
    t.equal(await codeOf(ask(odd)), 'answered')
    await end()
  })
}

function setZero(message: Uint8Array): Uint8Array {
  setId(message, 0)
  return message
}
