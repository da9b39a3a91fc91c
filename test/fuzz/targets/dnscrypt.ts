import { EnigmError } from '../../../src/errors.ts'
import { certificateQuery, chosenCertificate } from '../../../src/link/dnscrypt/certificate.ts'
import { nonceOf, padded, paddedLength, replyIn, sessionKeys, unpadded } from '../../../src/link/dnscrypt/codec.ts'
import { textsIn } from '../../../src/link/dnscrypt/shelf.ts'
import { must, type Target } from '../target.ts'
import { sameOctets } from './same-octets.ts'

const KEY = new Uint8Array(32).fill(9)
const keys = sessionKeys(KEY)
const magic = Uint8Array.from(Buffer.from('r6fnvWj8'))
const certificate = Uint8Array.from(Buffer.concat([Buffer.from('DNSC\0\x02\0\0', 'latin1'), Buffer.alloc(116, 1)]))

/** What a network can say to a DNSCrypt client: certificates, replies for them, and packets. */
export const dnscryptTarget: Target = {
  name: 'dnscrypt',
  maxOctets: 65_535,
  seeds: [
    certificate,
    Uint8Array.from(Buffer.concat([magic, Buffer.alloc(120)])),
    certificateQuery('2.dnscrypt-cert.example.com', 1, 128),
    Uint8Array.of(1, 2, 3, 0x80, 0, 0),
  ],
  words: [magic, certificate.subarray(0, 8)],
  timed(input) {
    textsIn(input)
    replyIn(keys, input)
  },
  run(input) {
    must(chosenCertificate([input], KEY, Date.UTC(2026, 0, 1)) instanceof EnigmError, 'nothing unsigned is a certificate')
    const texts = textsIn(input)
    must(texts.reduce((sum, text) => sum + text.length, 0) <= input.length, 'texts are no longer than their message')
    must(chosenCertificate(texts, KEY, Date.UTC(2026, 0, 1)) instanceof EnigmError, 'nothing unsigned is a certificate')
    must(replyIn(keys, input) === undefined, 'nothing is a reply that was not made with our keys')
    must((nonceOf(input)?.length ?? 12) === 12, 'half a nonce')
    const message = unpadded(input)
    if (message !== undefined)
      must(sameOctets(unpadded(padded(message, paddedLength(message.length, 64))) ?? KEY, message), 'padding and back')
  },
}
