import { once } from 'node:events'
import { connect as connectTcp, createServer as createTcp, type Server, type Socket } from 'node:net'
import { createServer as createTls, type TLSSocket } from 'node:tls'
import t, { type Test } from 'tap'
import { createAuthority } from '../../../src/demo/authority.ts'
import { setId } from '../../../src/dns/message.ts'
import { codeOf, endpointAt, linkTo, NAME, pause } from '../../support/link-rig.ts'
import { query } from '../../support/messages.ts'
import { addressRecord, replyTo } from '../../support/replies.ts'

const authority = await createAuthority()
const identity = await authority.issue({ name: NAME })
const TYPE = 'content-type: application/dns-message\r\n'

/** The server's end of one connection. */
interface Peer {
  /** From 1. */
  readonly connection: number
  /** Requests on this connection so far, this one included; 0 before the first. */
  readonly requests: number
  write(octets: string | Uint8Array): void
  /** close_notify, then FIN. */
  end(): void
  /** FIN alone, as somebody on the path would cut it. What was written has left before. */
  cut(): void
}

/**
 * An HTTP/1.1 server that says what `answer` says, octet by octet, each write a record. Behind a
 * relay, so that TCP can end without TLS.
 */
async function scene(t: Test, answer: (query: Buffer, peer: Peer) => void, greet?: (peer: Peer) => void) {
  const counts = { connections: 0, requests: 0 }
  const sockets = new Set<Socket | TLSSocket>()
  const cuts = new Map<number, () => void>()
  const server = createTls({ ALPNProtocols: ['http/1.1'], key: identity.key, cert: identity.cert, noDelay: true }, (socket) => {
    const connection = ++counts.connections
    let requests = 0
    const peer: Peer = {
      connection,
      get requests() {
        return requests
      },
      write: (octets) => void socket.write(octets),
      end: () => void socket.end(),
      cut: () => cuts.get(socket.remotePort ?? 0)?.(),
    }
    socket.on('error', () => {})
    let got = Buffer.alloc(0)
    socket.on('data', (chunk: Buffer) => {
      got = Buffer.concat([got, chunk])
      for (;;) {
        const head = got.indexOf('\r\n\r\n')
        const length = Number(/content-length: (\d+)/i.exec(got.toString('latin1', 0, Math.max(0, head)))?.[1] ?? Number.NaN)
        if (head < 0 || got.length < head + 4 + length) return
        const body = got.subarray(head + 4, head + 4 + length)
        got = got.subarray(head + 4 + length)
        counts.requests++
        requests++
        answer(body, peer)
      }
    })
    greet?.(peer)
  })
  server.on('tlsClientError', () => {})
  server.on('connection', (socket: Socket) => sockets.add(socket))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const portOf = (listening: Server) => (listening.address() as { port: number }).port
  const relay = createTcp({ allowHalfOpen: true, noDelay: true }, (client) => {
    const behind = connectTcp({ port: portOf(server), host: '127.0.0.1', allowHalfOpen: true, noDelay: true })
    const cut = () => {
      behind.unpipe(client)
      client.end()
    }
    behind.on('connect', () => cuts.set(behind.localPort ?? 0, () => setTimeout(cut, 20)))
    for (const socket of [client, behind]) {
      sockets.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => (socket === client ? behind : client).destroy())
    }
    client.pipe(behind).pipe(client)
  })
  relay.listen(0, '127.0.0.1')
  await once(relay, 'listening')
  const rig = linkTo(endpointAt(portOf(relay), { ca: authority.certificate }), 'doh')
  t.teardown(async () => {
    await rig.link.close()
    for (const socket of sockets) socket.destroy()
    server.close()
    relay.close()
  })
  return { ...rig, counts }
}

const bodyOf = (q: Uint8Array) => replyTo(q, [addressRecord()])
const plain = (q: Uint8Array, more = '', version = '1.1') => {
  const body = bodyOf(q)
  return Buffer.concat([Buffer.from(`HTTP/${version} 200 OK\r\n${TYPE}content-length: ${body.length}\r\n${more}\r\n`), body])
}
/** Chunks of 1, 2, 3 ... octets, with extensions, and trailers. */
function chunked(q: Uint8Array, more = ''): Buffer {
  const body = bodyOf(q)
  const parts: Buffer[] = [Buffer.from(`HTTP/1.1 200\r\n${TYPE}Transfer-Encoding: Chunked\r\n${more}\r\n`)]
  for (let at = 0, length = 1; at < body.length; at += length++) {
    const chunk = body.subarray(at, at + length)
    parts.push(
      Buffer.from(`${length % 2 === 0 ? '0' : ''}${chunk.length.toString(16).toUpperCase()}${length === 3 ? ' ;a="b;c"' : ''}\r\n`),
      Buffer.from(chunk),
      Buffer.from('\r\n'),
    )
  }
  return Buffer.concat([...parts, Buffer.from('0;last\r\nExpires: never\r\nX: y\r\n\r\n')])
}
const untilClose = (q: Uint8Array, version = '1.1') => Buffer.concat([Buffer.from(`HTTP/${version} 200 OK\r\n${TYPE}\r\n`), bodyOf(q)])
const asked = (n: number) => query({ name: `n${n}.example.com`, id: n })

