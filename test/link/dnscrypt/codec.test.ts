import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import t from 'tap'
import { EnigmError } from '../../../src/errors.ts'
import { certificateQuery, chosenCertificate, isNewer } from '../../../src/link/dnscrypt/certificate.ts'
import {
  nonceOf,
  open,
  padded,
  paddedLength,
  queryPacket,
  relayHead,
  replyIn,
  seal,
  sessionKeys,
  unpadded,
} from '../../../src/link/dnscrypt/codec.ts'
import { Provider } from '../../support/dnscrypt.ts'

const octets = (constraints: fc.IntArrayConstraints & { minLength?: number; maxLength?: number }) => fc.uint8Array(constraints)
const HOUR_MS = 3_600_000

t.test('property: what is sealed is opened with the same key and nonce, and with no others', (t) => {
  fc.assert(
    fc.property(
      octets({ minLength: 32, maxLength: 32 }),
      octets({ minLength: 24, maxLength: 24 }),
      octets({ maxLength: 2000 }),
      fc.nat(),
      (key, nonce, plain, at) => {
        const sealed = seal(key, nonce, plain)
        const opened = open(key, nonce, sealed)
        const broken = Buffer.from(sealed)
        broken[at % broken.length] = (broken[at % broken.length] ?? 0) ^ 1
        const otherNonce = Uint8Array.from(nonce)
        otherNonce[at % 24] = (otherNonce[at % 24] ?? 0) ^ 1
        return (
          opened?.equals(plain) === true &&
          open(key, nonce, broken) === undefined &&
          open(key, otherNonce, sealed) === undefined &&
          open(key, nonce, sealed.subarray(0, 15)) === undefined
        )
      },
    ),
  )
  t.end()
})

t.test('property: padding goes as it came', (t) => {
  fc.assert(
    fc.property(octets({ maxLength: 1500 }), fc.integer({ min: 256, max: 1216 }), (message, least) => {
      const length = paddedLength(message.length, least - (least % 64))
      const whole = padded(message, length)
      return length > message.length && length % 64 === 0 && Buffer.from(unpadded(whole) ?? []).equals(message)
    }),
  )
  for (const wrong of [[], [0, 0], [1, 2, 3], [0x80, 0, 1]]) t.equal(unpadded(Uint8Array.from(wrong)), undefined)
  t.end()
})

t.test('property: no packet is read that was not made with the keys of this connection', (t) => {
  const keys = sessionKeys(randomServerKey())
  fc.assert(
    fc.property(octets({ maxLength: 600 }), fc.boolean(), (packet, withMagic) => {
      const whole = withMagic ? Buffer.concat([Buffer.from('r6fnvWj8'), packet]) : packet
      return replyIn(keys, whole) === undefined && (nonceOf(whole)?.length ?? 12) === 12
    }),
  )
  t.end()
})

function randomServerKey(): Uint8Array {
  return new Provider().certify().text.subarray(72, 104)
}

t.test('the head for a relay: its magic, the address mapped to IPv6, the port', (t) => {
  const head = (address: string) => relayHead(address, 443).toString('hex')
  t.equal(head('192.0.2.1'), 'ffffffffffffffff0000' + '00000000000000000000ffffc0000201' + '01bb')
  t.equal(head('2001:db8::53'), 'ffffffffffffffff0000' + '20010db8000000000000000000000053' + '01bb')
  t.equal(head('::1'), 'ffffffffffffffff0000' + '00000000000000000000000000000001' + '01bb')
  t.equal(head('2001:db8:1:2:3:4:5:6'), 'ffffffffffffffff0000' + '20010db8000100020003000400050006' + '01bb')
  t.equal(head('::ffff:192.0.2.1'), head('192.0.2.1'))
  t.end()
})

t.test('a query packet has the same length whatever it asks, up to its padding', (t) => {
  const keys = sessionKeys(randomServerKey())
  const lengths = [40, 128, 300, 511].map(
    (n) => queryPacket(keys, randomBytes(8), randomBytes(12), randomBytes(n), paddedLength(n, 512)).length,
  )
  t.strictSame(new Set(lengths), new Set([512 + 68]))
  t.end()
})

