import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer as createHttp } from 'node:http'
import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import { gzipSync } from 'node:zlib'
import t, { type Test } from 'tap'
import { systemClock } from '../../src/clock.ts'
import { createAuthority } from '../../src/demo/authority.ts'
import { EnigmError } from '../../src/errors.ts'
import { type FetchRequest, fetchBuffer, fetchSource } from '../../src/fetcher/fetch-source.ts'

const HOST = 'lists.test'
const MIB = 1_048_576

/** A server of lists on loopback, whose name only the lookup of the test knows. */
async function rig(t: Test, answer: (request: IncomingMessage, response: ServerResponse) => void) {
  const authority = await createAuthority()
  const server: Server = createServer(await authority.issue({ name: HOST }), answer)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  const asked: string[] = []
  const world = {
    clock: systemClock(),
    ca: authority.certificate,
    lookup: async (host: string) => {
      asked.push(host)
      return ['127.0.0.1']
    },
  }
  return { world, asked, port, authority, url: (path = '/list.txt', host = HOST) => `https://${host}:${port}${path}` }
}

const get = (url: string, more: Partial<FetchRequest> = {}) => ({ url, maxOctets: MIB, ...more })
async function fault(t: Test, work: Promise<unknown>): Promise<string> {
  const error = await work.then(
    () => t.fail('it was accepted'),
    (error: unknown) => error,
  )
  t.ok(error instanceof EnigmError && error.code === 'source', String(error))
  return error instanceof EnigmError ? error.message : ''
}

t.test('a source is fetched over https, its name resolved by the given lookup and never by the system', async (t) => {
  const heads: unknown[] = []
  const { world, asked, url } = await rig(t, (request, response) => {
    heads.push(request.headers)
    response.setHeader('etag', '"1"')
    response.end('0.0.0.0 ads.example\n')
  })
  const { body, etag, octets } = await fetchBuffer(get(url()), world)
  t.equal(body?.toString(), '0.0.0.0 ads.example\n')
  t.strictSame([etag, octets], ['"1"', 20])
  t.strictSame(asked, [HOST])
  t.strictSame(
    Object.keys(heads[0] as object).toSorted(),
    ['accept', 'accept-encoding', 'connection', 'host'],
    'no cookie, no program name',
  )
})

t.test('with the validators of the last fetch, an unchanged source sends nothing', async (t) => {
  const { world, url } = await rig(t, ({ headers }, response) => {
    if (headers['if-none-match'] === '"1"' || headers['if-modified-since'] === 'Sat, 01 Jan 2026 00:00:00 GMT')
      response.writeHead(304).end()
    else response.end('x')
  })
  t.match(await fetchBuffer(get(url(), { etag: '"1"' }), world), { changed: false, etag: '"1"', body: undefined })
  t.match(await fetchBuffer(get(url(), { lastModified: 'Sat, 01 Jan 2026 00:00:00 GMT' }), world), { changed: false })
  t.match(await fetchBuffer(get(url(), { etag: '"2"' }), world), { changed: true })
})

t.test('at most two redirects, each to the same origin over https', async (t) => {
  const plain = createHttp((_, response) => response.end('in cleartext'))
  await new Promise<void>((resolve) => plain.listen(0, '127.0.0.1', resolve))
  t.teardown(() => plain.close())
  const places: Record<string, string> = {
    '/1': '/2',
    '/2': '/list.txt',
    '/0': '/1',
    '/http': `http://${HOST}:${(plain.address() as AddressInfo).port}/list.txt`,
    '/elsewhere': 'https://other.test/list.txt',
    '/port': `https://${HOST}:1/list.txt`,
    '/file': 'file:///etc/passwd',
    '/broken': 'https://[',
  }
  const { world, asked, url } = await rig(t, ({ url = '' }, response) => {
    const to = places[url]
    if (to === undefined) response.writeHead(url === '/nowhere' ? 302 : 200).end('list')
    else response.writeHead(302, { location: to }).end()
  })
  t.equal((await fetchBuffer(get(url('/1')), world)).body?.toString(), 'list')
  t.match(await fault(t, fetchBuffer(get(url('/0')), world)), 'more than 2 times')
  t.match(await fault(t, fetchBuffer(get(url('/http')), world)), 'not https')
  t.match(await fault(t, fetchBuffer(get(url('/file')), world)), 'not https')
  t.match(await fault(t, fetchBuffer(get(url('/elsewhere')), world)), 'another server')
  t.match(await fault(t, fetchBuffer(get(url('/port')), world)), 'another server')
  t.match(await fault(t, fetchBuffer(get(url('/broken')), world)), 'does not say where')
  t.match(await fault(t, fetchBuffer(get(url('/nowhere')), world)), 'does not say where')
  t.notOk(asked.includes('other.test'), 'nobody learns of it')
})

