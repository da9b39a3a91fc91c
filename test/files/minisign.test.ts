import { execFileSync } from 'node:child_process'
import { createHash, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { type MinisignKey, minisignCheck, minisignKey, verifyMinisign } from '../../src/files/minisign.ts'
import { requireTool } from '../support/real/tools.ts'

const KEY_ID = Buffer.from('0102030405060708', 'hex')

/** A key of our own, as minisign writes it. */
function ownKey() {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519')
  const raw = publicKey.export({ format: 'der', type: 'spki' }).subarray(-32)
  const line = Buffer.concat([Buffer.from('Ed'), KEY_ID, raw]).toString('base64')
  return { privateKey, line }
}

interface Signing {
  readonly algorithm?: 'Ed' | 'ED'
  readonly comment?: string
  readonly id?: Buffer
}

function signed(
  data: Buffer,
  key: KeyObject,
  { algorithm = 'ED', comment = 'timestamp:1700000000\tfile:list.txt\thashed', id = KEY_ID }: Signing = {},
) {
  const message = algorithm === 'ED' ? createHash('blake2b512').update(data).digest() : data
  const signature = sign(null, message, key)
  const global = sign(null, Buffer.concat([signature, Buffer.from(comment)]), key)
  const first = Buffer.concat([Buffer.from(algorithm), id, signature]).toString('base64')
  return `untrusted comment: signature\n${first}\ntrusted comment: ${comment}\n${global.toString('base64')}\n`
}

function keyOf(t: Test, line: string): MinisignKey {
  const key = minisignKey(line)
  if (key === undefined) throw t.fail('no key')
  return key
}

const DATA = Buffer.from('0.0.0.0 ads.example\n')

t.test('both forms of a signature prove their data, and give what the trusted comment says', (t) => {
  const { privateKey, line } = ownKey()
  const key = keyOf(t, line)
  for (const algorithm of ['Ed', 'ED'] as const) {
    const found = verifyMinisign(DATA, signed(DATA, privateKey, { algorithm }), key, 'list.txt')
    t.match(found, { verdict: 'valid', comment: { file: 'list.txt', timestampS: 1_700_000_000 } }, algorithm)
    const parts = minisignCheck(signed(DATA, privateKey, { algorithm }), key, undefined)
    for (const octet of DATA) parts.update(Uint8Array.of(octet))
    t.equal(parts.verdict().verdict, 'valid', `${algorithm} in parts`)
  }
  const bare = verifyMinisign(DATA, signed(DATA, privateKey, { comment: 'anything at all' }), key, 'list.txt')
  t.match(bare, { verdict: 'valid', comment: { file: undefined, timestampS: undefined, text: 'anything at all' } })
  t.match(verifyMinisign(DATA, signed(DATA, privateKey).replaceAll('\n', '\r\n'), key, 'list.txt'), { verdict: 'valid' }, 'CRLF')
  t.end()
})

t.test('what is changed, foreign, of another file or no signature is told apart', (t) => {
  const { privateKey, line } = ownKey()
  const key = keyOf(t, line)
  const good = signed(DATA, privateKey)
  const verdictOf = (data: Buffer, signature: string) => verifyMinisign(data, signature, key, 'list.txt').verdict
  t.equal(verdictOf(Buffer.concat([DATA, Buffer.from('x')]), good), 'wrong', 'the data')
  t.equal(verdictOf(DATA, good.replace('1700000000', '1800000000')), 'wrong', 'the trusted comment')
  t.equal(verdictOf(DATA, good.replace('file:list.txt', 'file:list.tx')), 'wrong', 'the file in the comment')
  t.equal(verdictOf(DATA, signed(DATA, privateKey, { comment: 'file:other.txt' })), 'other-file')
  t.equal(verdictOf(DATA, signed(DATA, privateKey, { id: Buffer.alloc(8) })), 'foreign')
  t.equal(verdictOf(DATA, signed(DATA, ownKey().privateKey)), 'wrong', 'another key with the same id')
  const lines = good.split('\n')
  const broken = ['', 'x', lines.slice(0, 3).join('\n'), `${good}more\n`, good.replace('untrusted', 'trusted'), 'x'.repeat(9000) + good]
  for (const text of broken) t.equal(verdictOf(DATA, text), 'malformed', JSON.stringify(text.slice(0, 30)))
  t.end()
})

t.test('a key is a file of minisign or its line; nothing else is one', (t) => {
  const { line } = ownKey()
  t.strictSame(minisignKey(`untrusted comment: minisign public key\n${line}\n`)?.id, minisignKey(line)?.id)
  for (const wrong of ['', 'x', line.slice(1), `${line}A`, `${line.slice(0, -1)}!`, line.replace('RW', 'RX'), 'untrusted comment: x\n'])
    t.equal(minisignKey(wrong), undefined, JSON.stringify(wrong))
  t.end()
})

t.test('no octets make it throw, and none but the right ones pass', (t) => {
  const { privateKey, line } = ownKey()
  const key = keyOf(t, line)
  const good = Buffer.from(signed(DATA, privateKey))
  fc.assert(
    fc.property(fc.nat(good.length - 1), fc.integer({ min: 1, max: 255 }), (at, by) => {
      const changed = Buffer.from(good)
      changed[at] = (changed[at] ?? 0) ^ by
      const untrusted = at < good.indexOf('\n') && !changed.subarray(0, good.indexOf('\n')).includes(10)
      return untrusted || verifyMinisign(DATA, changed.toString('latin1'), key, 'list.txt').verdict !== 'valid'
    }),
  )
  fc.assert(
    fc.property(
      fc.string(),
      (text) => minisignKey(text) === undefined && verifyMinisign(DATA, text, key, undefined).verdict === 'malformed',
    ),
  )
  t.end()
})

if (requireTool(t, 'minisign'))
  t.test("what minisign's own program signs, hashed and legacy", (t) => {
    const dir = t.testdir({ 'list.txt': DATA.toString() })
    const at = (name: string) => join(dir, name)
    execFileSync('minisign', ['-G', '-W', '-p', at('k.pub'), '-s', at('k.sec')])
    const key = keyOf(t, readFileSync(at('k.pub'), 'utf8'))
    for (const form of [[], ['-l']]) {
      execFileSync('minisign', ['-S', ...form, '-s', at('k.sec'), '-m', at('list.txt'), '-x', at('sig')])
      const signature = readFileSync(at('sig'), 'utf8')
      const found = verifyMinisign(DATA, signature, key, 'list.txt')
      t.match(found, { verdict: 'valid', comment: { file: 'list.txt' } }, form.join(' '))
      t.equal(verifyMinisign(DATA, signature, key, 'other.txt').verdict, 'other-file')
      t.equal(verifyMinisign(Buffer.from('other'), signature, key, 'list.txt').verdict, 'wrong')
    }
    t.end()
  })
