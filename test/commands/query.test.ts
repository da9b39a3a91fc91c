import { createSocket, type Socket } from 'node:dgram'
import { createServer, type Server } from 'node:net'
import t from 'tap'
import { systemClock } from '../../src/clock.ts'
import { type QueryOptions, query, queryCommand } from '../../src/commands/query.ts'
import { FrameReader, framed } from '../../src/dns/framing.ts'
import { FakeClock, seededRandom } from '../support/fake-clock.ts'

type Reply = (query: Buffer) => readonly Uint8Array[]

interface Stub {
  readonly port: number
  readonly heard: { udp: number; tcp: number }
  close(): Promise<void>
}

/** A server on loopback that answers each query with the messages that `reply` gives. */
async function stub(reply: { readonly udp?: Reply; readonly tcp?: Reply }): Promise<Stub> {
  const heard = { udp: 0, tcp: 0 }
  const tcp: Server = createServer((socket) => {
    const reader = new FrameReader()
    socket.on('error', () => {})
    socket.on('data', (chunk) =>
      reader.push(chunk, (frame) => {
        heard.tcp++
        for (const message of reply.tcp?.(Buffer.from(frame)) ?? []) socket.write(framed(message))
      }),
    )
  })
  const udp: Socket = createSocket('udp4')
  udp.on('message', (packet, peer) => {
    heard.udp++
    for (const message of reply.udp?.(packet) ?? []) udp.send(message, peer.port, peer.address)
  })
  const port = await new Promise<number>((resolve) => tcp.listen(0, '127.0.0.1', () => resolve((tcp.address() as { port: number }).port)))
  await new Promise<void>((resolve) => udp.bind(port, '127.0.0.1', resolve))
  return {
    port,
    heard,
    close: async () => {
      await new Promise<void>((resolve) => udp.close(() => resolve()))
      await new Promise<void>((resolve) => tcp.close(() => resolve()))
    },
  }
}

const OPT_OCTETS = 15

/** A response to `asked` with these records, its OPT with these options. */
function response(asked: Buffer, o: { flags?: number; records?: readonly number[][]; options?: readonly number[][] } = {}): Buffer {
  const question = asked.subarray(12, asked.length - OPT_OCTETS)
  const records = o.records ?? []
  const options = (o.options ?? []).flat()
  const flags = o.flags ?? 0x8180
  const header = [asked[0] ?? 0, asked[1] ?? 0, flags >> 8, flags & 255, 0, 1, 0, records.length, 0, 0, 0, 1]
  return Buffer.from([...header, ...question, ...records.flat(), 0, 0, 41, 4, 208, 0, 0, 0, 0, 0, options.length, ...options])
}

const ADDRESS = [0xc0, 12, 0, 1, 0, 1, 0, 0, 1, 44, 0, 4, 192, 0, 2, 7]
const option = (code: number, data: string | readonly number[]): number[] => {
  const octets = typeof data === 'string' ? [...Buffer.from(data)] : [...data]
  return [code >> 8, code & 255, 0, octets.length, ...octets]
}

interface Ran {
  readonly code: number
  readonly out: string
  readonly err: string
}

async function run(name: string, type: string, options: QueryOptions): Promise<Ran> {
  let out = ''
  let err = ''
  const world = {
    out: { write: (text: string) => (out += text) },
    err: { write: (text: string) => (err += text) },
    clock: systemClock(),
    random: seededRandom(1),
    exit: () => {},
  }
  // A timer of the real clock keeps no process alive.
  const alive = setTimeout(() => {}, 10_000)
  const code = await query(name, type, options, world).finally(() => clearTimeout(alive))
  return { code, out, err }
}

t.test('a reply is printed with its source', async (t) => {
  const server = await stub({ udp: (asked) => [response(asked, { records: [ADDRESS], options: [option(65280, 'quad9/dot')] })] })
  t.teardown(server.close)
  const { code, out, err } = await run('www.Example.com', 'A', { server: `127.0.0.1:${server.port}` })
  t.equal(code, 0)
  t.equal(err, '')
  const lines = out.split('\n')
  t.equal(lines[0], ';; www.Example.com. A: NOERROR, flags qr rd ra')
  t.match(lines[1], new RegExp(`^;; answered by quad9 over dot, [0-9]+\\.[0-9] ms, 127\\.0\\.0\\.1:${server.port} over udp$`))
  t.same(lines.slice(2), ['', ';; answer', 'www.Example.com.  300  IN  A  192.0.2.7', ''])
  t.same(server.heard, { udp: 1, tcp: 0 })
})