t.test('what is no list, too large, damaged or broken off is refused in one clause', async (t) => {
  const { world, port, url, authority } = await rig(t, ({ url = '' }, response) => {
    if (url === '/html') response.setHeader('content-type', 'text/html; charset=utf-8').end('<html>')
    else if (url === '/404') response.writeHead(404).end('no')
    else if (url === '/304') response.writeHead(304).end()
    else if (url === '/said') response.writeHead(200, { 'content-length': String(2 * MIB) }).flushHeaders()
    else if (url === '/large') {
      response.write(Buffer.alloc(MIB))
      response.end('x')
    } else if (url === '/bomb') response.setHeader('content-encoding', 'gzip').end(gzipSync(Buffer.alloc(50 * MIB)))
    else if (url === '/gzip') response.setHeader('content-encoding', 'gzip').end(gzipSync('packed'))
    else if (url === '/torn') response.setHeader('content-encoding', 'gzip').end(gzipSync('packed'.repeat(100)).subarray(0, 20))
    else if (url === '/br') response.setHeader('content-encoding', 'br').end('x')
    else if (url === '/cut') response.writeHead(200, { 'content-length': '100' }).write('x', () => response.destroy())
    else response.end('x')
  })
  const of = (path: string) => fault(t, fetchBuffer(get(url(path)), world))
  t.match(await of('/html'), 'web page')
  t.match(await of('/404'), 'status 404')
  t.match(await of('/304'), 'status 304', 'nothing was kept')
  t.match(await of('/said'), 'larger than 1 MiB')
  t.match(await of('/large'), 'larger than 1 MiB')
  t.match(await of('/bomb'), 'larger than 1 MiB')
  t.match(await of('/torn'), 'damaged')
  t.match(await of('/br'), 'compression')
  t.match(await of('/cut'), 'connection was lost')
  t.equal((await fetchBuffer(get(url('/gzip')), world)).body?.toString(), 'packed')
  t.match(await fault(t, fetchBuffer(get(url('/', 'other.test')), world)), 'did not prove its identity')
  t.match(await fault(t, fetchBuffer(get(url()), { ...world, ca: (await createAuthority()).certificate })), 'did not prove its identity')
  t.match(await fault(t, fetchBuffer(get(url()), { ...world, lookup: async () => [] })), 'has no address')
  t.match(await fault(t, fetchBuffer(get(`https://${HOST}:${port + 1 > 65_535 ? 1 : port + 1}/`), world)), /cannot be reached/)
  for (const wrong of ['http://lists.test/', 'file:///etc/passwd', 'https://a:b@lists.test/', 'lists.test', ''])
    t.match(await fault(t, fetchBuffer(get(wrong), world)), 'its address must')
  t.ok(authority)
})

t.test('the error of the lookup and of the taker come through', async (t) => {
  const { world, url } = await rig(t, (_, response) => response.end('x'))
  const gone = new EnigmError('no-upstream', 'nobody answers')
  const failing = { ...world, lookup: () => Promise.reject(gone) }
  t.equal(await fetchBuffer(get(url()), failing).catch((error: unknown) => error), gone)
  const full = new EnigmError('state', 'the disk is full')
  const take = () => Promise.reject(full)
  t.equal(await fetchSource({ ...get(url()), take }, world).catch((error: unknown) => error), full)
})