/** What is right in all its shapes, and whether the connection may go on after it. */
const RIGHT: readonly (readonly [what: string, response: (q: Uint8Array) => Buffer, reusable: boolean])[] = [
  ['a length', (q) => plain(q), true],
  ['chunks, extensions, trailers', (q) => chunked(q), true],
  ['100 Continue, unasked', (q) => Buffer.concat([Buffer.from('HTTP/1.1 100 Continue\r\n\r\n'), plain(q)]), true],
  [
    '102, 103 and 199 with fields',
    (q) =>
      Buffer.concat([
        Buffer.from(
          'HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>; rel=preload\r\ncontent-length: 5\r\n\r\nHTTP/1.1 199 \r\n\r\n',
        ),
        plain(q),
      ]),
    true,
  ],
  [
    'names and values in any case, spaces around',
    (q) =>
      Buffer.from(
        plain(q)
          .toString('latin1')
          .replace('content-type: application/dns-message', 'CONTENT-TYPE:\t Application/DNS-Message \t')
          .replace('content-length:', 'Content-Length:'),
        'latin1',
      ),
    true,
  ],
  ['a folded field', (q) => plain(q, 'x-long: one\r\n two\r\n\tthree\r\n'), true],
  ['the same length twice', (q) => plain(q, `content-length: ${bodyOf(q).length}\r\n`), true],
  ['lines that end with a line feed alone', (q) => Buffer.from(plain(q).toString('latin1').replace(/\r\n/g, '\n'), 'latin1'), true],
  ['close', (q) => plain(q, 'connection: close\r\n'), false],
  ['close among others, in any case', (q) => chunked(q, 'Connection: Keep-Alive, X\r\nConnection:  CLOSE\r\n'), false],
  ['HTTP/1.0', (q) => plain(q, '', '1.0'), false],
  ['HTTP/1.0, kept alive', (q) => plain(q, 'Connection: Keep-Alive\r\n', '1.0'), true],
]

// The first of all: the client for HTTP/1.1 is loaded while the server speaks.
t.test('a server that sends data before there is a listener is closed, without other effects', async (t) => {
  let greets = true
  const { ask, count } = await scene(
    t,
    (q, peer) => peer.write(plain(q)),
    (peer) => {
      if (greets) peer.write('HTTP/1.1 408 Request Timeout\r\n'.padEnd(600))
    },
  )
  t.equal(await codeOf(ask(query(), 500)), 'connection-lost')
  greets = false
  await pause(200)
  t.equal(await codeOf(ask(query())), 'answered')
  t.equal(count('link.up'), count('link.down') + 1)
})

t.test('valid responses in every form, cut at every octet', async (t) => {
  for (const [what, response, reusable] of RIGHT) {
    let cutAt = 0
    const { ask, counts } = await scene(t, (q, peer) => {
      const whole = response(q)
      peer.write(whole.subarray(0, cutAt))
      peer.write(whole.subarray(cutAt))
      if (!reusable) peer.end()
    })
    const request = query({ id: 7 })
    const right = Buffer.from(replyTo(request, [addressRecord()]))
    const octets = response(request).length
    let wrong = 0
    // A connection for each is dear: the body is cut at fewer places there.
    for (cutAt = 1; cutAt < octets; cutAt += reusable ? 1 : 7) if (Buffer.compare(right, (await ask(request)).wire) !== 0) wrong++
    t.equal(wrong, 0, what)
    t.equal(counts.connections === 1, reusable, `${what}: ${counts.connections} connections`)
  }
})

t.test('all of them octet by octet, and all at once in one record', async (t) => {
  for (const [what, response, reusable] of RIGHT) {
    const { ask } = await scene(t, (q, peer) => {
      const whole = response(q)
      if (peer.requests === 1 && peer.connection === 1) for (const octet of whole) peer.write(Uint8Array.of(octet))
      else peer.write(whole)
      if (!reusable) peer.end()
    })
    for (let i = 0; i < 2; i++) t.equal(await codeOf(ask(query())), 'answered', what)
  }
})

