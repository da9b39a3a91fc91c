import 'reflect-metadata' // before @peculiar/x509: its dependency tsyringe needs it at load time
import { createHash, webcrypto } from 'node:crypto'
import { isIP } from 'node:net'
import {
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  type X509Certificate,
  X509CertificateGenerator,
} from '@peculiar/x509'
import { systemClock } from '../clock.ts'

const EC = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
/** No client may accept it as a server's name (RFC 9525): tests use it and must be refused. */
export const COMMON_NAME = 'common-name.test'
const DAY_MS = 86_400_000
const HALF_LIFE_MS = 15 * DAY_MS

/** What a server needs to prove its identity; PEM. */
export interface ServerIdentity {
  readonly key: string
  /** Only the leaf: the authority signs directly. */
  readonly cert: string
  /** Base64 SHA-256 of the leaf's SubjectPublicKeyInfo. */
  readonly spkiPin: string
}

/** The parameters of a leaf. */
export interface CertificateOptions {
  /** A DNS name or an IP literal; subjectAltName gets an entry of the matching type. */
  readonly name: string
  readonly alsoNames?: readonly string[]
  readonly notBefore?: Date
  readonly notAfter?: Date
  /** Signed with its own key instead of the authority's. */
  readonly selfSigned?: boolean
  /** The key of an earlier identity: renewal without a new pin. */
  readonly keyOf?: ServerIdentity
}

/**
 * A certificate authority in memory, for the demo and the tests. Its key is never written to a
 * file.
 */
export interface Authority {
  /** PEM: the root that clients trust. */
  readonly certificate: string
  issue(wish: CertificateOptions): Promise<ServerIdentity>
}

/**
 * `nowMs`: the wall-clock time around which certificates are valid, for a fortnight before and
 * after.
 */
export async function createAuthority(nowMs: number = systemClock().wallMs()): Promise<Authority> {
  const keys = await newKeys()
  const root = await X509CertificateGenerator.createSelfSigned({
    name: 'CN=a private authority',
    keys,
    signingAlgorithm: EC,
    serialNumber: serial(),
    notBefore: new Date(nowMs - HALF_LIFE_MS),
    notAfter: new Date(nowMs + HALF_LIFE_MS),
    extensions: [
      new BasicConstraintsExtension(true, 0, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
    ],
  })
  const issued = new WeakMap<ServerIdentity, webcrypto.CryptoKeyPair>()

  const issue = async (wish: CertificateOptions): Promise<ServerIdentity> => {
    const own = (wish.keyOf === undefined ? undefined : issued.get(wish.keyOf)) ?? (await newKeys())
    const names = [wish.name, ...(wish.alsoNames ?? [])]
    const leaf = await X509CertificateGenerator.create({
      subject: `CN=${COMMON_NAME}`,
      issuer: wish.selfSigned ? `CN=${COMMON_NAME}` : root.subject,
      publicKey: own.publicKey,
      signingKey: wish.selfSigned ? own.privateKey : keys.privateKey,
      signingAlgorithm: EC,
      serialNumber: serial(),
      notBefore: wish.notBefore ?? new Date(nowMs - DAY_MS),
      notAfter: wish.notAfter ?? new Date(nowMs + HALF_LIFE_MS),
      extensions: [
        new BasicConstraintsExtension(false),
        new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
        new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth]),
        new SubjectAlternativeNameExtension(names.map((value) => ({ type: isIP(value) === 0 ? 'dns' : 'ip', value }))),
      ],
    })
    const identity = await identityOf(leaf, own)
    issued.set(identity, own)
    return identity
  }
  return { certificate: root.toString('pem'), issue }
}

async function identityOf(leaf: X509Certificate, keys: webcrypto.CryptoKeyPair): Promise<ServerIdentity> {
  const pkcs8 = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey)).toString('base64')
  const lines = pkcs8.match(/.{1,64}/g) ?? []
  return {
    key: ['-----BEGIN PRIVATE KEY-----', ...lines, '-----END PRIVATE KEY-----', ''].join('\n'),
    cert: leaf.toString('pem'),
    spkiPin: createHash('sha256').update(Buffer.from(leaf.publicKey.rawData)).digest('base64'),
  }
}

async function newKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey({ name: EC.name, namedCurve: EC.namedCurve }, true, ['sign', 'verify'])
}

/** 16 random octets with the top bit clear: a positive INTEGER (RFC 5280 section 4.1.2.2). */
function serial(): string {
  const octets = webcrypto.getRandomValues(new Uint8Array(16))
  octets[0] = ((octets[0] ?? 0) & 0x7f) | 0x40
  return Buffer.from(octets).toString('hex')
}
