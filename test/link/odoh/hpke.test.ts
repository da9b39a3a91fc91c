import { createPrivateKey, createPublicKey, diffieHellman } from 'node:crypto'
import { Aes128Gcm, CipherSuite, DhkemX25519HkdfSha256, HkdfSha256 } from '@hpke/core'
import fc from 'fast-check'
import t from 'tap'
import { HpkeContext, keyScheduleContext, publicOctets, recipientOf, setupSender } from '../../../src/link/odoh/hpke.ts'
import { HPKE_VECTOR } from './vectors.ts'

const hex = (text: string) => Buffer.from(text, 'hex')
/** RFC 8410 section 7. */
const privateKeyOf = (octets: Buffer) =>
  createPrivateKey({ key: Buffer.concat([hex('302e020100300506032b656e04220420'), octets]), format: 'der', type: 'pkcs8' })

const oracle = new CipherSuite({ kem: new DhkemX25519HkdfSha256(), kdf: new HkdfSha256(), aead: new Aes128Gcm() })

t.test('RFC 9180 appendix A.1.1, sender and recipient', (t) => {
  const vector = HPKE_VECTOR
  const privateKey = privateKeyOf(hex(vector.ephemeralPrivate))
  const ephemeral = { privateKey, publicKey: createPublicKey(privateKey) }
  const schedule = keyScheduleContext(hex(vector.info).toString())
  const { enc, context } = setupSender(recipientOf(hex(vector.recipientPublic)), schedule, ephemeral)
  t.equal(enc.toString('hex'), vector.enc)
  t.equal(context.seal(hex(vector.aad), hex(vector.plaintext)).toString('hex'), vector.ciphertext)
  for (const [label, secret] of vector.exports) t.equal(context.export(hex(label), 32).toString('hex'), secret)

  const dh = diffieHellman({ privateKey: privateKeyOf(hex(vector.recipientPrivate)), publicKey: recipientOf(enc).key })
  const recipient = new HpkeContext(dh, enc, hex(vector.recipientPublic), schedule)
  t.equal(recipient.open(hex(vector.aad), hex(vector.ciphertext))?.toString('hex'), vector.plaintext)
  t.equal(recipient.open(hex('00'), hex(vector.ciphertext)), undefined, 'another AAD')
  t.equal(recipient.open(hex(vector.aad), hex('00')), undefined, 'shorter than a tag')
  t.end()
})

t.test('what we seal @hpke/core opens, and its exports are ours', async (t) => {
  const keys = await oracle.kem.generateKeyPair()
  const octets = Buffer.from(await oracle.kem.serializePublicKey(keys.publicKey))
  const schedule = keyScheduleContext('odoh query')
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 80 }), fc.uint8Array({ maxLength: 700 }), async (aad, plaintext) => {
      const { enc, context } = setupSender(recipientOf(octets), schedule)
      const ciphertext = context.seal(aad, plaintext)
      const recipient = await oracle.createRecipientContext({ recipientKey: keys.privateKey, enc, info: Buffer.from('odoh query') })
      t.ok(Buffer.from(await recipient.open(ciphertext, aad)).equals(plaintext))
      t.ok(Buffer.from(await recipient.export(Buffer.from('odoh response'), 16)).equals(context.export(Buffer.from('odoh response'), 16)))
    }),
    { numRuns: 40 },
  )
})

t.test('what @hpke/core seals we open', async (t) => {
  const privateKey = privateKeyOf(hex(HPKE_VECTOR.recipientPrivate))
  const octets = publicOctets(createPublicKey(privateKey))
  const recipientPublicKey = await oracle.kem.deserializePublicKey(octets)
  const sender = await oracle.createSenderContext({ recipientPublicKey, info: Buffer.from('odoh query') })
  const ciphertext = Buffer.from(await sender.seal(Buffer.from('a message'), Buffer.from('aad')))
  const enc = Buffer.from(sender.enc)
  const context = new HpkeContext(
    diffieHellman({ privateKey, publicKey: recipientOf(enc).key }),
    enc,
    octets,
    keyScheduleContext('odoh query'),
  )
  t.equal(context.open(Buffer.from('aad'), ciphertext)?.toString(), 'a message')
})

t.test('every context has its own key', (t) => {
  const recipient = recipientOf(hex(HPKE_VECTOR.recipientPublic))
  const schedule = keyScheduleContext('odoh query')
  const seen = new Set(Array.from({ length: 50 }, () => setupSender(recipient, schedule).enc.toString('hex')))
  t.equal(seen.size, 50)
  t.end()
})

t.test('a key of low order is refused (RFC 9180 section 7.1.4)', (t) => {
  t.throws(() => setupSender(recipientOf(Buffer.alloc(32)), keyScheduleContext('odoh query')))
  t.throws(() => recipientOf(Buffer.alloc(31)))
  t.end()
})