t.test('every source has a description', async (t) => {
  for (const [source, words] of [
    ['cache', 'answered from cache,'],
    ['policy', ';; answer made by this service,'],
    ['stale', 'stale'],
    ['failure', 'not answered: this service failed'],
    ['mullvad/doh', 'answered by mullvad over doh,'],
    ['\u001b[31m', 'answered by \\027[31m,'],
    ['', 'does not say'],
  ] as const) {
    const server = await stub({ udp: (asked) => [response(asked, { options: source === '' ? [] : [option(65280, source)] })] })
    const { out } = await run('a.example', 'A', { server: `127.0.0.1:${server.port}` })
    await server.close()
    t.ok(out.includes(words), `${words} <- ${JSON.stringify(out)}`)
  }
})

t.test('extended errors and any response code: exit 0', async (t) => {
  const server = await stub({
    udp: (asked) => [response(asked, { flags: 0x8182, options: [option(15, [0, 23, ...Buffer.from('pin-mismatch')])] })],
  })
  t.teardown(server.close)
  const at = `127.0.0.1:${server.port}`
  const long = await run('a.example', 'A', { server: at })
  t.equal(long.code, 0)
  t.match(long.out, /a\.example\. A: SERVFAIL/)
  t.match(long.out, /^;; EDE 23 \(Network Error\): pin-mismatch$/m)
  const short = await run('a.example', 'A', { server: at, short: true })
  t.same(short, { code: 0, out: '', err: ';; SERVFAIL\n;; EDE 23 (Network Error): pin-mismatch\n' })
})

t.test('--short prints the data alone, --json one document', async (t) => {
  const server = await stub({ udp: (asked) => [response(asked, { records: [ADDRESS], options: [option(65280, 'cache')] })] })
  t.teardown(server.close)
  const at = `127.0.0.1:${server.port}`
  t.same(await run('a.example', 'A', { server: at, short: true }), { code: 0, out: '192.0.2.7\n', err: '' })
  const { out } = await run('a.example', 'A', { server: at, json: true })
  t.match(JSON.parse(out), {
    server: at,
    over: 'udp',
    status: 'NOERROR',
    source: 'cache',
    question: { name: 'a.example.', type: 'A' },
    answers: [{ name: 'a.example.', type: 'A', ttlS: 300, data: '192.0.2.7' }],
    errors: [],
  })
})

t.test('a truncated reply is asked for again over TCP', async (t) => {
  const server = await stub({
    udp: (asked) => [response(asked, { flags: 0x8380 })],
    tcp: (asked) => [response(asked, { records: [ADDRESS, ADDRESS] })],
  })
  t.teardown(server.close)
  const { code, out } = await run('a.example', 'A', { server: `127.0.0.1:${server.port}`, short: true })
  t.equal(code, 0)
  t.equal(out, '192.0.2.7\n192.0.2.7\n')
  t.same(server.heard, { udp: 1, tcp: 1 })
})

t.test('--tcp sends no datagram', async (t) => {
  const server = await stub({ tcp: (asked) => [response(asked, { records: [ADDRESS] })] })
  t.teardown(server.close)
  const { out } = await run('a.example', 'A', { server: `127.0.0.1:${server.port}`, tcp: true })
  t.match(out, / over tcp$/m)
  t.same(server.heard, { udp: 0, tcp: 1 })
})

t.test('replies with another ID or question are ignored, and the wait continues', async (t) => {
  const wrong = (asked: Buffer): Buffer[] => {
    const id = response(asked, { records: [ADDRESS] })
    id[1] = (id[1] ?? 0) ^ 1
    const name = response(asked, { records: [ADDRESS] })
    name[13] = (name[13] ?? 0) ^ 1
    return [Buffer.of(1), asked, id, name]
  }
  const right = (asked: Buffer): Buffer => response(asked, { options: [option(65280, 'policy')] })
  const server = await stub({
    udp: (asked) => [...wrong(asked), right(asked)],
    tcp: (asked) => [...wrong(asked).slice(1), right(asked)],
  })
  t.teardown(server.close)
  for (const over of [{}, { tcp: true as const }]) {
    const { code, out } = await run('a.example', 'A', { server: `127.0.0.1:${server.port}`, ...over })
    t.equal(code, 0)
    t.match(out, /answer made by this service/)
    t.notMatch(out, /192\.0\.2\.7/)
  }
})

