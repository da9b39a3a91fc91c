import { once } from 'node:events'
import { connect as connectHttp2 } from 'node:http2'
import { connect } from 'node:tls'
import t from 'tap'
import { createAuthority } from '../../src/demo/authority.ts'
import { startEmbeddedResolver } from '../../src/demo/embedded-resolver.ts'
import { DEMO_ZONE, parseZone, zoneOf } from '../../src/demo/zone.ts'
import { withPaddedOpt } from '../../src/dns/edns.ts'
import { FrameReader, framed } from '../../src/dns/framing.ts'
import { query } from '../support/messages.ts'

const authority = await createAuthority()
const resolver = await startEmbeddedResolver(zoneOf(parseZone(DEMO_ZONE)), await authority.issue({ name: 'r.example' }))
t.teardown(() => resolver.close())
const trust = { host: '127.0.0.1', servername: 'r.example', ca: authority.certificate }
const padded = (name: string) => withPaddedOpt(query({ name, id: 7 }), { dnssecOk: false, block: 128, keepalive: false })

t.test('DoT: pipelined, padded if and only if the query was', async (t) => {
  const socket = connect({ ...trust, port: resolver.dotPort })
  t.teardown(() => socket.destroy())
  await once(socket, 'secureConnect')
  const replies: Uint8Array[] = []
  const reader = new FrameReader()
  socket.write(Buffer.concat([framed(padded('www.demo.example')), framed(query({ name: 'no.demo.example', id: 8 }))]))
  while (replies.length < 2) {
    const [chunk] = (await once(socket, 'data')) as [Buffer]
    reader.push(chunk, (frame) => replies.push(Uint8Array.from(frame)))
  }
  t.strictSame(
    replies.map((r) => r[1]),
    [7, 8],
  )
  t.equal(replies[0]?.length, 468)
  t.ok((replies[1]?.length ?? 468) < 200)
  socket.write(Uint8Array.of(0, 1, 0))
  await once(socket, 'close')
})

t.test('DoH: POST, GET, and invalid queries', async (t) => {
  const session = connectHttp2(`https://127.0.0.1:${resolver.dohPort}`, trust)
  t.teardown(() => session.destroy())
  const ask = async (headers: Readonly<Record<string, string>>, body?: Uint8Array) => {
    const stream = session.request(headers, { endStream: body === undefined })
    if (body !== undefined) stream.end(body)
    const [answer] = await once(stream, 'response')
    const chunks: Buffer[] = []
    for await (const chunk of stream) chunks.push(chunk)
    return { status: answer[':status'], octets: Buffer.concat(chunks).length }
  }
  const message = padded('www.demo.example')
  t.strictSame(await ask({ ':method': 'POST', ':path': '/dns-query' }, message), { status: 200, octets: 468 })
  t.strictSame(await ask({ ':path': `/dns-query?dns=${Buffer.from(message).toString('base64url')}` }), { status: 200, octets: 468 })
  t.strictSame(await ask({ ':method': 'POST', ':path': '/dns-query' }, Buffer.from('nonsense')), { status: 400, octets: 0 })
})
