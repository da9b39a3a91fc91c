import { isIPv4, isIPv6 } from 'node:net'
import { putU16 } from '../dns/octets.ts'
import { addressOctets } from './cidr.ts'
import { hostName, plainString, quotedString, wrong } from './record-text.ts'

/**
 * The names of service parameters, by their numbers (RFC 9460 section 14.3.2, RFC 9461, RFC 9540).
 */
const KEYS = ['mandatory', 'alpn', 'no-default-alpn', 'port', 'ipv4hint', 'ech', 'ipv6hint', 'dohpath', 'ohttp']
const MANDATORY = 0
const ALPN = 1
const NO_DEFAULT_ALPN = 2

interface Param {
  readonly key: number
  readonly value: Buffer
}

/**
 * Converts the text of an HTTPS record to RDATA (RFC 9460 section 2.1): a priority, a target (`.`
 * is the name of the record), and parameters. Throws an EnigmError `config` with a clause.
 */
export function serviceBinding(text: string): Uint8Array {
  const [, priorityText = '', targetText = '', rest = ''] = /^(\S+) +(\S+)(.*)$/.exec(text.trim()) ?? []
  if (!/^(0|[1-9]\d{0,4})$/.test(priorityText) || Number(priorityText) > 65_535)
    throw wrong('must begin with a priority and a target, as in "1 . alpn=h2"')
  const priority = Number(priorityText)
  const params = paramsOf(rest)
  if (priority === 0 && params.length > 0)
    throw wrong('has parameters although its priority is 0 (an alias); remove them, or write priority 1')
  const head = Buffer.alloc(2)
  putU16(head, 0, priority)
  return Buffer.concat([head, hostName(targetText), ...params.flatMap(({ key, value }) => [numbers(key, value.length), value])])
}

/** Reads the parameters. Keys are in ascending order, each once (RFC 9460 section 2.2). */
function paramsOf(text: string): readonly Param[] {
  const params: Param[] = []
  for (let at = 0; at < text.length; ) {
    if (text[at] === ' ') {
      at++
      continue
    }
    const keyText = /^[a-z0-9-]+/.exec(text.slice(at))?.[0] ?? ''
    const key = keyOf(keyText)
    at += keyText.length
    const found = text[at] === '=' ? valueAt(text, at + 1) : { octets: Buffer.alloc(0), end: at }
    at = found.end
    if (at < text.length && text[at] !== ' ')
      throw wrong(`has something after the value of ${keyText}; write a space before the next parameter`)
    if (params.some((one) => one.key === key)) throw wrong(`names ${keyText} twice; keep one of them`)
    params.push({ key, value: wireValue(keyText, key, found.octets) })
  }
  params.sort((a, b) => a.key - b.key)
  consistent(params)
  return params
}

const valueAt = (text: string, at: number) => (text[at] === '"' ? quotedString(text, at) : plainString(text, at))

function keyOf(text: string): number {
  const known = KEYS.indexOf(text)
  if (known >= 0) return known
  const digits = /^key(0|[1-9]\d{0,4})$/.exec(text)?.[1]
  if (digits !== undefined && Number(digits) < 65_535) return Number(digits)
  throw wrong(`has a parameter that is not known; write one of ${KEYS.join(', ')}, or keyNUMBER`)
}

function wireValue(name: string, key: number, value: Buffer): Buffer {
  const text = value.toString('latin1')
  // The value of a key that is written as a number is used as it is.
  if (name.startsWith('key')) return value
  switch (KEYS[key]) {
    case 'mandatory':
      return Buffer.concat(
        list(name, text)
          .map((one) => numbers(keyOf(one)))
          .sort(Buffer.compare),
      )
    case 'alpn':
      return Buffer.concat(alpnIds(text).map((id) => Buffer.concat([Buffer.of(id.length), id])))
    case 'port':
      if (!/^(0|[1-9]\d{0,4})$/.test(text) || Number(text) > 65_535) throw wrong('has a port that is not a number up to 65535')
      return numbers(Number(text))
    case 'ipv4hint':
      return addresses(name, text, isIPv4)
    case 'ipv6hint':
      return addresses(name, text, (one) => isIPv6(one) && !one.includes('%'))
    case 'ech':
      if (text === '' || !/^[A-Za-z0-9+/]+={0,2}$/.test(text)) throw wrong('has a value of ech that is not base64')
      return Buffer.from(text, 'base64')
    case 'dohpath':
      if (text === '') throw wrong('has a dohpath without a value, as in dohpath=/dns-query{?dns}')
      return value
    default:
      if (text !== '') throw wrong(`has a value for ${name}, which takes none; remove the value`)
      return value
  }
}

/** Reads alpn. A comma or backslash in an item is escaped twice (RFC 9460 appendix A.1). */
function alpnIds(text: string): readonly Buffer[] {
  const ids = text.match(/(\\.|[^,\\])+/g) ?? []
  if (ids.length === 0 || ids.join(',') !== text) throw wrong('has an empty item in alpn, as in alpn=h2,h3')
  return ids.map((id) => {
    const octets = Buffer.from(id.replaceAll(/\\(.)/g, '$1'), 'latin1')
    if (octets.length > 255) throw wrong('has an item in alpn that is longer than 255 octets')
    return octets
  })
}

function list(name: string, text: string): readonly string[] {
  const items = text.split(',')
  if (items.some((item) => item === '')) throw wrong(`has an empty item in ${name}; separate the items with one comma`)
  return items
}

function addresses(name: string, text: string, isAddress: (item: string) => boolean): Buffer {
  const wrongOne = list(name, text).some((item) => !isAddress(item))
  if (wrongOne) throw wrong(`has an item in ${name} that is not an ${name === 'ipv4hint' ? 'IPv4' : 'IPv6'} address`)
  return Buffer.concat(list(name, text).map(addressOctets))
}

/** Checks the rules between parameters (RFC 9460 sections 7.1.1 and 8). Throws if one is broken. */
function consistent(params: readonly Param[]): void {
  const has = (key: number) => params.some((one) => one.key === key)
  if (has(NO_DEFAULT_ALPN) && !has(ALPN)) throw wrong('has no-default-alpn without alpn; add alpn, or remove no-default-alpn')
  const value = params.find(({ key }) => key === MANDATORY)?.value
  if (value === undefined) return
  const keys = Array.from({ length: value.length / 2 }, (_, i) => value.readUInt16BE(2 * i))
  if (keys.includes(MANDATORY) || new Set(keys).size !== keys.length || !keys.every(has))
    throw wrong('has a value of mandatory that names a key twice, itself, or one that is not there')
}

function numbers(...values: readonly number[]): Buffer {
  const out = Buffer.alloc(2 * values.length)
  for (const [i, value] of values.entries()) putU16(out, 2 * i, value)
  return out
}
