import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { createAuthority } from '../../src/demo/authority.ts'
import { query } from '../support/messages.ts'
import { entryOf, identityOf, startDaemon } from '../support/real/daemon.ts'
import { rcodeOf, udpClient } from '../support/real/dns-client.ts'
import { type Identity, type RealServer, runServer } from '../support/real/server-process.ts'
import { requireTool } from '../support/real/tools.ts'
import { addressRecord, replyTo } from '../support/replies.ts'

/** nginx in front of a resolver that speaks HTTP. It has one port; the others are there for those who ask whether it is up. */
function startNginx(identity: Identity, backend: number, o: { readonly http2: boolean; readonly settings: string }): Promise<RealServer> {
  return runServer(
    {
      tool: 'nginx',
      doh: true,
      files: ({ dir, dnsPort, dotPort, dohPort }) => ({
        'nginx.conf': `
daemon off; master_process off; pid ${dir}/pid; error_log stderr crit; worker_rlimit_nofile 1024;
events { worker_connections 512; }
http {
  access_log off; client_body_temp_path ${dir}/b; proxy_temp_path ${dir}/p; fastcgi_temp_path ${dir}/f; uwsgi_temp_path ${dir}/u; scgi_temp_path ${dir}/s;
  server {
    listen 127.0.0.1:${dnsPort}; listen 127.0.0.1:${dotPort}; listen 127.0.0.1:${dohPort} ssl${o.http2 ? ' http2' : ''};
    ssl_certificate ${dir}/cert.pem; ssl_certificate_key ${dir}/key.pem;
    ${o.settings}
    location / { proxy_pass http://127.0.0.1:${backend}; }
  }
}
`,
      }),
      args: ({ dir }) => ['-p', dir, '-c', `${dir}/nginx.conf`],
    },
    identity,
  )
}

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
      const nginx = await startNginx(identity, (behind.address() as AddressInfo).port, { http2, settings })
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
