import t from 'tap'
import { HeadReader } from '../../../../src/link/carriers/h2/heads.ts'
import { field, GOOD } from './rig.ts'

t.test('malformed responses (RFC 9113 sections 8.2 and 8.3)', (t) => {
  const reader = new HeadReader()
  const head = (...fields: readonly (readonly number[])[]) => reader.read(Uint8Array.from(fields.flat()), 0, fields.flat().length)
  const S = [0x88]
  t.match(head(GOOD), { status: 200, usable: true, contentLength: -1, ageS: undefined })
  t.match(head(GOOD, field('age', '17'), field('content-length', '64')), { usable: true, ageS: 17, contentLength: 64 })
  t.match(head(S, field('content-type', 'text/html')), { usable: false })
  t.match(head(GOOD, field('content-encoding', 'gzip')), { usable: false })
  t.match(head(field('x', 'y')), { status: 0, usable: false }, 'no :status: trailers')
  t.equal(head(S, S), 'malformed', 'two of it')
  t.equal(head(field('x', 'y'), S), 'malformed', ':status behind a field')
  t.equal(head(S, field(':path', '/')), 'malformed', 'a pseudo-header of requests')
  t.equal(head(S, field('Content-Type', 'x')), 'malformed', 'upper case')
  t.equal(head(S, field('', 'x')), 'malformed', 'no name')
  t.equal(head(S, field('a b', 'x')), 'malformed', 'a space in a name')
  t.equal(head(S, field('a', 'x\r\ny: z')), 'malformed', 'a line break in a value')
  t.equal(head(S, field('a', '\0')), 'malformed')
  t.equal(head(S, field('a', ' x')), 'malformed')
  t.equal(head(S, field('transfer-encoding', 'chunked')), 'malformed')
  t.equal(head(S, field('connection', 'close')), 'malformed')
  t.equal(head(field(':status', '0200')), 'malformed')
  t.equal(head(S, field('content-length', '12'), field('content-length', '13')), 'malformed')
  t.equal(head(S, field('content-length', '-1')), 'malformed')
  t.match(head(S, field('content-length', '12'), field('content-length', '12')), { contentLength: 12 })
  t.match(head(GOOD, field('__proto__', 'x')), { usable: true })
  t.end()
})

t.test('a repeated block is not parsed again, and a similar one is', (t) => {
  const reader = new HeadReader()
  const block = (age: string) => Uint8Array.from([...GOOD, ...field('age', age)])
  const first = reader.read(block('10'), 0, block('10').length)
  t.equal(reader.read(block('10'), 0, block('10').length), first)
  t.match(reader.read(block('11'), 0, block('11').length), { ageS: 11 })
  t.match(reader.read(block('10'), 0, block('10').length), { ageS: 10 })

  const refers = Uint8Array.of(0x88, 0xbe)
  const adds = (age: string) => Uint8Array.from([0x88, 0x55, age.length, ...Buffer.from(age)])
  for (const age of ['21', '22', '21']) {
    t.match(reader.read(adds(age), 0, 5), { ageS: Number(age) }, 'it changes the table: read each time')
    for (let i = 0; i < 2; i++) t.match(reader.read(refers, 0, 2), { ageS: Number(age) }, 'the same octets, after another table')
  }
  t.end()
})
