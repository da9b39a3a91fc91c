import { execFileSync } from 'node:child_process'
import { createHash, X509Certificate } from 'node:crypto'
import { join } from 'node:path'
import type { PeerCertificate } from 'node:tls'
import t, { type Test } from 'tap'
import { createAuthority } from '../../../src/demo/authority.ts'
import type { Endpoint } from '../../../src/link/dial/endpoint.ts'
import { identityFault } from '../../../src/link/dial/identity.ts'
import { startDot } from '../../support/dot-server.ts'
import { codeOf, endpointAt, linkTo, NAME, pause } from '../../support/link-rig.ts'
import { query } from '../../support/messages.ts'
import { addressRecord, replyTo } from '../../support/replies.ts'

const ours = await createAuthority()
/** Its certificate has the same name as ours: a chain by names alone may hold either. */
const other = await createAuthority()
const good = await ours.issue({ name: NAME })
const sha256 = (octets: Uint8Array) => createHash('sha256').update(octets).digest('base64')
const fingerprint = (pem: string) => sha256(new X509Certificate(pem).raw)

/** The hash that a DNS stamp holds, by openssl. */
function stampHash(t: Test, pem: string): string {
  const shown = execFileSync('openssl', ['asn1parse'], { input: pem, encoding: 'utf8' })
  const offset = /^ *(\d+):d=1 /m.exec(shown)?.[1] ?? ''
  const out = join(t.testdir({}), 'tbs')
  execFileSync('openssl', ['asn1parse', '-strparse', offset, '-noout', '-out', out], { input: pem })
  return execFileSync('openssl', ['dgst', '-sha256', '-binary', out]).toString('base64')
}

async function outcome(identity: { readonly key: string; readonly cert: string }, more: Partial<Endpoint>) {
  const server = await startDot({ identity, answer: (q) => replyTo(q, [addressRecord()]) })
  const { link, ask } = linkTo({ ...endpointAt(server.port, { ca: ours.certificate }), ...more, usageProfile: 'strict' }, 'dot')
  const code = await ask(query()).then(
    () => 'answered',
    (error: unknown) => codeOf(Promise.reject(error)),
  )
  await link.close()
  await pause(20)
  const { applicationOctets } = server.counts
  await server.close()
  return { code: await code, sent: applicationOctets > 0 }
}

t.test('a certificate of the chain, by the hash of its signed part as in stamps, or by its fingerprint', async (t) => {
  for (const [what, hash] of [
    ['the signed part of the leaf', stampHash(t, good.cert)],
    ['the signed part of the root, which the server does not send', stampHash(t, ours.certificate)],
    ['the fingerprint of the leaf', fingerprint(good.cert)],
    ['the fingerprint of the root', fingerprint(ours.certificate)],
  ] as const)
    t.strictSame(await outcome(good, { certHashes: [sha256(Buffer.from('another')), hash] }), { code: 'answered', sent: true }, what)
})

t.test('any other hash ends the dial before an octet is written; a hash of the key is none', async (t) => {
  for (const hash of [sha256(Buffer.from('another')), good.spkiPin, stampHash(t, other.certificate)])
    t.strictSame(await outcome(good, { certHashes: [hash] }), { code: 'pin-mismatch', sent: false })
})

t.test('a pinned certificate that a peer only adds, under the name of the real issuer, proves nothing', async (t) => {
  const foreign = await other.issue({ name: NAME })
  const endpoint = {
    ...endpointAt(853, { ca: ours.certificate, certHashes: [stampHash(t, ours.certificate)] }),
    usageProfile: 'strict' as const,
  }
  // The chain as Node links it: by names.
  const chainOf = (leaf: string) => {
    const { raw, subjectAltName } = new X509Certificate(leaf)
    const issuerCertificate = { raw: new X509Certificate(ours.certificate).raw }
    return { raw, subject: {}, subjectaltname: subjectAltName, issuerCertificate } as unknown as PeerCertificate
  }
  t.match(identityFault(endpoint, chainOf(foreign.cert)), { code: 'pin-mismatch' })
  t.equal(identityFault(endpoint, chainOf(good.cert)), undefined)
})

t.test('hashes and pins are both asked for where both are set', async (t) => {
  const certHashes = [stampHash(t, good.cert)]
  t.match(await outcome(good, { certHashes, spkiPins: [good.spkiPin] }), { code: 'answered' })
  t.match(await outcome(good, { certHashes, spkiPins: [sha256(Buffer.from('x'))] }), { code: 'pin-mismatch', sent: false })
  t.match(await outcome(good, { certHashes: [sha256(Buffer.from('x'))], spkiPins: [good.spkiPin] }), { code: 'pin-mismatch', sent: false })
})
