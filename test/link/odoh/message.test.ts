import { createPrivateKey, diffieHellman } from 'node:crypto'
import { Aes128Gcm, CipherSuite, DhkemX25519HkdfSha256, HkdfSha256 } from '@hpke/core'
import fc from 'fast-check'
import t from 'tap'
import { Fields, targetKeyOf } from '../../../src/config/odoh-config.ts'
import { newKeyPair, openQuery } from '../../../src/demo/oblivious-pair.ts'
import { EnigmError } from '../../../src/errors.ts'
import { HpkeContext, keyScheduleContext, open, recipientOf } from '../../../src/link/odoh/hpke.ts'
import { responseSecrets, sealQuery, targetKey } from '../../../src/link/odoh/message.ts'
import { SEAL_OCTETS } from '../../../src/link/odoh/target-keys.ts'
import { ODOH_VECTOR } from './vectors.ts'

const hex = (text: string) => Buffer.from(text, 'hex')
const oracle = new CipherSuite({ kem: new DhkemX25519HkdfSha256(), kdf: new HkdfSha256(), aead: new Aes128Gcm() })

const published = (configs: Buffer) => {
  const found = targetKeyOf(configs)
  if (typeof found === 'string') throw new Error(found)
  const key = targetKey(found)
  if (key === undefined) throw new Error('no key')
  return key
}

t.test('the published transactions: key id, query and response', async (t) => {
  const { seed, keyId, transactions } = ODOH_VECTOR
  const contents = hex(ODOH_VECTOR.configs).subarray(6)
  t.equal(Buffer.from(targetKey({ contents, publicKey: contents.subarray(-32) })?.id ?? []).toString('hex'), keyId)
  const pair = await oracle.kem.deriveKeyPair(hex(seed))
  const raw = Buffer.from(await oracle.kem.serializePrivateKey(pair.privateKey))
  const privateKey = createPrivateKey({ key: Buffer.concat([hex('302e020100300506032b656e04220420'), raw]), format: 'der', type: 'pkcs8' })
  for (const { query, response, queryPadding, obliviousQuery, obliviousResponse } of transactions) {
    const fields = new Fields(hex(obliviousQuery))
    const [type, id, sealed] = [fields.u8(), fields.vector(), fields.vector() ?? Buffer.alloc(0)]
    t.strictSame([type, Buffer.from(id ?? []).toString('hex'), fields.done], [1, keyId, true])
    const enc = sealed.subarray(0, 32)
    const dh = diffieHellman({ privateKey, publicKey: recipientOf(enc).key })
    const context = new HpkeContext(dh, enc, contents.subarray(-32), keyScheduleContext('odoh query'))
    const plaintext = context.open(hex(obliviousQuery).subarray(0, 35), sealed.subarray(32)) ?? Buffer.alloc(0)
    const inner = new Fields(plaintext)
    t.equal(Buffer.from(inner.vector() ?? []).toString('hex'), query)
    t.equal(inner.vector()?.length, queryPadding)

    const reply = new Fields(hex(obliviousResponse).subarray(1))
    const nonce = reply.vector() ?? Buffer.alloc(0)
    const secrets = responseSecrets(context, plaintext, nonce)
    const opened = open(secrets.key, secrets.nonce, hex(obliviousResponse).subarray(0, 19), reply.vector() ?? Buffer.alloc(0))
    t.equal(Buffer.from(new Fields(opened ?? Buffer.alloc(0)).vector() ?? []).toString('hex'), response)
  }
})

t.test('any message comes back, and every query is sealed with another key', (t) => {
  const pair = newKeyPair()
  const key = published(pair.configs)
  const seen = new Set<string>()
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 12, maxLength: 600 }), fc.uint8Array({ minLength: 1, maxLength: 4000 }), (query, reply) => {
      const sealed = sealQuery(key, query)
      seen.add(Buffer.from(sealed.body.subarray(37, 69)).toString('hex'))
      const opened = openQuery(pair, sealed.body)
      const back = opened === undefined ? undefined : sealed.open(opened.reply(reply))
      return (
        sealed.body.length === query.length + SEAL_OCTETS &&
        opened !== undefined &&
        Buffer.from(opened.query).equals(query) &&
        back instanceof Uint8Array &&
        Buffer.from(back).equals(reply)
      )
    }),
    { numRuns: 60 },
  )
  t.ok(seen.size >= 60)
  t.end()
})

