import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { probe } from '../../src/portal/probe.ts'

/** What a probe makes of a reply. */
async function judged(reply: (response: ServerResponse) => void) {
  const server = createServer((_request, response) => reply(response)).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  try {
    return await probe({ url: new URL(`http://probe.example:${port}/x`), address: '127.0.0.1', signal: new AbortController().signal })
  } finally {
    server.close()
  }
}

const html = { 'content-type': 'text/html' }

t.test('it passes with the answers of the platforms', async (t) => {
  const bodies = [
    'success\n',
    'NetworkManager is online\n',
    'Microsoft Connect Test',
    'Microsoft NCSI',
    '<HTML><HEAD><TITLE>Success</TITLE></HEAD><BODY>Success</BODY></HTML>',
  ]
  t.match(await judged((r) => r.writeHead(204).end()), { verdict: 'passed' })
  for (const body of bodies) t.match(await judged((r) => r.writeHead(200, html).end(body)), { verdict: 'passed' }, body)
})

t.test('a login page: redirects, pages that send a browser on, pages in place, RFC 6585', async (t) => {
  for (const status of [301, 302, 303, 307, 308])
    t.match(await judged((r) => r.writeHead(status, { location: 'http://login.example/a?b=c' }).end()), {
      verdict: 'captive',
      next: { href: 'http://login.example/a?b=c' },
    })
  t.match(await judged((r) => r.writeHead(302, { location: '/here' }).end()), { next: { hostname: 'probe.example', pathname: '/here' } })
  for (const meta of [
    '<meta http-equiv="refresh" content="0; url=https://login.example/">',
    "<META content='3;URL=x' name=a><meta HTTP-EQUIV=Refresh CONTENT='0;URL=https://login.example/'>",
  ])
    t.match(await judged((r) => r.writeHead(511, html).end(meta)), { verdict: 'captive', next: { href: 'https://login.example/' } }, meta)
  t.strictSame(await judged((r) => r.writeHead(200, html).end('<html>Pay here, success is near</html>')), { verdict: 'captive' })
  t.strictSame(await judged((r) => r.writeHead(511).end()), { verdict: 'captive' })
})

t.test('links to other schemes are ignored; a name and a password in a link are removed', async (t) => {
  for (const location of ['javascript:alert(1)', 'file:///etc/passwd', 'http://', 'ftp://a.example/'])
    t.strictSame(await judged((r) => r.writeHead(302, { location }).end()), { verdict: 'captive' }, location)
  const { next } = await judged((r) => r.writeHead(302, { location: 'http://me:secret@login.example/' }).end())
  t.equal(next?.href, 'http://login.example/')
})

t.test('neither: an error, or an unspecific body', async (t) => {
  t.match(await judged((r) => r.writeHead(500).end('oops')), { verdict: 'unclear' })
  t.match(await judged((r) => r.writeHead(200, { 'content-type': 'text/plain' }).end('hello')), { verdict: 'unclear' })
})

t.test('an endless page is cut, and one that never comes is given up', async (t) => {
  t.match(await judged((r) => void r.writeHead(200, html).write('<html>'.padEnd(200_000))), { verdict: 'captive' })
  await t.rejects(judged((r) => r.destroy()))
  const aborted = new AbortController()
  aborted.abort()
  await t.rejects(probe({ url: new URL('http://a.example/'), address: '127.0.0.1', signal: aborted.signal }))
})
