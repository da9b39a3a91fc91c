import { createSocket } from 'node:dgram'
import { connect } from 'node:net'
import type { Clock, Random } from '../clock.ts'
import { FrameReader, framed } from '../dns/framing.ts'
import { idOf } from '../dns/message.ts'
import { plainAnswer, plainQuery } from '../dns/plain-text.ts'

const GIVE_UP_MS = 6000

interface Timed {
  readonly reply: Uint8Array
  readonly ms: number
}

/** What a client got, and how long it waited after it had sent its question. `text` is the data of the last record of the asked type, else the RCODE's name. */
export interface Heard {
  readonly text: string
  readonly ms: number
}

/** Asks 127.0.0.1:`port` as any program would: one plain query, one socket. Rejects when nothing comes back within six seconds. */
export async function ask(port: number, over: 'udp' | 'tcp', name: string, type: 'A' | 'TXT', time: Clock, random: Random): Promise<Heard> {
  const query = plainQuery(name, type, random.below(65536))
  const { reply, ms } = await (over === 'udp' ? overUdp(port, query, time) : overTcp(port, query, time))
  return { text: plainAnswer(reply, type), ms }
}

function overUdp(port: number, query: Uint8Array, time: Clock): Promise<Timed> {
  return new Promise((resolve, reject) => {
    const socket = createSocket('udp4')
    const timer = time.setTimer(GIVE_UP_MS, () => settle(() => reject(new Error('no reply over UDP'))))
    const settle = (how: () => void) => {
      timer.cancel()
      socket.close()
      how()
    }
    socket.on('error', (error) => settle(() => reject(error)))
    let sentMs = time.nowMs()
    socket.on('message', (reply) => idOf(reply) === idOf(query) && settle(() => resolve({ reply, ms: time.nowMs() - sentMs })))
    socket.once('connect', () => {
      sentMs = time.nowMs()
      socket.send(query)
    })
    // With a callback that would be told of a failure, and not 'error'.
    socket.connect(port, '127.0.0.1')
  })
}

function overTcp(port: number, query: Uint8Array, time: Clock): Promise<Timed> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1')
    const reader = new FrameReader()
    const settle = (how: () => void) => {
      timer.cancel()
      socket.destroy()
      how()
    }
    const timer = time.setTimer(GIVE_UP_MS, () => settle(() => reject(new Error('no reply over TCP'))))
    let sentMs = time.nowMs()
    socket.on('connect', () => {
      sentMs = time.nowMs()
      socket.write(framed(query))
    })
    socket.on('error', (error) => settle(() => reject(error)))
    socket.on('data', (chunk) =>
      reader.push(chunk, (reply) => settle(() => resolve({ reply: Uint8Array.from(reply), ms: time.nowMs() - sentMs }))),
    )
  })
}