t.test('close after each answer: nothing is lost, one query or fifty at once, and none is sent twice', async (t) => {
  for (const closes of ['says so', 'does so', 'HTTP/1.0'] as const) {
    const { ask, counts, count } = await scene(t, (q, peer) => {
      peer.write(plain(q, closes === 'says so' ? 'connection: close\r\n' : '', closes === 'HTTP/1.0' ? '1.0' : '1.1'))
      if (closes !== 'says so') peer.end()
    })
    for (let i = 0; i < 5; i++) t.equal(await codeOf(ask(asked(i))), 'answered', closes)
    const outcomes = await Promise.all(Array.from({ length: 50 }, (_, i) => codeOf(ask(asked(100 + i)))))
    t.same(
      outcomes.filter((outcome) => outcome !== 'answered'),
      [],
      closes,
    )
    if (closes !== 'does so') t.equal(counts.requests, 55, `${closes}: each asked once`)
    t.equal(count('link.failed'), 0)
  }
})

t.test('a body that ends with the connection is whole after close_notify, and not before', async (t) => {
  for (const version of ['1.0', '1.1']) {
    const whole = await scene(t, (q, peer) => {
      peer.write(untilClose(q, version))
      peer.end()
    })
    for (let i = 0; i < 3; i++) t.equal(await codeOf(whole.ask(asked(i))), 'answered', version)
    t.ok(whole.counts.requests <= 4, 'at most once more, to be able to tell')
    const cutShort = [0, 20].map(async (octets) => {
      const cut = await scene(t, (q, peer) => {
        const all = untilClose(q, version)
        peer.write(all.subarray(0, all.length - octets))
        peer.cut()
      })
      for (let i = 0; i < 2; i++)
        t.match(await codeOf(cut.ask(asked(i))), /^connection-lost$|^connect-failed$/, `${version}, ${octets} octets short`)
    })
    await Promise.all(cutShort)
  }
})

t.test('a response with a length or in chunks needs no close_notify', async (t) => {
  for (const response of [plain, chunked]) {
    const { ask } = await scene(t, (q, peer) => {
      peer.write(response(q, 'connection: close\r\n'))
      peer.cut()
    })
    for (let i = 0; i < 3; i++) t.equal(await codeOf(ask(asked(i))), 'answered')
  }
})

t.test('truncated or ambiguous responses are no answer', async (t) => {
  const head =
    (fields: string, status = '200 OK') =>
    (q: Uint8Array) =>
      Buffer.concat([Buffer.from(`HTTP/1.1 ${status}\r\n${TYPE}${fields}\r\n`), bodyOf(q)])
  const wrong: readonly (readonly [what: string, response: (q: Uint8Array) => Buffer])[] = [
    ['a length, one octet short', (q) => plain(q).subarray(0, -1)],
    ['a head alone', (q) => Buffer.from(plain(q).toString('latin1').split('\r\n\r\n')[0] ?? '', 'latin1')],
    ['chunks without the last', (q) => chunked(q).subarray(0, -30)],
    ['chunks without the end of the trailers', (q) => chunked(q).subarray(0, -2)],
    ['nothing', () => Buffer.alloc(0)],
    ['an interim response alone', () => Buffer.from('HTTP/1.1 100 Continue\r\n\r\n')],
    ['a length and chunks', (q) => chunked(q, `content-length: ${chunked(q).length}\r\n`)],
    ['two lengths', (q) => plain(q, 'content-length: 5\r\n')],
    ['a list of lengths', (q) => plain(q, `content-length: ${bodyOf(q).length}, 5\r\n`)],
    ['a length that is none', head('content-length: 5x\r\n')],
    ['a negative length', head('content-length: -5\r\n')],
    ['an empty length', head('content-length:\r\n')],
    ['chunks in HTTP/1.0', (q) => Buffer.from(chunked(q).toString('latin1').replace('HTTP/1.1', 'HTTP/1.0'), 'latin1')],
    ['another coding', head('transfer-encoding: gzip, chunked\r\n')],
    ['chunks, twice', (q) => chunked(q, 'transfer-encoding: chunked\r\n')],
    ['a chunk size that is none', (q) => Buffer.from(chunked(q).toString('latin1').replace('\r\n\r\n', '\r\n\r\nx\r\n'), 'latin1')],
    [
      'a chunk that is longer than its size',
      (q) => Buffer.from(chunked(q).toString('latin1').replace('\r\n02\r\n', '\r\n01\r\n'), 'latin1'),
    ],
    ['no HTTP', () => Buffer.from('SSH-2.0-OpenSSH_9.2\r\n\r\n')],
    ['HTTP/2.0', (q) => Buffer.from(plain(q).toString('latin1').replace('HTTP/1.1', 'HTTP/2.0'), 'latin1')],
    ['a field without a name', head(': x\r\n')],
    ['a space before the colon', head('x : y\r\n')],
    ['a folded line before any field', (q) => Buffer.from(plain(q).toString('latin1').replace('200 OK\r\n', '200 OK\r\n x\r\n'), 'latin1')],
    ['a NUL in a field', head('x: a\0b\r\n')],
    [
      '101, which nobody asked for',
      (q) => Buffer.concat([Buffer.from('HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n'), plain(q)]),
    ],
    ['interim responses without an end', () => Buffer.from('HTTP/1.1 103 Early Hints\r\n\r\n'.repeat(100))],
    ['a head without an end', () => Buffer.from(`HTTP/1.1 200 OK\r\nx: ${'y'.repeat(20_000)}`)],
    [
      'a chunk extension without an end',
      (q) =>
        Buffer.from(
          chunked(q)
            .toString('latin1')
            .replace('\r\n1\r\n', `\r\n1;${'y'.repeat(20_000)}\r\n`),
          'latin1',
        ),
    ],
  ]
  const outcomes = wrong.map(async ([what, response]) => {
    const { ask, counts } = await scene(t, (q, peer) => {
      peer.write(response(q))
      peer.end()
    })
    t.equal(await codeOf(ask(query())), 'connection-lost', what)
    t.ok(counts.requests <= 2, `${what}: two tries at most`)
  })
  await Promise.all(outcomes)
})

