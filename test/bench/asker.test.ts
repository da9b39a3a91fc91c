import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { createServer } from 'node:net'
import t from 'tap'
import { askerAt } from '../../bench/chaos/asker.ts'
import { FrameReader, framed } from '../../src/dns/framing.ts'
import { bareReply, filledUp } from '../support/faults/answers.ts'

t.test('an answer that did not fit is requested over TCP, and that one is judged', async (t) => {
  const tcp = createServer((socket) => {
    const reader = new FrameReader()
    socket.on('data', (chunk) => reader.push(chunk, (frame) => socket.write(framed(filledUp(frame)))))
    socket.on('error', () => {})
  }).listen(0, '127.0.0.1')
  await once(tcp, 'listening')
  const at = tcp.address()
  const port = typeof at === 'object' && at !== null ? at.port : 0
  const udp = createSocket('udp4', (message, from) => udp.send(bareReply(message, 0x8380), from.port, from.address))
  udp.bind(port, '127.0.0.1')
  await once(udp, 'listening')
  const asker = await askerAt(port)
  t.teardown(() => {
    asker.close()
    udp.close()
    tcp.close()
  })

  const told = await asker.ask('large.faults.example')

  t.match(told, { rcode: 0, right: true, wrong: false })
  t.strictSame(asker.counts, { wrong: 0, silent: 0, failed: {} })
})
