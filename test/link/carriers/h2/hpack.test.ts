import fc from 'fast-check'
import t from 'tap'
import { integer } from '../../../../src/link/carriers/h2/heads.ts'
import {
  HpackReader,
  huffmanCodes,
  huffmanDecode,
  MAX_HEADER_LIST_OCTETS,
  STATIC_TABLE,
  staticIndex,
} from '../../../../src/link/carriers/h2/hpack.ts'
import { field } from './rig.ts'

const hex = (text: string) => Buffer.from(text.replaceAll(' ', ''), 'hex')
const read = (block: Uint8Array | readonly number[], reader = new HpackReader()) => reader.read(Uint8Array.from(block), 0, block.length)
const pairs = (block: Uint8Array, reader = new HpackReader()) => {
  const fields = read(block, reader)
  return typeof fields === 'string' ? fields : fields.map(({ name, value }) => `${name}: ${value}`)
}
const decode = (coded: Uint8Array) => {
  const out = Buffer.alloc(4096)
  const octets = huffmanDecode(coded, 0, coded.length, out)
  return octets < 0 ? undefined : out.subarray(0, octets)
}
const codes = new Map(huffmanCodes().map((entry) => [entry.symbol, entry]))

/** The plain way, by bits. */
function huffmanEncode(octets: Uint8Array): Buffer {
  let bits = ''
  for (const octet of octets) {
    const { code = 0, bits: length = 0 } = codes.get(octet) ?? {}
    bits += code.toString(2).padStart(length, '0')
  }
  bits = bits.padEnd(Math.ceil(bits.length / 8) * 8, '1')
  return Buffer.from(bits.match(/.{8}/g)?.map((octet) => Number.parseInt(octet, 2)) ?? [])
}

t.test('the static table is that of RFC 7541 appendix A', (t) => {
  t.equal(STATIC_TABLE.length, 61)
  const at = (index: number) => `${STATIC_TABLE[index - 1]?.name}: ${STATIC_TABLE[index - 1]?.value}`
  t.equal(at(2), ':method: GET')
  t.equal(at(8), ':status: 200')
  t.equal(at(16), 'accept-encoding: gzip, deflate')
  t.equal(at(61), 'www-authenticate: ')
  t.same(['age', 'content-encoding', 'content-length', 'content-type'].map(staticIndex), [21, 26, 28, 31])
  t.end()
})

t.test('the Huffman code is that of RFC 7541 appendix B', (t) => {
  t.equal(codes.size, 257)
  const shape = (symbol: number) => `${codes.get(symbol)?.code.toString(16)}/${codes.get(symbol)?.bits}`
  t.equal(shape(48), '0/5')
  t.equal(shape(0), '1ff8/13')
  t.equal(shape(33), '3f8/10')
  t.equal(shape(92), '7fff0/19')
  t.equal(shape(122), '7b/7')
  t.equal(shape(249), 'ffffffe/28', 'the last of 28 bits')
  t.equal(shape(22), '3ffffffe/30')
  t.equal(shape(256), '3fffffff/30')
  t.end()
})

t.test('Huffman vectors of RFC 7541 appendices C.4 and C.6', (t) => {
  const vectors = {
    'f1e3 c2e5 f23a 6ba0 ab90 f4ff': 'www.example.com',
    'a8eb 1064 9cbf': 'no-cache',
    '25a8 49e9 5ba9 7d7f': 'custom-key',
    '25a8 49e9 5bb8 e8b4 bf': 'custom-value',
    '6402': '302',
    'd07a be94 1054 d444 a820 0595 040b 8166 e082 a62d 1bff': 'Mon, 21 Oct 2013 20:13:21 GMT',
    '9d29 ad17 1863 c78f 0b97 c8e9 ae82 ae43 d3': 'https://www.example.com',
    '94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07':
      'foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1',
  }
  for (const [coded, text] of Object.entries(vectors)) {
    t.equal(decode(hex(coded))?.toString('latin1'), text)
    t.same(huffmanEncode(Buffer.from(text)), hex(coded), 'the encoder of this test agrees')
  }
  t.end()
})

t.test('invalid Huffman strings (RFC 7541 section 5.2)', (t) => {
  t.equal(decode(hex('3fffffff'))?.length, undefined, 'EOS inside')
  t.equal(decode(hex('ffffffff')), undefined, 'EOS')
  t.equal(decode(hex('1fff')), undefined, 'padding longer than 7 bits')
  t.equal(decode(hex('18')), undefined, 'padding that is not ones')
  t.equal(decode(hex('1f'))?.toString(), 'a')
  t.equal(huffmanDecode(hex('f1e3c2e5f23a6ba0ab90f4ff'), 0, 12, Buffer.alloc(14)), -1, 'longer than there is room for')
  t.end()
})

t.test('Huffman: any octets survive encoding and decoding', (t) => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 200 }),
      (octets) => Buffer.compare(decode(huffmanEncode(octets)) ?? Buffer.alloc(0), octets) === 0,
    ),
  )
  t.end()
})

t.test('integers of RFC 7541 appendix C.1 and any others', (t) => {
  t.same(integer(0, 5, 10), [0x0a])
  t.same(integer(0, 5, 1337), [0x1f, 0x9a, 0x0a])
  t.same(integer(0, 8, 42), [0x2a])
  fc.assert(
    fc.property(fc.nat(12_000), (length) => {
      const fields = read([0x10, 1, 0x61, ...integer(0, 7, length), ...new Array<number>(length).fill(0x62)])
      return typeof fields !== 'string' && fields[0]?.value.length === length
    }),
    { numRuns: 50 },
  )
  t.end()
})