t.test('octets after the response: it is accepted, and the connection is not reused', async (t) => {
  for (const extra of ['x', '\r\n', 'HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n']) {
    const { ask, counts } = await scene(t, (q, peer) => peer.write(Buffer.concat([plain(q), Buffer.from(extra)])))
    for (let i = 0; i < 3; i++) t.equal(await codeOf(ask(asked(i))), 'answered')
    t.equal(counts.connections, 3)
    t.equal(counts.requests, 3)
  }
})

t.test('unsolicited data of a server is no answer to a later query', async (t) => {
  const planted = replyTo(query(), [addressRecord(66)])
  setId(planted, 0)
  const lie = Buffer.concat([Buffer.from(`HTTP/1.1 200 OK\r\n${TYPE}content-length: ${planted.length}\r\n\r\n`), planted])
  const later = await scene(t, (q, peer) => {
    peer.write(plain(q))
    setTimeout(() => peer.write(lie), 20)
  })
  for (let i = 0; i < 3; i++) {
    t.equal((await later.ask(query())).wire.at(-1), 1)
    await pause(60)
  }
  t.equal(later.counts.connections, 3)
  const timedOut = await scene(t, (q, peer) => {
    peer.write(plain(q))
    setTimeout(() => {
      peer.write('HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n')
      peer.end()
    }, 20)
  })
  for (let i = 0; i < 3; i++) {
    t.equal(await codeOf(timedOut.ask(query())), 'answered')
    await pause(60)
  }
  t.equal(timedOut.count('link.failed'), 0)
  const crossed = await scene(t, (q, peer) => {
    if (peer.requests === 1) peer.write(plain(q))
    else peer.write('HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n')
  })
  for (let i = 0; i < 4; i++) t.equal(await codeOf(crossed.ask(asked(i))), 'answered', 'a 408 that crosses the request')
})

t.test('a kept connection that ends under a request: one retry on another, and no third try', async (t) => {
  const once = await scene(t, (q, peer) => {
    if (peer.requests === 2) peer.end()
    else peer.write(plain(q))
  })
  for (let i = 0; i < 6; i++) t.equal(await codeOf(once.ask(asked(i))), 'answered')
  const never = await scene(t, (_, peer) => peer.end())
  t.equal(await codeOf(never.ask(query())), 'connection-lost')
  t.equal(never.counts.requests, 2)
})

t.test('an answer to half a request, and the end of the connection', async (t) => {
  const { ask } = await scene(
    t,
    () => {},
    (peer) => {
      // Before a request is read: an HTTP server may refuse what it has not seen the end of.
      setTimeout(() => {
        peer.write('HTTP/1.1 503 Busy\r\ncontent-length: 4\r\nconnection: close\r\n\r\nbusy')
        peer.end()
      }, 30)
    },
  )
  t.equal(await codeOf(ask(query())), 'http-status')
})

t.test('Keep-Alive states the time: a connection is closed before the server closes it', async (t) => {
  const { ask, counts, count } = await scene(t, (q, peer) => peer.write(plain(q, 'Keep-Alive: timeout=1, max=100\r\n')))
  await ask(query())
  await pause(700)
  t.equal(await codeOf(ask(query())), 'answered')
  t.equal(counts.connections, 1)
  await pause(1100)
  t.equal(count('link.down'), 1, 'idle for nine tenths of it')
  t.equal(await codeOf(ask(query())), 'answered')
  t.equal(counts.connections, 2)
})
