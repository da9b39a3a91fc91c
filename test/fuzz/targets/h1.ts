import { H1Response } from '../../../src/link/carriers/h1-response.ts'
import { bytes } from '../../support/messages.ts'
import { addressRecord, replyTo } from '../../support/replies.ts'
import { must, type Target } from '../target.ts'
import { pieces, REQUESTS } from './fake-connection.ts'

const REQUEST = REQUESTS[0] as Uint8Array
const ANSWER = replyTo(REQUEST, [addressRecord()])
ANSWER.fill(0, 0, 2)

const text = (...lines: readonly string[]) => Buffer.from(lines.join('\r\n'), 'latin1')
const TYPE = 'content-type: application/dns-message'
const sized = text('HTTP/1.1 200 OK', TYPE, `content-length: ${ANSWER.length}`, '', '')
const closed = text('HTTP/1.1 200 OK', TYPE, 'connection: close', '', '')
const chunked = text('HTTP/1.1 200 OK', TYPE, 'Transfer-Encoding: chunked', '', `${ANSWER.length.toString(16)};x=y`, '')

/**
 * HTTP/1.1 from behind the TLS: the octets that a resolver sends. Input: how they are cut and how
 * the connection ends, then they.
 */
export const h1Target: Target = {
  name: 'h1',
  maxOctets: 70_000,
  words: ['\r\n', '\r\n\r\n', 'HTTP/1.0 ', '100 ', ': ', 'chunked', 'close', 'keep-alive', 'timeout=5', '\n 0', '0\r\n\r\n'].map((word) =>
    Buffer.from(word),
  ),
  seeds: [
    bytes(255, sized, ANSWER),
    bytes(3, closed, ANSWER),
    bytes(0, chunked, ANSWER, text('', '0', 'x: y', '', '')),
    bytes(9, text('HTTP/1.1 100 Continue', '', 'HTTP/1.1 103 Early Hints', 'link: a', ' b', '', ''), sized, ANSWER, [0]),
    bytes(1, text('HTTP/1.1 503 Busy', 'content-length: 3', 'keep-alive: timeout=5, max=9', '', 'x\r')),
  ],
  timed(input) {
    read([input.slice(1)], true)
  },
  run(input) {
    for (const notified of [true, false]) {
      const outcome = read(pieces(input), notified)
      must(outcome === read([input.slice(1)], notified), 'how the octets are cut does not matter')
    }
  },
}

/** All that a carrier would learn, as text. */
function read(chunks: readonly Uint8Array[], notified: boolean): string {
  const response = new H1Response()
  for (const chunk of chunks) response.push(chunk)
  const progress = response.end(notified)
  must(progress !== 'more', 'the end is an end')
  if (progress !== 'whole') return progress
  const reply = response.fault ?? response.body.reply(REQUEST)
  must(!(reply instanceof Uint8Array) || reply.length <= 65_535, 'no message is longer than one can be')
  const said = reply instanceof Uint8Array ? Buffer.from(reply).toString('hex') : reply.code
  return `${said} ${response.reusable} ${response.keepAliveS} ${JSON.stringify(response.headers)}`
}
