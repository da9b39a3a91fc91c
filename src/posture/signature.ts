import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign, verify } from 'node:crypto'
import { join } from 'node:path'
import * as v from 'valibot'
import { systemCode } from '../errors.ts'
import { isForeignJson, readPrivateJson, writePrivateJson } from '../files/json.ts'
import { ownFile, readUnlinked, secretFile } from '../files/reading.ts'
import { makeDirectory, makeOnce, replaceFile } from '../files/writing.ts'
import { readPlainFile } from './status-file.ts'

/** The name and version of the signature file. */
export const SIGNATURE_SCHEMA = 'enigm-dns/status-signature/1'

const MAX_SIGNATURE_OCTETS = 4096
const described = (text: string, what: string) => v.pipe(v.string(), v.maxLength(200, text), v.description(what))

/**
 * The prefix of the boot id of a writer that may not read the host's boot id (ProcSubset=pid). Such
 * an id is different for each run, and does not identify a boot.
 */
export const UNKNOWN_BOOT = 'run-'

/** The content of `<statusFile>.sig`. */
const statusSignature = v.object({
  schema: v.literal(SIGNATURE_SCHEMA),
  algorithm: v.literal('Ed25519'),
  key: described('too long', 'Base64 of the SHA-256 over the public key (DER SubjectPublicKeyInfo).'),
  sha256: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/)),
  bootId: described('too long', 'Identifies the boot of the host in which this was written. Opaque.'),
  sequence: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
  signature: described('too long', 'Base64 of the signature over the lines that `signedText` joins.'),
})
export type StatusSignature = v.InferOutput<typeof statusSignature>

/**
 * The signed text. It begins with the schema, so that a signature of the same key for another
 * purpose is invalid here.
 */
function signedText(s: Pick<StatusSignature, 'sha256' | 'bootId' | 'sequence'>): Buffer {
  return Buffer.from([SIGNATURE_SCHEMA, s.sha256, s.bootId, s.sequence, ''].join('\n'))
}

const digest = (text: string) => createHash('sha256').update(text).digest('hex')

/**
 * Returns a function that signs a text. The sequence number is the boot time in milliseconds, or
 * the last one plus 1. So it rises during a boot, also across restarts, and nothing is stored on
 * disk.
 */
export function createSigner(key: SigningKey, bootId: string, nowMs: () => number): (text: string) => string {
  let sequence = 0
  return (text) => {
    sequence = Math.max(sequence + 1, Math.floor(nowMs()))
    const body = { sha256: digest(text), bootId, sequence }
    const signature = sign(null, signedText(body), key.privateKey).toString('base64')
    const whole: StatusSignature = { schema: SIGNATURE_SCHEMA, algorithm: 'Ed25519', key: key.id, ...body, signature }
    return `${JSON.stringify(whole, undefined, 1)}\n`
  }
}

/** Parses a signature from an untrusted text. Undefined: it is invalid. */
export function parseSignature(text: string): StatusSignature | undefined {
  if (text.length > MAX_SIGNATURE_OCTETS) return undefined
  try {
    const parsed = v.safeParse(statusSignature, JSON.parse(text))
    return parsed.success ? parsed.output : undefined
  } catch {
    return undefined
  }
}

/** Reads an Ed25519 public key from PEM. Undefined: it is not one. */
export function asPublicKey(pem: string): KeyObject | undefined {
  try {
    // A private key would be accepted too, but a verifier should not have one.
    if (pem.length > MAX_SIGNATURE_OCTETS || pem.includes('PRIVATE KEY')) return undefined
    const key = createPublicKey(pem)
    return key.asymmetricKeyType === 'ed25519' ? key : undefined
  } catch {
    return undefined
  }
}

/**
 * Whether `s` was made by `key` and for this text. `unfit`: it is for another text. A reader also
 * gets this result between the renames of document and signature.
 */
export function judgeSignature(s: StatusSignature, text: string, key: KeyObject): 'valid' | 'wrong-key' | 'unfit' | 'forged' {
  if (s.key !== keyId(key)) return 'wrong-key'
  if (!verify(null, signedText(s), key, Buffer.from(s.signature, 'base64'))) return 'forged'
  return s.sha256 === digest(text) ? 'valid' : 'unfit'
}

/** Limit of a key file. A key in PEM has some hundred octets. */
const MAX_KEY_OCTETS = 16_384

/**
 * The key that signs status files. `publicPem` is the content of `status.pub`; `id` identifies the
 * key.
 */
export interface SigningKey {
  readonly privateKey: KeyObject
  readonly publicPem: string
  readonly id: string
}

/**
 * The id of a key: base64 of the SHA-256 over its DER SubjectPublicKeyInfo. It does not depend on
 * the line breaks of the PEM.
 */
