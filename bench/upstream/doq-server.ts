import { questionEnd } from '../../src/dns/name.ts'
import { HEADER_OCTETS, putU16 } from '../../src/dns/octets.ts'
import { startDoq } from '../../test/support/doq-server.ts'

// A DoQ server for the bench, in a Node of its own: it gives the answers of the upstream.

const A_RECORD = Buffer.of(0xc0, HEADER_OCTETS, 0, 1, 0, 1, 0, 0, 14, 16, 0, 4, 192, 0, 2, 53)
const NX = Buffer.from('\x02nx\x05bench\x07example\0')

function replyTo(query: Uint8Array): Uint8Array {
  const end = questionEnd(query)
  const denied = Buffer.from(query.subarray(HEADER_OCTETS, end - 4)).indexOf(NX) >= 0
  const isA = query[end - 3] === 1 && !denied
  const message = Buffer.concat([query.subarray(0, end), isA ? A_RECORD : Buffer.alloc(0)])
  message[2] = 0x81
  message[3] = denied ? 0x83 : 0x80
  putU16(message, 4, 1)
  putU16(message, 6, isA ? 1 : 0)
  putU16(message, 8, 0)
  putU16(message, 10, 0)
  return message
}

const identity = JSON.parse(process.env.IDENTITY ?? '{}') as { readonly key: string; readonly cert: string }
const { port } = startDoq({ identity, answer: replyTo })
process.stdout.write(`port ${port}\n`)