t.test('header blocks of RFC 7541 appendix C that do not need a dynamic table', (t) => {
  t.same(pairs(hex('400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572')), ['custom-key: custom-header'], 'C.2.1')
  t.same(pairs(hex('040c 2f73 616d 706c 652f 7061 7468')), [':path: /sample/path'], 'C.2.2')
  t.same(pairs(hex('1008 7061 7373 776f 7264 0673 6563 7265 74')), ['password: secret'], 'C.2.3')
  t.same(pairs(hex('82')), [':method: GET'], 'C.2.4')
  t.same(pairs(hex('8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff')), [
    ':method: GET',
    ':scheme: http',
    ':path: /',
    ':authority: www.example.com',
  ])
  t.same(
    pairs(hex('4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3120 474d 54')),
    [':status: 302', 'cache-control: private', 'date: Mon, 21 Oct 2013 20:13:21 GMT'],
    'C.5.1, the location left out',
  )
  t.end()
})

t.test('errors that are a COMPRESSION_ERROR', (t) => {
  const cases: Record<string, string> = {
    'index 0': '80',
    'an index into an empty dynamic table': 'be',
    'a large index': 'ff ff ff ff 7f',
    'an integer that never ends': 'ff ff ff ff ff ff ff ff ff 7f',
    'an integer cut off': 'ff 80',
    'a name from the dynamic table': '7e 01 61',
    'a table of 4,097 octets': '3f e2 1f',
    'a table whose size has no end': '3f ff ff ff ff 7f',
    'a table size behind a field': '88 20',
    'no value': '00 01 61',
    'a value cut off': '00 01 61 05 62 62',
    'no name': '00',
    'a value whose length is cut off': '00 01 61 7f',
    'EOS in a value': '00 01 61 84 ff ff ff ff',
  }
  for (const [name, block] of Object.entries(cases)) t.equal(read(hex(block)), 'compression', name)
  t.same(pairs(hex('20 88')), [':status: 200'], 'a table of size 0 is what we asked for')
  t.same(pairs(hex('20 20 88')), [':status: 200'])
  t.end()
})

const C5 = [
  '4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d',
  '4803 3330 37c1 c0bf',
  '88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970 7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572 7369 6f6e 3d31',
]
const C6 = [
  '4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3',
  '4883 640e ffc1 c0bf',
  '88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07',
]

t.test('responses of RFC 7541 appendices C.5 and C.6: a dynamic table of 256 octets, with eviction', (t) => {
  const rest = ['cache-control: private', 'date: Mon, 21 Oct 2013 20:13:21 GMT', 'location: https://www.example.com']
  const last = ['content-encoding: gzip', 'set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1']
  for (const blocks of [C5, C6]) {
    const reader = new HpackReader()
    t.ok(reader.table.resize(256))
    const [first, second, third] = blocks.map((block) => pairs(hex(block), reader))
    t.same(first, [':status: 302', ...rest])
    t.same(second, [':status: 307', ...rest])
    t.same(third, [':status: 200', rest[0], 'date: Mon, 21 Oct 2013 20:13:22 GMT', rest[2], ...last])
    t.equal(read([0xc1], reader), 'compression', 'three entries are left')
  }
  t.end()
})

t.test('requests of RFC 7541 appendix C.3: a dynamic table of the default size', (t) => {
  const reader = new HpackReader()
  pairs(hex('8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d'), reader)
  const second = [':method: GET', ':scheme: http', ':path: /', ':authority: www.example.com', 'cache-control: no-cache']
  t.same(pairs(hex('8286 84be 5808 6e6f 2d63 6163 6865'), reader), second)
  const third = [':method: GET', ':scheme: https', ':path: /index.html', ':authority: www.example.com', 'custom-key: custom-value']
  t.same(pairs(hex('8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65'), reader), third)
  t.end()
})

t.test('the dynamic table: closed by a peer that honours HEADER_TABLE_SIZE 0, bounded for one that does not', (t) => {
  const closed = new HpackReader()
  t.same(pairs(hex('20 4001 6101 62'), closed), ['a: b'])
  t.equal(read([0xbe], closed), 'compression', 'nothing was added')
  t.equal(closed.table.version, 1, 'and a block means the same whenever it comes')
  const open = new HpackReader()
  const one = [0x40, ...field('n', 'v'.repeat(90)).slice(1)]
  read(new Array(100).fill(one).flat(), open)
  t.not(open.table.at(62 + 32), undefined)
  t.equal(open.table.at(62 + 33), undefined, '33 entries of 123 octets fit 4,096')
  read([0x40, 1, 0x61, ...integer(0, 7, 4200), ...new Array<number>(4200).fill(0x62)], open)
  t.equal(open.table.at(62), undefined, 'one that is larger than the table empties it')
  t.end()
})

t.test('the header list is bounded, decoded', (t) => {
  const one = field('a', 'b'.repeat(100))
  const fits = Math.floor(MAX_HEADER_LIST_OCTETS / (101 + 32))
  t.equal(read(new Array(fits).fill(one).flat()).length, fits)
  t.equal(read(new Array(fits + 1).fill(one).flat()), 'tooLarge')
  t.equal(read(new Array(600).fill(0x88)), 'tooLarge', 'one octet, 42 decoded')
  const long = huffmanEncode(Buffer.alloc(20_000, 0x30))
  t.equal(read([0, 1, 0x61, ...integer(0x80, 7, long.length), ...long]), 'tooLarge', 'a Huffman string')
  t.end()
})

t.test('any octets are read to an end without a throw', (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (octets) => {
      const fields = new HpackReader().read(octets, 0, octets.length)
      return typeof fields === 'string' || fields.every(({ name, value }) => typeof name === 'string' && typeof value === 'string')
    }),
    { numRuns: 3000 },
  )
  t.end()
})