export function keyId(publicKey: KeyObject): string {
  return createHash('sha256')
    .update(publicKey.export({ type: 'spki', format: 'der' }))
    .digest('base64')
}

/**
 * Opens the key of `stateDir`. The first run makes it (status.key 0600, status.pub 0644, in a
 * directory of 0700). A string says why there is no key. A key that others could read, or that
 * cannot be read, is neither used nor replaced: a person who pinned its public key must notice
 * this.
 */
export function openSigningKey(stateDir: string): SigningKey | string {
  const file = join(stateDir, 'status.key')
  try {
    makeDirectory(stateDir, 0o700)
    makeOnce(file, freshKey)
    const privateKey = readSigningKey(file) ?? 'status.key is missing'
    if (typeof privateKey === 'string') return privateKey
    const publicKey = createPublicKey(privateKey)
    const publicPem = publicKey.export({ type: 'spki', format: 'pem' }).toString()
    publish(join(stateDir, 'status.pub'), publicPem)
    return { privateKey, publicPem, id: keyId(publicKey) }
  } catch (error) {
    return unusableKey(error)
  }
}

/**
 * Why `openSigningKey` cannot use the key in `stateDir`. Undefined: it can, or there is no key yet.
 * Changes nothing.
 */
export function signingKeyFault(stateDir: string): string | undefined {
  try {
    const found = readSigningKey(join(stateDir, 'status.key'))
    return typeof found === 'string' ? found : undefined
  } catch (error) {
    return unusableKey(error)
  }
}

const unusableKey = (error: unknown) => `the key in stateDir cannot be used (${systemCode(error) ?? 'unreadable'})`

/** Reads the key. Undefined: no file. A string: why it is unusable. Throws the system's error. */
function readSigningKey(file: string): KeyObject | string | undefined {
  const octets = readUnlinked(file, MAX_KEY_OCTETS, secretFile)
  if (octets === undefined) return undefined
  if (typeof octets === 'string') return `status.key ${octets}`
  const key = createPrivateKey(octets)
  return key.asymmetricKeyType === 'ed25519' ? key : 'status.key is not an Ed25519 key'
}

const freshKey = () => generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' })

function publish(file: string, pem: string): void {
  const there = readUnlinked(file, MAX_KEY_OCTETS, ownFile)
  if (there === undefined || typeof there === 'string' || there.toString('utf8') !== pem) replaceFile(file, pem, 0o644)
}

/**
 * The result of a signature check of a status file. `valid`: the holder of the key wrote this file,
 * and no newer one was seen.
 */
export interface Verification {
  readonly verdict: 'valid' | 'unsigned' | 'forged' | 'wrong-key' | 'no-key' | 'replayed'
  /** One sentence for a person. */
  readonly message: string
  /** The file of the key that was used. */
  readonly keyFile?: string
  readonly bootId?: string
  readonly sequence?: number
}

export interface VerifyOptions {
  /** The public key file to use. */
  readonly keyFile?: string
  /**
   * Used if no key is named. If it does not exist either, the key next to the status file is used,
   * which proves less.
   */
  readonly likelyKeyFile?: string
  readonly lastVerified: LastVerified
  /**
   * The current boot of this host. Undefined: the file comes from another host, or the system does
   * not report the boot.
   */
  readonly bootId: string | undefined
  /** Waits synchronously, because this runs in a command. */
  readonly pause: (ms: number) => void
  /** Reads the document's text again. */
  readonly text: () => string | undefined
}

const RETRIES = 3
const PAUSE_MS = 50

/**
 * Verifies the signature of the status file at `path`. Document and signature are renamed one after
 * the other, so it tries again after a pause if they do not match.
 */
export function verifyStatus(path: string, o: VerifyOptions): { readonly verification: Verification; readonly text: string | undefined } {
  const { key, keyFile, pinned } = keyOf(path, o)
  if (key === undefined) {
    const message = `There is no public key to verify it: ${keyFile} is missing or is not an Ed25519 key.`
    return { verification: { verdict: 'no-key', message }, text: o.text() }
  }
  for (let attempt = 0; ; attempt++) {
    const text = o.text()
    if (text === undefined) return { verification: { verdict: 'unsigned', message: 'There is nothing to verify.' }, text }
    const seal = signatureOf(path)
    const verdict = seal === undefined ? 'unsigned' : judgeSignature(seal, text, key)
    if ((verdict === 'unsigned' || verdict === 'unfit') && attempt < RETRIES) {
      o.pause(PAUSE_MS)
      continue
    }
    return { verification: { ...conclusion(seal, verdict, pinned, o), keyFile }, text }
  }
}

