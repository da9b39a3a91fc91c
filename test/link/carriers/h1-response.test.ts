import fc from 'fast-check'
import t from 'tap'
import { H1Response } from '../../../src/link/carriers/h1-response.ts'

const HEAD = 'HTTP/1.1 200 OK\r\ncontent-type: application/dns-message\r\n'
const BODY = 'twelve octets and some more'
const SEEDS = [
  `${HEAD}content-length: ${BODY.length}\r\n\r\n${BODY}`,
  `HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n${HEAD}transfer-encoding: chunked\r\n\r\n5;a=b\r\n${BODY.slice(0, 5)}\r\n16\r\n${BODY.slice(5)}\r\n0\r\nx: y\r\n\r\n`,
  `${HEAD}x: a\r\n b\r\nkeep-alive: timeout=5\r\n\r\n${BODY}`,
  'HTTP/1.0 404 Not Found\r\nconnection: keep-alive\r\ncontent-length: 3\r\n\r\nno!',
  'HTTP/1.1 204 No Content\r\n\r\n',
].map((text) => Buffer.from(text, 'latin1'))

/** What comes of `octets` that arrive in such pieces and then end. */
function outcome(octets: Buffer, cuts: readonly number[]) {
  const response = new H1Response()
  const at = [0, ...cuts.map((cut) => cut % (octets.length + 1)), octets.length].sort((a, b) => a - b)
  for (let i = 1; i < at.length; i++) response.push(octets.subarray(at[i - 1], at[i]))
  const { headers, fault, begun, reusable, keepAliveS } = response
  const progress = response.push(new Uint8Array(0))
  return { progress, atEnd: response.end(true), headers: { ...headers }, fault: fault?.code, begun, reusable, keepAliveS }
}

t.test('the outcome is the same for any division of any octets', (t) => {
  const change = fc.record({ at: fc.nat(400), octet: fc.nat(255), insert: fc.boolean() })
  fc.assert(
    fc.property(
      fc.constantFrom(...SEEDS),
      fc.array(change, { maxLength: 4 }),
      fc.array(fc.nat(400), { maxLength: 30 }),
      (seed, changes, cuts) => {
        let octets = Buffer.from(seed)
        for (const { at, octet, insert } of changes) {
          const where = at % octets.length
          octets = Buffer.concat([octets.subarray(0, where), Buffer.of(octet), octets.subarray(where + (insert ? 0 : 1))])
        }
        t.strictSame(outcome(octets, cuts), outcome(octets, []))
        t.strictSame(outcome(octets, [...octets.keys()]), outcome(octets, []))
      },
    ),
    { numRuns: 1500 },
  )
  t.end()
})

t.test('memory is bounded: heads, interim responses, chunk lines, trailers, pages', (t) => {
  const endless: readonly (readonly [what: string, head: string, part: string, atMost: number])[] = [
    ['a line', 'HTTP/1.1 200 OK\r\nx: ', 'y', 16_384],
    ['fields', 'HTTP/1.1 200 OK\r\n', 'x: y\r\n', 16_384],
    ['interim responses', '', 'HTTP/1.1 100 Continue\r\n\r\n', 500],
    ['chunks of one octet', `${HEAD}transfer-encoding: chunked\r\n\r\n`, '1\r\nx\r\n', 200_000],
    ['an extension', `${HEAD}transfer-encoding: chunked\r\n\r\n1;`, 'x', 16_384],
    ['trailers', `${HEAD}transfer-encoding: chunked\r\n\r\n0\r\n`, 'x: y\r\n', 16_400],
    ['a page', 'HTTP/1.1 500 No\r\n\r\n', 'x'.repeat(1000), 70_000],
    ['a body', `${HEAD}\r\n`, 'x'.repeat(1000), 70_000],
  ]
  for (const [what, head, part, atMost] of endless) {
    const response = new H1Response()
    let progress = response.push(Buffer.from(head, 'latin1'))
    let octets = 0
    for (const piece = Buffer.from(part, 'latin1'); progress === 'more' && octets < 1_000_000; octets += piece.length)
      progress = response.push(piece)
    t.ok(progress === 'broken' || progress === 'excess', `${what}: ${progress}`)
    t.ok(octets <= atMost, `${what}: after ${octets}`)
  }
  t.end()
})