t.test('a response that was changed, cut, or made for another query is refused, whatever the octets', (t) => {
  const pair = newKeyPair()
  const key = published(pair.configs)
  const query = Buffer.alloc(128, 1)
  const sealed = sealQuery(key, query)
  const good = openQuery(pair, sealed.body)?.reply(Buffer.alloc(100, 2)) ?? Buffer.alloc(0)
  const refused = (octets: Uint8Array, why: string, code = 'reply-malformed') => {
    const found = sealed.open(octets)
    t.ok(found instanceof EnigmError && found.code === code, why)
  }
  fc.assert(
    fc.property(fc.integer({ min: 0, max: good.length - 1 }), fc.integer({ min: 1, max: 255 }), (at, by) => {
      const changed = Buffer.from(good)
      changed[at] = (changed[at] ?? 0) ^ by
      return sealed.open(changed) instanceof EnigmError
    }),
  )
  fc.assert(fc.property(fc.uint8Array({ minLength: 1, maxLength: 300 }), (octets) => sealed.open(octets) instanceof EnigmError))
  for (const at of [1, 2, 18, 19, 20, good.length - 1]) refused(good.subarray(0, at), `cut after ${at} octets`)
  refused(Buffer.concat([good, Buffer.alloc(1)]), 'an octet more')
  const other = openQuery(pair, sealQuery(key, query).body)?.reply(Buffer.alloc(100, 2)) ?? Buffer.alloc(0)
  refused(other, 'the response to another query')
  refused(Buffer.alloc(0), 'an empty one means another key', 'target-key')
  t.end()
})

t.test('padding of a response must be zeros (RFC 9230 section 6.1)', (t) => {
  const pair = newKeyPair()
  const sealed = sealQuery(published(pair.configs), Buffer.alloc(128))
  const opened = openQuery(pair, sealed.body)
  const message = Buffer.from([0, 3, 1, 2, 3])
  const withPadding = (padding: readonly number[]) =>
    opened?.replyPlain(Buffer.concat([message, Buffer.from([0, padding.length, ...padding])]))
  t.strictSame([...(sealed.open(withPadding([0, 0, 0, 0]) ?? Buffer.alloc(1)) as Uint8Array)], [1, 2, 3])
  t.ok(sealed.open(withPadding([0, 1]) ?? Buffer.alloc(1)) instanceof EnigmError)
  t.ok(sealed.open(opened?.replyPlain(message) ?? Buffer.alloc(1)) instanceof EnigmError, 'no padding field')
  t.end()
})

t.test('the list of keys: the first usable one counts, and what is malformed is refused', (t) => {
  const { configs } = newKeyPair()
  const one = configs.subarray(2)
  const list = (...all: readonly Uint8Array[]) => {
    const body = Buffer.concat(all)
    return Buffer.concat([Buffer.from([body.length >>> 8, body.length & 255]), body])
  }
  const changed = (at: number, to: number) => {
    const copy = Buffer.from(one)
    copy[at] = to
    return copy
  }
  t.equal(typeof targetKeyOf(configs), 'object')
  t.equal(typeof targetKeyOf(list(changed(0, 0xff), changed(5, 0x10), one)), 'object', 'after another version and another suite')
  t.match(targetKeyOf(list(changed(0, 0xff))), /holds no key/)
  t.match(targetKeyOf(list(changed(7, 2))), /holds no key/, 'another KDF')
  for (const octets of [
    Buffer.alloc(0),
    Buffer.alloc(2),
    configs.subarray(0, -1),
    Buffer.concat([configs, Buffer.alloc(1)]),
    Buffer.from('text'),
  ])
    t.match(targetKeyOf(octets), /is not the ObliviousDoHConfigs/)
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (octets) => ['string', 'object'].includes(typeof targetKeyOf(octets))))
  t.equal(targetKey({ contents: one.subarray(4), publicKey: Buffer.alloc(32) }), undefined, 'low order')
  t.end()
})
