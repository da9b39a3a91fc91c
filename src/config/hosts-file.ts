import { createHash } from 'node:crypto'
import { isIP } from 'node:net'
import { domainToASCII } from 'node:url'
import { nameFromText } from '../dns/name.ts'
import { lowerOctet } from '../dns/octets.ts'
import { asEnigmError } from '../errors.ts'
import { addressOctets } from './cidr.ts'
import { counted, type Problem } from './problems.ts'

/** Limit of a hosts file, whose names are kept in memory as text. Blocklists belong in `lists`. */
export const MAX_HOSTS_OCTETS = 4_194_304
const MAX_LINE = 4096

/** The content of a hosts file. Its JSON form is its path and a digest of its content. */
export class HostsFile {
  readonly file: string
  readonly text: string

  constructor(file: string, text: string) {
    this.file = file
    this.text = text
  }

  toJSON(): object {
    return { file: this.file, sha256: createHash('sha256').update(this.text).digest('base64') }
  }
}

/**
 * One line of a hosts file: an address and its names in wire form, lower-case, the first one
 * canonical.
 */
export interface HostsLine {
  /** The number of the line, from 1. */
  readonly line: number
  readonly address: Uint8Array
  readonly names: readonly Uint8Array[]
}

/** A line that cannot be used, or not completely. `why` is a clause. */
export interface HostsFault {
  readonly line: number
  readonly why: string
}

/**
 * Reads the lines of a hosts file (hosts(5)): an address, then names. Comments and empty lines are
 * left out. So is `localhost`, which always means this host (RFC 6761 section 6.3). `fault` is
 * called for every line that is not understood.
 */
export function* hostsLines({ text }: HostsFile, fault: (found: HostsFault) => void = () => {}): Generator<HostsLine, void, void> {
  let line = 0
  for (let at = 0; at < text.length; ) {
    const newline = text.indexOf('\n', at)
    const end = newline < 0 ? text.length : newline
    line++
    const found = lineOf(text, at, end, line, fault)
    if (found !== undefined) yield found
    at = end + 1
  }
}

function lineOf(text: string, from: number, end: number, line: number, fault: (found: HostsFault) => void): HostsLine | undefined {
  if (end - from > MAX_LINE) {
    fault({ line, why: `is longer than ${MAX_LINE} characters` })
    return undefined
  }
  const [content = ''] = text.slice(from, end).split('#', 1)
  const [addressText = '', ...fields] = content.split(/[\s\uFEFF]+/).filter((field) => field !== '')
  if (addressText === '') return undefined
  // An address of one link (fe80::1%lo0) has no meaning in DNS.
  if (isIP(addressText) === 0 || addressText.includes('%')) {
    fault({ line, why: addressText.includes('%') ? 'has an address with an interface' : 'does not begin with an address' })
    return undefined
  }
  if (fields.length === 0) fault({ line, why: 'has no name' })
  const names = fields.flatMap((field) => nameOf(field, line, fault) ?? [])
  return names.length === 0 ? undefined : { line, address: addressOctets(addressText), names }
}

function nameOf(field: string, line: number, fault: (found: HostsFault) => void): Uint8Array | undefined {
  // Generated lists contain addresses as names too, as in "0.0.0.0 0.0.0.0".
  if (isIP(field) !== 0 || /(^|\.)localhost\.?$/i.test(field)) return undefined
  const ascii = /^[\0-\x7f]*$/.test(field) ? field : domainToASCII(field)
  if (ascii.includes('*')) {
    fault({ line, why: 'has a *, which a hosts file cannot hold; write it as an answer' })
    return undefined
  }
  try {
    const wire = nameFromText(ascii).map(lowerOctet)
    if (wire.length > 1) return wire
    fault({ line, why: 'has a name that is empty' })
  } catch (error) {
    fault({ line, why: `has a name that is ${asEnigmError(error).message}` })
  }
  return undefined
}

const EMPTY = 'is empty or has only comments'

/** Whether a hosts file has nothing but empty lines and comments. */
function isBlank({ text }: HostsFile): boolean {
  return !/^[^\S\n]*[^#\s]/m.test(text)
}

/**
 * Problems of hosts files that had names before and have lost all of them at once, one sentence
 * each. Such a file is damaged, for example by a write on a full disk. A file whose remaining lines
 * are valid (`localhost`) is not damaged.
 */
export function lostNames(before: readonly HostsFile[], next: readonly HostsFile[]): readonly Problem[] {
  return next.flatMap((hosts) => {
    const { names, faultyLines } = hostsSummary(hosts)
    if (names > 0 || (faultyLines === 0 && !isBlank(hosts))) return []
    const earlier = before.find(({ file }) => file === hosts.file)
    if (earlier === undefined || hostsSummary(earlier).names === 0) return []
    const what = faultyLines === 0 ? EMPTY : 'has no valid line'
    const message = `${what}, but it had names before; if it must have none, remove it in "hosts", or restart the service`
    return [{ file: hosts.file, path: '', message }]
  })
}

/** How many names a hosts file has, and how much of it is not used. */
export interface HostsSummary {
  readonly names: number
  /** The number of lines that are not used, or not completely. */
  readonly faultyLines: number
  /** A sentence about the faults, without content of the file. Undefined: everything is used. */
  readonly fault: string | undefined
}

/** Counts the names and the faulty lines of a hosts file. */
export function hostsSummary(hosts: HostsFile): HostsSummary {
  let first: HostsFault | undefined
  const lines = new Set<number>()
  let count = 0
  const fault = (found: HostsFault) => {
    first ??= found
    lines.add(found.line)
  }
  for (const { names } of hostsLines(hosts, fault)) count += names.length
  if (isBlank(hosts)) return { names: 0, faultyLines: 0, fault: `${hosts.file}: ${EMPTY}, so it has no effect` }
  const more = lines.size === 1 ? '' : `, and ${counted(lines.size - 1, 'more line is', 'more lines are')} not used completely`
  return {
    names: count,
    faultyLines: lines.size,
    fault: first === undefined ? undefined : `${hosts.file}: line ${first.line} ${first.why}${more}`,
  }
}

/** What is not used of these files, one sentence for each file that is not used completely. */
export const hostsFaults = (hosts: readonly HostsFile[]): readonly string[] => hosts.flatMap((one) => hostsSummary(one).fault ?? [])
