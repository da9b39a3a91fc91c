import { createHash, createPublicKey, type Hash, type KeyObject, verify } from 'node:crypto'

/** A public key of minisign, which signs lists and releases. `minisignKey` makes it. */
export interface MinisignKey {
  /** Eight octets that identify the key in its signatures. They prove nothing. */
  readonly id: Uint8Array
  readonly key: KeyObject
}

/**
 * The comment that a signature protects. minisign writes `timestamp:` and `file:` into it. A person
 * may write any other text.
 */
export interface TrustedComment {
  readonly text: string
  /** The name of the signed file, without its directory, if the comment has it. */
  readonly file: string | undefined
  /** When it was signed, in seconds since 1970, if the comment has it. */
  readonly timestampS: number | undefined
}

/**
 * What a signature proves about data. `malformed`: it is not a minisign signature. `foreign`:
 * another key made it. `wrong`: the data or the comment were changed. `other-file`: it was made for
 * a file with another name. `message`: a clause for a person, without content of the file.
 */
export type MinisignVerdict =
  | { readonly verdict: 'valid'; readonly comment: TrustedComment }
  | { readonly verdict: 'malformed' | 'foreign' | 'wrong' | 'other-file'; readonly message: string }

/** Limit of a signature file, which has four lines. Two of them are comments. */
export const MAX_SIGNATURE_OCTETS = 8192

const KEY_OCTETS = 42
const SIGNATURE_OCTETS = 74
const GLOBAL_OCTETS = 64
const COMMENT_PREFIX = 'trusted comment: '
/** The SubjectPublicKeyInfo of an Ed25519 key, without the 32 octets of the key (RFC 8410). */
const SPKI_PREFIX = Buffer.from('302a300506032b6570032100', 'hex')

/**
 * Reads a public key: the whole file that `minisign -G` makes, or only its line in base64.
 * Undefined: it is neither.
 */
export function minisignKey(text: string): MinisignKey | undefined {
  const line = text.split(/\r?\n/).find((one) => one.trim() !== '' && !one.startsWith('untrusted comment:'))
  const octets = base64(line?.trim() ?? '')
  if (octets?.length !== KEY_OCTETS || octets.toString('latin1', 0, 2) !== 'Ed') return undefined
  const key = createPublicKey({ key: Buffer.concat([SPKI_PREFIX, octets.subarray(10)]), format: 'der', type: 'spki' })
  return { id: octets.subarray(2, 10), key }
}

/** Checks a signature of data of any size. */
export interface MinisignSignature {
  /** Takes the next part of the signed data. */
  update(part: Uint8Array): void
  /** Returns the verdict on the data that `update` received. Called once. */
  verdict(): MinisignVerdict
}

/**
 * Starts to check a signature by `key`. `fileName`: the name of the signed file. A `file:` in the
 * trusted comment must be equal to it. For a source it is `fileNameOf` its address. Undefined: the
 * name is not compared. For the newer form of signature (`ED`), data is hashed as it comes. For the
 * older form (`Ed`), data is kept in memory until the verdict.
 */
export function minisignCheck(signature: string, key: MinisignKey, fileName: string | undefined): MinisignSignature {
  const read = readSignature(signature)
  const hash = read?.hashed === true ? createHash('blake2b512') : undefined
  const parts: Uint8Array[] = []
  return {
    update(part) {
      if (hash !== undefined) hash.update(part)
      else if (read !== undefined) parts.push(Uint8Array.from(part))
    },
    verdict() {
      if (read === undefined) return { verdict: 'malformed', message: 'the signature is not a file that minisign made' }
      return judge(read, key, fileName, messageOf(hash, parts))
    },
  }
}

/** The same for data in one piece. */
export function verifyMinisign(data: Uint8Array, signature: string, key: MinisignKey, fileName: string | undefined): MinisignVerdict {
  const check = minisignCheck(signature, key, fileName)
  check.update(data)
  return check.verdict()
}

interface ReadSignature {
  /** Whether the signature is over the BLAKE2b hash of the data (`ED`). */
  readonly hashed: boolean
  readonly keyId: Buffer
  readonly signature: Buffer
  readonly comment: string
  /** The signature over the first signature and the comment. */
  readonly global: Buffer
}

function readSignature(text: string): ReadSignature | undefined {
  if (text.length > MAX_SIGNATURE_OCTETS) return undefined
  const [untrusted = '', first = '', comment = '', second = '', ...rest] = text.split(/\r?\n/)
  if (!untrusted.startsWith('untrusted comment:') || !comment.startsWith(COMMENT_PREFIX) || rest.some((line) => line !== ''))
    return undefined
  const octets = base64(first)
  const global = base64(second)
  if (octets?.length !== SIGNATURE_OCTETS || global?.length !== GLOBAL_OCTETS) return undefined
  const algorithm = octets.toString('latin1', 0, 2)
  if (algorithm !== 'Ed' && algorithm !== 'ED') return undefined
  return {
    hashed: algorithm === 'ED',
    keyId: octets.subarray(2, 10),
    signature: octets.subarray(10),
    comment: comment.slice(COMMENT_PREFIX.length),
    global,
  }
}

const messageOf = (hash: Hash | undefined, parts: readonly Uint8Array[]) => hash?.digest() ?? Buffer.concat(parts)

function judge(read: ReadSignature, { id, key }: MinisignKey, fileName: string | undefined, message: Buffer): MinisignVerdict {
  if (!read.keyId.equals(id)) return { verdict: 'foreign', message: 'another key signed it' }
  if (!verify(null, message, key, read.signature)) return { verdict: 'wrong', message: 'the signature does not match its content' }
  if (!verify(null, Buffer.concat([read.signature, Buffer.from(read.comment)]), key, read.global))
    return { verdict: 'wrong', message: 'the trusted comment of the signature was changed' }
  const comment = commentOf(read.comment)
  if (fileName !== undefined && comment.file !== undefined && comment.file !== fileName)
    return { verdict: 'other-file', message: 'the signature was made for a file of another name' }
  return { verdict: 'valid', comment }
}

/** Reads a trusted comment. minisign separates its fields by tabs, other programs by spaces. */
function commentOf(text: string): TrustedComment {
  const timestamp = /(?:^|[\t ])timestamp:(\d{1,15})(?=$|[\t ])/.exec(text)?.[1]
  const file = /(?:^|[\t ])file:([^\t]+)/.exec(text)?.[1]
  return { text, file, timestampS: timestamp === undefined ? undefined : Number(timestamp) }
}

/** Decodes strict base64. Node's decoder ignores invalid characters. Undefined: it is invalid. */
function base64(text: string): Buffer | undefined {
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(text)) return undefined
  const octets = Buffer.from(text, 'base64')
  return octets.toString('base64') === text ? octets : undefined
}
