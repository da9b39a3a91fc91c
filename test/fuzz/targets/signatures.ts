import { createHash, createPrivateKey, sign } from 'node:crypto'
import { minisignKey, verifyMinisign } from '../../../src/files/minisign.ts'
import { must, type Target } from '../target.ts'

const SECRET = createPrivateKey({
  key: Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), Buffer.alloc(32, 7)]),
  format: 'der',
  type: 'pkcs8',
})
const ID = Buffer.from('enigmdns')
const PUBLIC = Buffer.from(SECRET.export({ format: 'jwk' }).x ?? '', 'base64url')
const KEY = Buffer.concat([Buffer.from('Ed'), ID, PUBLIC]).toString('base64')
const DATA = Buffer.from('a list of resolvers')

/** The lines of a valid signature of `DATA`, hashed (`ED`) or not (`Ed`). */
function signed(algorithm: 'Ed' | 'ED', comment: string): readonly string[] {
  const first = sign(null, algorithm === 'ED' ? createHash('blake2b512').update(DATA).digest() : DATA, SECRET)
  const second = sign(null, Buffer.concat([first, Buffer.from(comment)]), SECRET)
  return [
    'untrusted comment: x',
    Buffer.concat([Buffer.from(algorithm), ID, first]).toString('base64'),
    `trusted comment: ${comment}`,
    second.toString('base64'),
  ]
}

const VALID = [
  signed('ED', 'timestamp:1700000000\tfile:list.json\thashed'),
  signed('Ed', 'timestamp:1700000000 file:list.json'),
  signed('ED', ''),
]
const latin = (text: string) => Uint8Array.from(Buffer.from(text, 'latin1'))

/** Signature files and keys of minisign, which come with lists from anybody. */
export const signaturesTarget: Target = {
  name: 'signatures',
  maxOctets: 8300,
  words: ['untrusted comment:', 'trusted comment: ', 'timestamp:', 'file:', '\t', '\r\n', 'Ed', 'ED'].map(latin),
  seeds: [
    ...VALID.map((lines) => latin(`${lines.join('\n')}\n`)),
    latin(VALID[0]?.join('\r\n') ?? ''),
    latin(`untrusted comment: k\n${KEY}\n`),
  ],
  timed(input) {
    const text = Buffer.from(input).toString('latin1')
    minisignKey(text)
    const key = minisignKey(KEY)
    if (key !== undefined) verifyMinisign(DATA, text, key, 'list.json')
  },
  run(input) {
    const text = Buffer.from(input).toString('latin1')
    const key = minisignKey(KEY)
    must(key !== undefined, 'our own key is one')
    const read = minisignKey(text)
    must(
      read === undefined ||
        text.includes(
          Buffer.concat([Buffer.from('Ed'), read.id])
            .subarray(0, 9)
            .toString('base64'),
        ),
      'a key is what is written',
    )
    const found = verifyMinisign(DATA, text, key, 'list.json')
    const kept = text.split(/\r?\n/).slice(1, 4).join('\n')
    const made = VALID.some((lines) => lines.slice(1).join('\n') === kept)
    must((found.verdict === 'valid') === (made && found.verdict !== 'malformed'), 'valid is only what was signed')
    if (found.verdict !== 'valid') must(/^[\x20-\x7e]+$/.test(found.message), 'what is said is printable')
  },
}
