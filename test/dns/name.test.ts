import fc from 'fast-check'
import t from 'tap'
import { expandedName, labelsOf, nameFromText, nameLength, textFromName } from '../../src/dns/name.ts'
import { bestCpuMs } from '../support/cpu-time.ts'

const wire = (...labels: string[]): Uint8Array => Uint8Array.from([...labels.flatMap((l) => [l.length, ...Buffer.from(l, 'latin1')]), 0])

t.test('text to wire', async (t) => {
  t.same(nameFromText('.'), Uint8Array.of(0))
  t.same(nameFromText('example.com'), wire('example', 'com'))
  t.same(nameFromText('Example.com.'), wire('Example', 'com'), 'the closing dot is optional, case is kept')
  t.same(nameFromText('a\\.b.c'), wire('a.b', 'c'))
  t.same(nameFromText('\\000\\255.x'), wire('\0\xff', 'x'))
  t.same(nameFromText('a\\\\b'), wire('a\\b'))
  t.same(nameFromText('_dns.*'), wire('_dns', '*'))
  t.same(nameFromText('x'.repeat(63)), wire('x'.repeat(63)))
})

t.test('an invalid name is refused with config', async (t) => {
  const long = ['x'.repeat(63), 'x'.repeat(63), 'x'.repeat(63)].join('.')
  t.equal(nameFromText(`${long}.${'x'.repeat(61)}`).length, 255)
  for (const text of [
    '',
    '..',
    '.a',
    'a..b',
    'a..',
    'x'.repeat(64),
    `${long}.${'x'.repeat(62)}`,
    'a b',
    'a\tb',
    'a\u001bb',
    'é.fr',
    'a\\',
    'a\\1',
    'a\\12',
    'a\\256',
    'a\\12x',
    'a\\\n',
  ])
    t.throws(() => nameFromText(text), { code: 'config' }, JSON.stringify(text.slice(0, 20)))
})

t.test('wire to text escapes octets with a meaning for a terminal or a master file', async (t) => {
  t.equal(textFromName(Uint8Array.of(0)), '.')
  t.equal(textFromName(wire('a.b', 'c')), 'a\\.b.c.')
  t.equal(textFromName(wire('\x1b[2J')), '\\027[2J.')
  t.equal(textFromName(wire('\xfe', '\xff')), '\\254.\\255.', 'octets that UTF-8 would both make U+FFFD stay apart')
  t.equal(textFromName(wire('a"b;c$d@(e)\\ ')), 'a\\"b\\;c\\$d\\@\\(e\\)\\\\\\032.')
})

const labels = fc.array(fc.uint8Array({ minLength: 1, maxLength: 30 }), { maxLength: 8 })
const nameOf = (parts: readonly Uint8Array[]): Uint8Array => Uint8Array.from([...parts.flatMap((l) => [l.length, ...l]), 0])

t.test('text to wire and back is the identity for any octets', async (t) => {
  fc.assert(
    fc.property(labels, (parts) => {
      const name = nameOf(parts)
      const text = textFromName(name)
      return /^[!-~]+$/.test(text) && Buffer.from(nameFromText(text)).equals(name)
    }),
  )
  t.pass()
})

t.test('labels are latin1, one character per octet', async (t) => {
  t.same(labelsOf(wire('www', 'example', 'com')), ['www', 'example', 'com'])
  t.same(labelsOf(Uint8Array.of(0)), [])
  fc.assert(
    fc.property(labels, (parts) => labelsOf(nameOf(parts)).every((l, i) => Buffer.from(l, 'latin1').equals(parts[i] ?? Buffer.of()))),
  )
})

/** `octets` at offset 12, as in a message. */
const message = (...octets: number[]): Uint8Array => Uint8Array.from([...new Array(12).fill(0), ...octets])

t.test('length and expansion of names in a message', async (t) => {
  const plain = message(1, 97, 0, 1, 98, 0xc0, 12, 0xc0, 15)
  t.equal(nameLength(plain, 12), 3)
  t.equal(nameLength(plain, 15), 4)
  t.equal(nameLength(plain, 19), 2)
  t.same(expandedName(plain, 19), wire('b', 'a'))
  t.same(expandedName(plain, 12), wire('a'))
})

t.test('malformed names have length 0', async (t) => {
  t.equal(nameLength(message(0xc0, 12), 12), 0, 'a pointer to itself')
  t.equal(nameLength(message(0xc0, 14, 0xc0, 12), 14), 0, 'a loop of two')
  t.equal(nameLength(message(0xc0, 14, 0), 12), 0, 'a pointer that goes forward')
  t.equal(nameLength(message(1, 97, 0xc0, 12), 12), 0, 'a label, then back to itself')
  t.equal(nameLength(message(3, 97), 12), 0, 'cut off in a label')
  t.equal(nameLength(message(0xc0), 12), 0, 'cut off in a pointer')
  t.equal(nameLength(message(1, 97), 12), 0, 'no end')
  t.equal(nameLength(message(0x41, 97, 0), 12), 0, 'label type 01')
  t.equal(nameLength(message(0x80, 97, 0), 12), 0, 'label type 10')
  t.equal(nameLength(message(), 12), 0, 'nothing there')
  const full = [...new Array(3).fill([63, ...new Array(63).fill(97)]).flat(), 61, ...new Array(61).fill(97), 0]
  t.equal(nameLength(message(...full), 12), 255)
  t.equal(nameLength(message(...full, 1, 97, 0xc0, 12), 12 + 255), 0, '257 octets once followed')
})

t.test('chains of pointers are bounded, and so is the time for 64 KiB of them', async (t) => {
  const chain = (n: number): Uint8Array =>
    message(
      0,
      ...Array.from({ length: n }, (_, i) => [0xc0 | ((i === 0 ? 12 : 11 + 2 * i) >> 8), (i === 0 ? 12 : 11 + 2 * i) & 255]).flat(),
    )
  t.equal(nameLength(chain(127), 13 + 2 * 126), 2)
  t.equal(nameLength(chain(128), 13 + 2 * 127), 0)
  const walks = (wire: Uint8Array) =>
    bestCpuMs(() => {
      for (let i = 0; i < 5000; i++) nameLength(wire, wire.length - 2)
    })
  const [longestMs, worstMs] = [walks(chain(127)), walks(chain(8000))]
  t.ok(worstMs < 4 * longestMs + 5, `63 times the pointers: ${worstMs} ms, where the longest that is followed takes ${longestMs} ms`)
})

t.test('any octets: never throws, never reads past the end, expansion agrees with length', async (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), fc.nat(400), (octets, at) => {
      const length = nameLength(octets, at)
      const name = expandedName(octets, at)
      if (length === 0) return name === undefined
      return at + length <= octets.length && name !== undefined && name.length <= 255 && nameLength(name, 0) === name.length
    }),
    { numRuns: 5000 },
  )
  t.pass()
})