function conclusion(
  seal: StatusSignature | undefined,
  verdict: ReturnType<typeof judgeSignature> | 'unsigned',
  pinned: boolean,
  o: VerifyOptions,
): Verification {
  if (seal === undefined || verdict === 'unsigned') return { verdict: 'unsigned', message: 'There is no readable signature for this file.' }
  const { bootId, sequence } = seal
  const say = (v: Verification['verdict'], message: string) => ({ verdict: v, message, bootId, sequence })
  if (verdict === 'wrong-key') return say('wrong-key', 'It was signed with another key than the one used to verify it.')
  if (verdict === 'forged') return say('forged', 'The signature was not made with this key.')
  if (verdict === 'unfit') return say('forged', 'The signature belongs to another document: this one was changed or replaced.')
  if (o.bootId !== undefined && o.bootId !== bootId && !bootId.startsWith(UNKNOWN_BOOT))
    return say('replayed', 'It was written in another boot: this is a copy of an old file.')
  if (o.lastVerified.isOlder(seal)) return say('replayed', 'A newer document was seen before: this is a copy of an old file.')
  const kept = o.lastVerified.remember(seal)
  const by = pinned
    ? 'The holder of the key wrote this'
    : 'The holder of the key in the same directory wrote this; anyone who can replace the file can replace that key'
  return say('valid', `${by}${kept ? '' : '; the newest document cannot be stored, so a replay will not be detected'}.`)
}

function keyOf(
  path: string,
  o: VerifyOptions,
): { readonly key: KeyObject | undefined; readonly keyFile: string; readonly pinned: boolean } {
  const read = (keyFile: string, pinned: boolean) => {
    const pem = textOf(keyFile)
    return { key: pem === undefined ? undefined : asPublicKey(pem), keyFile, pinned, there: pem !== undefined }
  }
  // A named key is used even if it is missing. With a fallback, an attacker could remove the key so
  // that another one is used.
  if (o.keyFile !== undefined) return read(o.keyFile, true)
  const likely = o.likelyKeyFile === undefined ? undefined : read(o.likelyKeyFile, true)
  return likely?.there === true ? likely : read(`${path}.pub`, false)
}

function signatureOf(path: string): StatusSignature | undefined {
  const text = textOf(`${path}.sig`)
  return text === undefined ? undefined : parseSignature(text)
}

function textOf(file: string): string | undefined {
  const got = readPlainFile(file)
  return typeof got === 'string' ? got : undefined
}

/**
 * What the verifier remembers for each key: boots in the order in which they were first seen, each
 * with its highest sequence.
 */
const lastVerified = v.record(
  v.pipe(v.string(), v.maxLength(200)),
  v.pipe(v.array(v.object({ bootId: v.pipe(v.string(), v.maxLength(200)), sequence: v.number() })), v.maxLength(64)),
)

/** The form that even a damaged memory file has. The file of another program does not have it. */
const likeLastVerified = v.record(v.string(), v.array(v.looseObject({})))

const MAX_KEYS = 64
const MAX_BOOTS = 32

/** The memory of earlier verifications. */
export interface LastVerified {
  /**
   * Whether this signature is older than one that was seen: it has a lower sequence of the same
   * boot, or its boot is not the latest.
   */
  isOlder(seal: StatusSignature): boolean
  /**
   * Stores the signature if it is new. Returns false if this failed, or if the file belongs to
   * another program: then a replay cannot be detected next time.
   */
  remember(seal: StatusSignature): boolean
}

/** The memory in `file`. It is empty if the file is missing or damaged. */
export function lastVerifiedIn(file: string): LastVerified {
  const known = readPrivateJson(file, lastVerified) ?? {}
  return {
    isOlder(seal) {
      const boots = known[seal.key] ?? []
      const at = boots.findIndex((b) => b.bootId === seal.bootId)
      if (at < 0) return false
      return at < boots.length - 1 || seal.sequence < (boots[at]?.sequence ?? 0)
    },
    remember(seal) {
      if (isForeignJson(file, likeLastVerified)) return false
      // Read again: another verification may have added something meanwhile.
      const now = readPrivateJson(file, lastVerified) ?? {}
      const boots = now[seal.key] ?? []
      if (boots.some((b, i) => b.bootId === seal.bootId && (i < boots.length - 1 || b.sequence >= seal.sequence))) return true
      const others = boots.filter((b) => b.bootId !== seal.bootId)
      const mine = [...others, { bootId: seal.bootId, sequence: seal.sequence }].slice(-MAX_BOOTS)
      const rest = Object.entries(now).filter(([key]) => key !== seal.key)
      return writePrivateJson(file, Object.fromEntries([...rest.slice(-(MAX_KEYS - 1)), [seal.key, mine]]))
    },
  }
}