t.test('a lost datagram is sent once more', async (t) => {
  let lost = 0
  const server = await stub({ udp: (asked) => (lost++ === 0 ? [] : [response(asked, { records: [ADDRESS] })]) })
  t.teardown(server.close)
  const { code, out } = await run('a.example', 'A', { server: `127.0.0.1:${server.port}`, short: true, timeoutMs: 200 })
  t.equal(code, 0)
  t.equal(out, '192.0.2.7\n')
  t.equal(server.heard.udp, 2)
})

t.test('no reply: exit 9, with a reason', async (t) => {
  const silent = await stub({})
  const at = `127.0.0.1:${silent.port}`
  t.match(await run('a.example', 'A', { server: at, timeoutMs: 60 }), {
    code: 9,
    out: '',
    err: /no reply from 127\.0\.0\.1:\d+ \(deadline\)/,
  })
  t.equal(silent.heard.udp, 2, 'two datagrams at most')
  t.match(await run('a.example', 'A', { server: at, timeoutMs: 60, tcp: true }), { code: 9, err: /\(deadline\)/ })
  await silent.close()
  t.match(await run('a.example', 'A', { server: at }), { code: 9, err: /\(connect-refused\).*Is enigm-dns running/ })
  t.match(await run('a.example', 'A', { server: at, tcp: true }), { code: 9, err: /\(connect-refused\)/ })
  const closing = createServer((socket) => socket.destroy())
  const port = await new Promise<number>((resolve) =>
    closing.listen(0, '127.0.0.1', () => resolve((closing.address() as { port: number }).port)),
  )
  t.match(await run('a.example', 'A', { server: `127.0.0.1:${port}`, tcp: true }), { code: 9, err: /no reply/ })
  await new Promise((resolve) => closing.close(resolve))
})

t.test('an address that the system refuses to connect to: exit 9, with a reason', async (t) => {
  // A broadcast address takes no socket without SO_BROADCAST: EACCES from connect(2), and nothing
  // is sent.
  const { code, out, err } = await run('www.example.', 'A', { server: '255.255.255.255:53' })
  t.equal(code, 9)
  t.equal(out, '')
  t.match(err, /It cannot be reached \(E[A-Z]+\)/)
})

t.test('bad usage: exit 2, nothing is sent', async (t) => {
  const server = await stub({})
  t.teardown(server.close)
  const at = `127.0.0.1:${server.port}`
  t.match(await run('a..b', 'A', { server: at }), { code: 2, err: /empty label/ })
  t.match(await run('a.b', 'NOPE', { server: at }), { code: 2, err: /not a record type: NOPE/ })
  for (const bad of ['dns.quad9.net', 'dns.quad9.net:53', '127.0.0.1:0', '127.0.0.1:65536', '', '::1:53x'])
    t.match(await run('a.b', 'A', { server: bad }), { code: 2, err: /must be ADDRESS:PORT/ }, bad)
  for (const bad of ['fe80::1', '[fe80::1]:53'])
    t.match(await run('a.b', 'A', { server: bad }), { code: 2, err: /link-local.*add it, as in fe80::1%eth0/ }, bad)
  t.same(server.heard, { udp: 0, tcp: 0 })
})

t.test('an international name is sent as xn--', async (t) => {
  const server = await stub({ udp: (asked) => [response(asked)] })
  t.teardown(server.close)
  const { out } = await run('bücher.example', 'A', { server: `127.0.0.1:${server.port}` })
  t.match(out, /^;; xn--bcher-kva\.example\. A: NOERROR/)
})

t.test('the command takes the options of the contract and sets the exit code', async (t) => {
  const server = await stub({ udp: (asked) => [response(asked, { records: [ADDRESS] })] })
  t.teardown(server.close)
  let out = ''
  let exit: number | undefined
  const command = queryCommand({
    out: { write: (text: string) => (out += text) },
    err: { write: () => {} },
    clock: new FakeClock(),
    random: seededRandom(2),
    exit: (code) => {
      exit = code
    },
  })
  await command.parseAsync(['a.example', '--server', `127.0.0.1:${server.port}`, '--short'], { from: 'user' })
  t.equal(out, '192.0.2.7\n')
  t.equal(exit, 0)
  t.equal(command.getOptionValue('server'), `127.0.0.1:${server.port}`)
  t.equal(queryCommand().getOptionValue('server'), '127.0.0.53:53')
})
