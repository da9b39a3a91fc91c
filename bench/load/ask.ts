import { createSocket } from 'node:dgram'
import { nameFromText } from '../../src/dns/name.ts'
import { RecordCursor } from '../../src/dns/records.ts'

/** What a reply says, as far as the checks need it. */
export interface Reply {
  readonly rcode: number
  /** The A records, dotted. */
  readonly addresses: readonly string[]
}

/**
 * Asks for A of `name` over UDP every `everyMs` until a reply with an RCODE other than SERVFAIL and
 * REFUSED comes; undefined when none came within `ms`.
 */
export function ask(port: number, name: string, ms: number, everyMs = 20): Promise<Reply | undefined> {
  return new Promise((resolve) => {
    const socket = createSocket('udp4')
    const query = Buffer.concat([Buffer.from('2a2a01000001000000000000', 'hex'), nameFromText(name), Buffer.of(0, 1, 0, 1)])
    const send = () => socket.send(query, port, '127.0.0.1')
    const done = (reply: Reply | undefined) => {
      clearInterval(again)
      clearTimeout(late)
      socket.close()
      resolve(reply)
    }
    const again = setInterval(send, everyMs)
    const late = setTimeout(() => done(undefined), ms)
    socket.on('error', () => {}) // nobody listens yet
    socket.on('message', (message) => {
      const rcode = (message[3] ?? 0) & 15
      if (rcode !== 2 && rcode !== 5) done({ rcode, addresses: addressesIn(message) })
    })
    send()
  })
}

function addressesIn(message: Uint8Array): readonly string[] {
  const cursor = new RecordCursor(message)
  const found: string[] = []
  while (cursor.next())
    if (cursor.section === 1 && cursor.type === 1) found.push(message.subarray(cursor.rdataAt, cursor.rdataAt + 4).join('.'))
  return found
}
