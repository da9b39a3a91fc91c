import type { KeyObject } from 'node:crypto'
import { readPlainFile } from './plain-file.ts'
import { asPublicKey, asSeal, judgeSeal, type Seal } from './seal.ts'
import type { Seen } from './seen.ts'

/** What a signature says about a status file. Only `valid` means: the holder of that key wrote this, and nothing newer was seen. */
export interface Verification {
  readonly verdict: 'valid' | 'unsigned' | 'forged' | 'wrong-key' | 'no-key' | 'replayed'
  /** One sentence for a person. */
  readonly message: string
  /** Where the key came from that it was judged by. */
  readonly keyFile?: string
  readonly bootId?: string
  readonly sequence?: number
}

export interface VerifyOptions {
  /** The public key to judge by. */
  readonly keyFile?: string
  /** Looked for where no key is named; without it the key beside the status file decides, which proves less. */
  readonly likelyKeyFile?: string
  readonly seen: Seen
  /** The boot that this host is in; undefined when the file comes from another host or the system does not say. */
  readonly bootId: string | undefined
  /** Waits, synchronously: this runs in a command. */
  readonly pause: (ms: number) => void
  /** The document's text, read anew. */
  readonly text: () => string | undefined
}

const RETRIES = 3
const PAUSE_MS = 50

/** Judges the signature of the status file at `path`, again after a pause while document and signature do not fit: they are renamed one after the other. */
export function verifyStatus(path: string, o: VerifyOptions): { readonly verification: Verification; readonly text: string | undefined } {
  const { key, keyFile, pinned } = keyOf(path, o)
  if (key === undefined) {
    const message = `There is no public key to judge it by: ${keyFile} is missing or is no Ed25519 key.`
    return { verification: { verdict: 'no-key', message }, text: o.text() }
  }
  for (let attempt = 0; ; attempt++) {
    const text = o.text()
    if (text === undefined) return { verification: { verdict: 'unsigned', message: 'There is nothing to judge.' }, text }
    const seal = sealOf(path)
    const verdict = seal === undefined ? 'unsigned' : judgeSeal(seal, text, key)
    if ((verdict === 'unsigned' || verdict === 'unfit') && attempt < RETRIES) {
      o.pause(PAUSE_MS)
      continue
    }
    return { verification: { ...conclusion(seal, verdict, pinned, o), keyFile }, text }
  }
}

function conclusion(
  seal: Seal | undefined,
  verdict: ReturnType<typeof judgeSeal> | 'unsigned',
  pinned: boolean,
  o: VerifyOptions,
): Verification {
  if (seal === undefined || verdict === 'unsigned')
    return { verdict: 'unsigned', message: 'The file has no signature beside it that can be read.' }
  const { bootId, sequence } = seal
  const say = (v: Verification['verdict'], message: string) => ({ verdict: v, message, bootId, sequence })
  if (verdict === 'wrong-key') return say('wrong-key', 'It was signed with another key than the one it is judged by.')
  if (verdict === 'forged') return say('forged', 'The signature is not one of this key.')
  if (verdict === 'unfit') return say('forged', 'The signature is of another document: this one was changed, or put in its place.')
  if (o.bootId !== undefined && o.bootId !== bootId)
    return say('replayed', 'It was written in another boot of a host: a copy of an old file.')
  if (o.seen.isOlder(seal)) return say('replayed', 'A newer one was seen before: this is a copy of an old file.')
  const kept = o.seen.remember(seal)
  const by = pinned
    ? 'The holder of the key wrote this'
    : 'The holder of the key beside it wrote this; who can replace the file can replace that key'
  return say('valid', `${by}${kept ? '' : '; what was seen cannot be remembered, so a replay will not be noticed'}.`)
}

function keyOf(
  path: string,
  o: VerifyOptions,
): { readonly key: KeyObject | undefined; readonly keyFile: string; readonly pinned: boolean } {
  const read = (keyFile: string, pinned: boolean) => {
    const pem = textOf(keyFile)
    return { key: pem === undefined ? undefined : asPublicKey(pem), keyFile, pinned, there: pem !== undefined }
  }
  // A key that was named decides even when it is missing: falling back would let whoever removes it choose another.
  if (o.keyFile !== undefined) return read(o.keyFile, true)
  const likely = o.likelyKeyFile === undefined ? undefined : read(o.likelyKeyFile, true)
  return likely?.there === true ? likely : read(`${path}.pub`, false)
}

function sealOf(path: string): Seal | undefined {
  const text = textOf(`${path}.sig`)
  return text === undefined ? undefined : asSeal(text)
}

function textOf(file: string): string | undefined {
  const got = readPlainFile(file)
  return typeof got === 'string' ? got : undefined
}
