import { anybodys, readOurs } from '../files/reading.ts'
import { PUBLIC_KEY, SIGNATURE } from './file.ts'
import { asPublicKey } from './seal.ts'

const MAX_OCTETS = 1 << 20
/** How they begin; what a power cut made of the rest does not matter. */
const DOCUMENT = /^\s*\{\s*"schema"\s*:\s*"enigm-dns\/status\//
const SEAL = /^\s*\{\s*"schema"\s*:\s*"enigm-dns\/status-signature\//

/**
 * What lies where a status, its signature and its public key are to be written and is something
 * else, so that it would be lost: one sentence without its end for each. An empty file, and one
 * that a power cut left without its content, may go. Throws the system's error.
 */
export function inTheWayOfStatus(statusFile: string): readonly string[] {
  const is = (what: RegExp) => (text: string) => what.test(text)
  return [
    ...inTheWay(statusFile, 'a status of enigm-dns', is(DOCUMENT)),
    ...inTheWay(statusFile + SIGNATURE, 'the signature of a status', is(SEAL)),
    ...inTheWay(statusFile + PUBLIC_KEY, 'the public key of a status', (text) => asPublicKey(text) !== undefined),
  ]
}

function inTheWay(path: string, wanted: string, is: (text: string) => boolean): readonly string[] {
  const octets = readOurs(path, MAX_OCTETS, anybodys)
  if (octets === undefined) return []
  const mend = 'take it away, or name another statusFile'
  if (typeof octets === 'string') return [`${path} ${octets}; ${mend}`]
  const text = octets.toString('utf8')
  const blank = text.replaceAll('\0', '').trim() === ''
  return blank || is(text) ? [] : [`${path} is not ${wanted} and would be overwritten; ${mend}`]
}