t.test('a key of low order is refused', (t) => {
  t.throws(() => sessionKeys(new Uint8Array(32)), { code: 'tls-failed' })
  t.end()
})

t.test('certificates: the valid one with the highest serial; else one sentence says why there is none', (t) => {
  const provider = new Provider()
  const key = Buffer.from(provider.publicKey, 'base64')
  const nowMs = Date.now()
  const codeOf = (found: unknown) => (found instanceof EnigmError ? found.code : 'chosen')
  const choose = (...texts: readonly Uint8Array[]) => chosenCertificate(texts, key, nowMs)
  const [one, two, old, early] = [
    provider.certify({ serial: 1 }),
    provider.certify({ serial: 2 }),
    provider.certify({ serial: 9, fromMs: nowMs - 2 * HOUR_MS, toMs: nowMs - HOUR_MS }),
    provider.certify({ serial: 9, fromMs: nowMs + HOUR_MS, toMs: nowMs + 2 * HOUR_MS }),
  ]
  t.match(choose(one.text, two.text, old.text, early.text), { serial: 2, magic: two.magic })
  const [older, newer] = [2, 1].map((hours) => provider.certify({ fromMs: nowMs - hours * HOUR_MS }))
  t.match(choose(older?.text ?? one.text, newer?.text ?? one.text), { magic: newer?.magic }, 'encrypted-dns gives each the serial 1')
  t.match(choose(Buffer.concat([one.text, Buffer.alloc(20)])), { code: 'pin-mismatch' }, 'extensions are signed')
  t.equal(codeOf(choose(old.text)), 'certificate-expired')
  t.equal(codeOf(choose(early.text)), 'certificate-not-yet-valid')
  t.equal(codeOf(choose(new Provider().certify().text)), 'pin-mismatch')
  t.equal(codeOf(choose(provider.certify({ version: 1 }).text)), 'tls-failed')
  t.equal(codeOf(choose()), 'tls-failed')
  t.equal(codeOf(choose(Buffer.from('DNSC'), randomBytes(124))), 'tls-failed')
  const forged = Buffer.from(two.text)
  forged.writeUInt32BE(3, 112)
  t.match(choose(one.text, forged), { serial: 1 }, 'a changed serial breaks the signature')
  const [a, b] = [choose(one.text), choose(two.text)]
  if (a instanceof EnigmError || b instanceof EnigmError) throw new Error('no certificate')
  t.ok(isNewer(b, a, nowMs))
  t.notOk(isNewer(a, b, nowMs), 'an older one that is still valid may be a replay')
  t.ok(isNewer(a, b, nowMs + 48 * HOUR_MS))
  t.end()
})

t.test('property: no text makes a certificate that its provider did not sign', (t) => {
  const provider = new Provider()
  const { text } = provider.certify()
  const key = Buffer.from(provider.publicKey, 'base64')
  fc.assert(
    fc.property(fc.nat(text.length - 1), fc.integer({ min: 1, max: 255 }), (at, by) => {
      const changed = Buffer.from(text)
      changed[at] = (changed[at] ?? 0) ^ by
      const found = chosenCertificate([changed], key, Date.now())
      // The minor version is not signed, and says nothing.
      return at === 6 || at === 7 || found instanceof EnigmError
    }),
  )
  fc.assert(fc.property(fc.array(octets({ maxLength: 300 })), (texts) => chosenCertificate(texts, key, Date.now()) instanceof EnigmError))
  t.end()
})

t.test('the query for certificates has the wanted length and holds the name of the provider only', (t) => {
  for (const length of [128, 512, 1152]) {
    const query = certificateQuery('2.dnscrypt-cert.resolver.test', 0x1234, length)
    t.equal(query.length, length)
    t.equal(Buffer.from(query).readUInt16BE(0), 0x1234)
    t.ok(Buffer.from(query).includes('dnscrypt-cert'))
  }
  t.end()
})
