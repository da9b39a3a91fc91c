import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { withPaddedOpt } from '../../../../src/dns/edns.ts'
import { startDoh } from '../../../support/doh-server.ts'
import { query } from '../../../support/messages.ts'
import { startDnsdist } from '../../../support/real/dnsdist.ts'
import { startNamed } from '../../../support/real/named.ts'
import { startNginx } from '../../../support/real/nginx.ts'
import { requireTool } from '../../../support/real/tools.ts'
import { startUnbound } from '../../../support/real/unbound.ts'
import { ZONE_NAME } from '../../../support/real/zone.ts'
import { replyTo } from '../../../support/replies.ts'
import { carry, identity } from './rig.ts'

const padded = (name: string, type = 1, id = 0) =>
  withPaddedOpt(query({ name, type, id, flags: 0x0120 }), { dnssecOk: false, block: 128, keepalive: false })

/** As the zone of the real servers would answer, in what `examine` looks at. */
function answer(q: Uint8Array): Uint8Array {
  const text = Buffer.from(q).toString('latin1', 12)
  const reply = replyTo(q, [new Uint8Array(16)])
  if (text.includes('\x03big')) return Buffer.concat([reply, Buffer.alloc(5000)])
  if (text.includes('\x04none')) reply[3] = 0x83
  return reply
}

const inFrontOf = (backend: number) => ({
  http2: true,
  http: `upstream behind { server 127.0.0.1:${backend}; keepalive 64; }`,
  server: 'keepalive_requests 100000; location / { proxy_pass http://behind; proxy_http_version 1.1; proxy_set_header Connection ""; }',
})

/**
 * What every server must do: many at once, a long answer, a name that is not there, then one more;
 * the connection lives through all of it.
 */
async function examine(t: Test, port: number, path = '/dns-query') {
  const { ask, told, end } = await carry(port, {}, { doh: { port, path } })
  const names = Array.from({ length: 250 }, (_, i) => padded(`h${i}.${ZONE_NAME}`, 1, i + 1))
  for (let round = 0; round < 4; round++) {
    const outcomes = await Promise.all(names.map((request) => ask(request)))
    const right = outcomes.filter(
      (o, i) => 'wire' in o && o.wire[1] === ((i + 1) & 255) && (o.wire[7] ?? 0) === 1 && ((o.wire[3] ?? 0) & 15) === 0,
    )
    t.equal(right.length, names.length, `round ${round}`)
  }
  const big = await ask(padded(`big.${ZONE_NAME}`, 16, 7))
  t.ok('wire' in big && big.wire.length > 4000, 'an answer over several frames or records')
  const none = await ask(padded(`none.${ZONE_NAME}`, 1, 8))
  t.equal('wire' in none && (none.wire[3] ?? 0) & 15, 3, 'NXDOMAIN')
  t.notOk(told.includes('down') || told.includes('mismatch') || told.includes('draining'))
  end()

  const wrong = await carry(port, {}, { doh: { port, path: '/nothing-here' } })
  const refusal = await wrong.ask(padded(`www.${ZONE_NAME}`))
  t.match(refusal, { code: /^http-status|^http-type|^connection-lost/ }, 'a path that is not served')
  wrong.end()
}

t.test('node:http2', async (t) => {
  const server = await startDoh({
    identity,
    answer: (q, peer) => {
      if (peer.headers[':path'] !== '/dns-query') return { status: 404 }
      return answer(q)
    },
  })
  await examine(t, server.port)
  t.equal(server.counts.requests, 1003)
  await server.close()
})

t.test('nginx in front of a server that speaks HTTP/1.1', async (t) => {
  if (!requireTool(t, 'nginx')) return
  const seen: string[] = []
  const behind = createServer((request, response) => {
    seen.push(`${request.method} ${request.url} ${request.headers['content-length']}`)
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      response.writeHead(request.url === '/dns-query' ? 200 : 404, { 'content-type': 'application/dns-message' })
      response.end(answer(Buffer.concat(chunks)))
    })
  })
  await new Promise<void>((resolve) => behind.listen(0, '127.0.0.1', resolve))
  const backend = (behind.address() as AddressInfo).port
  const nginx = await startNginx(identity, inFrontOf(backend))
  await examine(t, nginx.dohPort ?? 0)
  t.ok(seen.includes('POST /dns-query 128'))
  await nginx.stop()
  behind.closeAllConnections()
  await new Promise((resolve) => behind.close(resolve))
})

t.test('BIND (nghttp2), Unbound (nghttp2), dnsdist (h2o)', async (t) => {
  if (!requireTool(t, 'named', 'unbound', 'dnsdist')) return
  const named = await startNamed(identity)
  const unbound = await startUnbound(identity, named.dnsPort)
  const dnsdist = await startDnsdist(identity, named.dnsPort)
  for (const server of [named, unbound, dnsdist]) {
    await t.test(server.kind, async (t) => {
      await examine(t, server.dohPort ?? 0)
    })
  }
  await Promise.all([named, unbound, dnsdist].map((server) => server.stop()))
})
