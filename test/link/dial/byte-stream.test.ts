import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { PassThrough } from 'node:stream'
import { type ConnectionOptions, connect, createServer, type TLSSocket } from 'node:tls'
import t, { type Test } from 'tap'
import { createAuthority } from '../../../src/demo/authority.ts'
import { DirectReads, onOctets } from '../../../src/link/dial/byte-stream.ts'
import { pause } from '../../support/link-rig.ts'

const authority = await createAuthority()
const identity = await authority.issue({ name: 'reads.test' })

/** A TLS connection whose other end does `talk`, with the client's socket as the links have it. */
async function pair(t: Test, talk: (socket: TLSSocket) => void): Promise<TLSSocket> {
  const server = createServer({ key: identity.key, cert: identity.cert }, (socket) => {
    socket.on('error', () => {})
    talk(socket)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const reads = new DirectReads()
  const options = {
    host: '127.0.0.1',
    port: (server.address() as AddressInfo).port,
    servername: 'reads.test',
    ca: authority.certificate,
    onread: reads.onread,
  }
  const socket = connect(options as ConnectionOptions)
  reads.of(socket)
  t.teardown(() => {
    socket.destroy()
    server.close()
  })
  await once(socket, 'secureConnect')
  return socket
}

const letters = (octets: number) => Buffer.from(Array.from({ length: octets }, (_, i) => i % 251))

t.test('received octets go to the listener, whole and in order, and are wiped afterwards', async (t) => {
  const sent = letters(1_000_000)
  const socket = await pair(t, (peer) => peer.once('data', () => peer.end(sent)))
  const copies: Uint8Array[] = []
  const views: Uint8Array[] = []
  let streamed = 0
  onOctets(socket, (octets, end) => {
    copies.push(Buffer.from(octets.subarray(0, end)))
    views.push(octets)
  })
  socket.on('data', () => streamed++)
  socket.write('go')
  await once(socket, 'end')
  t.ok(Buffer.concat(copies).equals(sent))
  t.ok(
    views.every((view) => view.every((octet) => octet === 0)),
    'nothing of it stays',
  )
  t.equal(streamed, 0, 'no stream between')
})

t.test('octets that came before there was a listener are not lost, and stay in order', async (t) => {
  const sent = letters(600_000)
  const socket = await pair(t, (peer) => void peer.write(sent))
  await pause(50)
  const held = socket.readableLength
  t.ok(held > 0 && held < 200_000, `${held} octets wait in the stream: it stops reading`)
  const views: Uint8Array[] = []
  await new Promise<void>((resolve) => {
    let octets = 0
    onOctets(socket, (view, end) => {
      views.push(Buffer.from(view.subarray(0, end)))
      octets += end
      if (octets === sent.length) resolve()
    })
  })
  t.ok(Buffer.concat(views).equals(sent))
})

t.test('octets that came before there was a listener are delivered after it is made, and before later ones', async (t) => {
  const socket = await pair(t, (peer) => {
    peer.write('early')
    peer.once('data', () => peer.write('later'))
  })
  while (socket.readableLength === 0) await pause(5)
  let text = ''
  onOctets(socket, (octets, end) => {
    text += Buffer.from(octets.subarray(0, end)).toString()
  })
  t.equal(text, '', 'not within the call')
  socket.write('go')
  while (text.length < 10) await pause(5)
  t.equal(text, 'earlylater')
})

t.test('a reader of the stream gets all octets', async (t) => {
  const sent = letters(600_000)
  const socket = await pair(t, (peer) => void peer.end(sent))
  await pause(20)
  const chunks: Buffer[] = []
  for await (const chunk of socket) chunks.push(chunk as Buffer)
  t.ok(Buffer.concat(chunks).equals(sent))
})

t.test('the end and a broken connection are reported as by any socket', async (t) => {
  const ended = await pair(t, (peer) => void peer.end())
  onOctets(ended, () => t.fail('nothing was sent'))
  await once(ended, 'end')
  const broken = await pair(t, (peer) => peer.once('data', () => peer.destroy()))
  onOctets(broken, () => t.fail('nothing was sent'))
  broken.on('error', () => {})
  broken.write('go')
  await once(broken, 'close')
})

t.test('a listener that destroys its socket gets no more octets', async (t) => {
  const socket = await pair(t, (peer) => void peer.write(letters(300_000)))
  let heard = 0
  onOctets(socket, () => {
    heard++
    socket.destroy()
  })
  await once(socket, 'close')
  const before = heard
  await pause(20)
  t.ok(before >= 1)
  t.equal(heard, before)
})

t.test('any other stream is read through its events', (t) => {
  const stream = new PassThrough()
  onOctets(stream, (octets, end) => {
    t.equal(Buffer.from(octets).toString(), 'hello')
    t.equal(end, 5)
    t.end()
  })
  stream.write('hello')
})
