import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { createAuthority } from '../../src/demo/authority.ts'
import { query } from '../support/messages.ts'
import { entryOf, identityOf, startDaemon } from '../support/real/daemon.ts'
import { rcodeOf, udpClient } from '../support/real/dns-client.ts'
import { startNginx } from '../support/real/nginx.ts'
import { requireTool } from '../support/real/tools.ts'
import { addressRecord, replyTo } from '../support/replies.ts'

if (requireTool(t, 'nginx')) {
  const authority = await createAuthority()
  const identity = await identityOf(authority)
  for (const [what, http2, settings] of [
    ['HTTP/1.1, a connection for each answer', false, 'keepalive_timeout 0;'],
    ['HTTP/1.1, two answers a connection', false, 'keepalive_requests 2;'],
    ['HTTP/1.1, no length', false, 'chunked_transfer_encoding off;'],
    ['HTTP/1.1, kept for a second', false, 'keepalive_timeout 1s 1s;'],
    ['HTTP/2, a connection for each answer', true, 'keepalive_timeout 0;'],
  ] as const)
    t.test(`nginx in front of a DoH server: ${what}`, async (t) => {
      let asked = 0
      const behind = createServer((request, response) => {
        const chunks: Buffer[] = []
        request.on('data', (chunk: Buffer) => chunks.push(chunk))
        request.on('end', () => {
          asked++
          response.writeHead(200, { 'content-type': 'application/dns-message' })
          response.write(replyTo(Buffer.concat(chunks), [addressRecord()]))
          response.end()
        })
      })
      await new Promise<void>((resolve) => behind.listen(0, '127.0.0.1', resolve))
      const { port } = behind.address() as AddressInfo
      const nginx = await startNginx(identity, { http2, server: `${settings} location / { proxy_pass http://127.0.0.1:${port}; }` })
      const daemon = await startDaemon({ resolvers: [entryOf(nginx, ['doh'])], ca: authority.certificate })
      const client = await udpClient(daemon.port)
      t.teardown(async () => {
        client.close()
        await daemon.stop()
        await nginx.stop()
        behind.closeAllConnections()
        behind.close()
      })
      const ask = (name: string) => client.ask(query({ name: `${name}.example.com` })).then(rcodeOf)
      for (let i = 0; i < 5; i++) t.equal(await ask(`one-${i}`), 0)
      const page = await Promise.all(Array.from({ length: 30 }, (_, i) => ask(`page-${i}`)))
      t.same(
        page,
        Array.from({ length: 30 }, () => 0),
      )
      await daemon.until('protected')
      t.ok(asked <= 38, `${asked} asked for 35`)
      t.notMatch(daemon.log(), /link failed/)
    })
}
