import { isIP } from 'node:net'
import { addressOctets, parseCidr } from '../config/cidr.ts'
import { ALLOW, BLOCK, type ListFormat, type RuleKind, type RuleTaker, type Scope } from './list-kinds.ts'
import { isTooLarge, labelCount, nameOctets } from './list-names.ts'

const SPACE = 32
const TAB = 9
const BANG = 0x21
const HASH = 0x23
const DOLLAR = 0x24
const STAR = 0x2a
const DASH = 0x2d
const DOT = 0x2e
const SLASH = 0x2f
const COLON = 0x3a
const SEMICOLON = 0x3b
const AT = 0x40
const BRACKET = 0x5b
const CARET = 0x5e
const UNDERSCORE = 0x5f
const PIPE = 0x7c

/** Names that hosts files usually have for the local host and its network. */
const OWN_NAMES = new Set(
  'localhost localhost.localdomain local broadcasthost localhost4 localhost6 ip6-localhost ip6-loopback ip6-localnet ip6-mcastprefix ip6-allnodes ip6-allrouters ip6-allhosts 0.0.0.0'.split(
    ' ',
  ),
)
/** Addresses that mean "blocked" in a hosts file. */
const NOWHERE = new Set(['0.0.0.0', '127.0.0.1', '127.0.1.1', '::', '::1', '::0', '0:0:0:0:0:0:0:0', '0:0:0:0:0:0:0:1'])
/** Modifiers that change nothing for a resolver. */
const NEUTRAL = new Set(['all', 'document', 'doc', ''])
const MOST_EXCEPTIONS = 64

/**
 * Reads lines of hosts files, domain lists and Adblock lists. The formats `auto` and `adblock`
 * accept all three forms, because Adblock lists for DNS mix them.
 */
export class TextRules {
  readonly #taker: RuleTaker
  readonly #format: Exclude<ListFormat, 'rpz'>
  readonly #name = new Uint8Array(256)
  /** The address of the last hosts line, and what it means: most files have only one. */
  #lastAddress = new Uint8Array(0)
  #lastMeaning: AddressMeaning = 'no-address'

  constructor(format: Exclude<ListFormat, 'rpz'>, taker: RuleTaker) {
    this.#format = format
    this.#taker = taker
  }

  /** Reads one line of the list. */
  line(octets: Uint8Array, first: number, last: number): void {
    let from = first
    let end = last
    while (from < end && isBlank(octets[from]!)) from++
    while (from < end && isBlank(octets[end - 1]!)) end--
    if (from === end) return
    const begins = octets[from]!
    if (begins === HASH || begins === BANG || begins === SEMICOLON || begins === BRACKET) return
    let word = from
    while (word < end && !isBlank(octets[word]!)) word++
    if (word < end && !isComment(octets, word, end)) this.#hosts(octets, from, word, end)
    else if (this.#format === 'hosts') this.#taker.skip('not-a-name')
    else if (this.#format === 'domains') this.#domain(octets, from, word, BLOCK)
    else this.#adblock(octets, from, word)
  }

  /** Reads a hosts line: an address and its names. */
  #hosts(octets: Uint8Array, from: number, word: number, end: number): void {
    const meaning = this.#meaningOf(octets, from, word)
    if (this.#format === 'domains' || meaning === 'no-address') {
      this.#taker.skip(octets[from] === PIPE ? 'pattern' : 'not-a-name')
      return
    }
    if (meaning === 'other') {
      if (this.#isOfThisHost(octets, word, end)) return
      this.#taker.skip('other-address')
      return
    }
    for (let at = word; at < end; ) {
      while (at < end && isBlank(octets[at]!)) at++
      if (at === end || octets[at] === HASH) return
      const nameAt = at
      while (at < end && !isBlank(octets[at]!) && octets[at] !== HASH) at++
      if (OWN_NAMES.has(shortText(octets, nameAt, at))) continue
      this.#give(octets, nameAt, at, 'name', BLOCK)
    }
  }

  /** A string for each line would be slow: 0.3 s for a million lines. */
  #meaningOf(octets: Uint8Array, from: number, end: number): AddressMeaning {
    if (isSame(octets, from, end, this.#lastAddress)) return this.#lastMeaning
    const address = latin1(octets, from, end)
    this.#lastAddress = octets.slice(from, end)
    this.#lastMeaning = isIP(address) === 0 ? 'no-address' : NOWHERE.has(address) ? 'blocked' : 'other'
    return this.#lastMeaning
  }

  /** Whether a hosts line is about the local host or its network, as `ff02::1 ip6-allnodes`. */
  #isOfThisHost(octets: Uint8Array, from: number, end: number): boolean {
    let at = from
    while (at < end && isBlank(octets[at]!)) at++
    let last = at
    while (last < end && !isBlank(octets[last]!)) last++
    return OWN_NAMES.has(shortText(octets, at, last))
  }

  /**
   * Reads `name`, `.name` or `*.name` as a rule for the name and everything below it; or reads
   * addresses.
   */
  #domain(octets: Uint8Array, from: number, end: number, kind: RuleKind): void {
    if (this.#addresses(octets, from, end, kind)) return
    const at = octets[from] === STAR && octets[from + 1] === DOT ? from + 2 : octets[from] === DOT ? from + 1 : from
    if (OWN_NAMES.has(shortText(octets, at, end))) return
    this.#give(octets, at, end, 'tree', kind)
  }

  /**
   * Reads `||name^`, `|name^`, a bare name, or addresses; `@@` may precede them and modifiers
   * follow them.
   */
  #adblock(octets: Uint8Array, first: number, last: number): void {
    const allows = octets[first] === AT && octets[first + 1] === AT
    const from = allows ? first + 2 : first
    if (octets[from] === SLASH) {
      this.#taker.skip('regexp')
      return
    }
    let end = from
    while (end < last && octets[end] !== DOLLAR && octets[end] !== HASH) end++
    if (end < last && (octets[end] === HASH || octets[end + 1] === DOLLAR)) {
      this.#taker.skip('cosmetic')
      return
    }
    const options = end === last ? NO_OPTIONS : this.#options(latin1(octets, end + 1, last))
    if (options === undefined) return
    const kind = options === NO_OPTIONS ? (allows ? ALLOW : BLOCK) : { allows, ...options, reply: undefined }
    const anchors = octets[from] === PIPE ? (octets[from + 1] === PIPE ? 2 : 1) : 0
    let nameEnd = end
    if (nameEnd > from && octets[nameEnd - 1] === PIPE) nameEnd--
    if (nameEnd > from && octets[nameEnd - 1] === CARET) nameEnd--
    const at = from + anchors
    if (anchors === 0) this.#bare(octets, at, nameEnd, kind)
    else if (nameEnd === end && isBeginning(octets, at, end)) this.#taker.skip('pattern')
    else if (!this.#addresses(octets, at, nameEnd, kind)) this.#anchored(octets, at, nameEnd, anchors, kind)
  }

  #anchored(octets: Uint8Array, at: number, nameEnd: number, anchors: 1 | 2, kind: RuleKind): void {
    if (anchors === 2 && octets[at] === STAR && octets[at + 1] === DOT) this.#give(octets, at + 2, nameEnd, 'below', kind)
    else this.#give(octets, at, nameEnd, anchors === 2 ? 'tree' : 'name', kind)
  }

  #bare(octets: Uint8Array, from: number, end: number, kind: RuleKind): void {
    if (isFragment(octets, from, end)) {
      this.#taker.skip('pattern')
      return
    }
    this.#domain(octets, from, end, kind)
  }

  /**
   * Reads the modifiers of a rule. Undefined: a resolver cannot apply one of them; the line is
   * reported as skipped.
   */
  #options(text: string): Options | undefined {
    let important = false
    const except: Uint8Array[] = []
    for (const option of text.split(',')) {
      const [name = '', value = ''] = option.trim().toLowerCase().split('=')
      if (name === 'important' && value === '') important = true
      else if (name === 'denyallow') {
        for (const one of value.split('|')) {
          const octets = Buffer.from(one, 'latin1')
          const length = nameOctets(octets, 0, octets.length, this.#name)
          if (length === 0 || except.length === MOST_EXCEPTIONS) return this.#unusable('modifier', 'denyallow')
          except.push(this.#name.slice(0, length))
        }
      } else if (!NEUTRAL.has(name)) return this.#unusable('modifier', name)
    }
    return { important, except }
  }

  #unusable(reason: 'modifier', detail: string): undefined {
    this.#taker.skip(reason, /^~?[a-z0-9_-]{1,24}$/.test(detail) ? detail : undefined)
    return undefined
  }

  /** If the text is an address or a block of addresses, passes it on and returns true. */
  #addresses(octets: Uint8Array, from: number, end: number, kind: RuleKind): boolean {
    const last = octets[end - 1]!
    const numeric = (last >= 0x30 && last <= 0x39) || (ENDS_IPV6.has(last) && isColon(octets, from, end))
    const cidr = numeric ? parseCidr(latin1(octets, from, end)) : undefined
    if (cidr === undefined) return false
    if (cidr.prefix < (cidr.family === 'ipv4' ? 8 : 16)) this.#taker.skip('whole-domain')
    else this.#taker.addresses(addressOctets(cidr.address), cidr.prefix, kind)
    return true
  }

  #give(octets: Uint8Array, from: number, end: number, scope: Scope, kind: RuleKind): void {
    const name = this.#name
    if (nameOctets(octets, from, end, name) === 0) this.#taker.skip(this.#fault(octets, from, end))
    else if (scope !== 'name' && !kind.allows && labelCount(name) === 1 && isTooLarge(name, kind.important))
      this.#taker.skip('whole-domain')
    else this.#taker.name(name, scope, kind)
  }

  #fault(octets: Uint8Array, from: number, end: number): 'pattern' | 'not-a-name' {
    const isWeb = this.#format === 'adblock' || this.#format === 'auto'
    for (let i = from; isWeb && i < end; i++) if (PATTERN.has(octets[i]!)) return 'pattern'
    return 'not-a-name'
  }
}

/** What the address at the beginning of a hosts line says about its names. */
type AddressMeaning = 'blocked' | 'other' | 'no-address'

interface Options {
  readonly important: boolean
  readonly except: readonly Uint8Array[]
}
const NO_OPTIONS: Options = { important: false, except: [] }

/** Characters that occur only in rules for web addresses. */
const PATTERN = new Set(Array.from('*/:^|?=&%~,', (character) => character.charCodeAt(0)))

/**
 * Whether a text without anchor is a fragment of a web address, as `-banner.` or `.ads`, and no
 * name.
 */
function isFragment(octets: Uint8Array, from: number, end: number): boolean {
  const first = octets[from]
  if (first !== DASH && first !== UNDERSCORE && first !== DOT) return false
  for (let i = from + 1; i < end - 1; i++) if (octets[i] === DOT) return false
  return true
}

/**
 * Whether an anchored text without `^`, as `||click.` or `||app`, is only the beginning of names
 * and no name.
 */
function isBeginning(octets: Uint8Array, from: number, end: number): boolean {
  if (octets[end - 1] === DOT) return true
  for (let i = from; i < end; i++) if (octets[i] === DOT || octets[i] === COLON) return false
  return true
}

const isBlank = (octet: number) => octet === SPACE || octet === TAB

/** Whether only blanks and then a comment follow a word. */
function isComment(octets: Uint8Array, from: number, end: number): boolean {
  let at = from
  while (at < end && isBlank(octets[at]!)) at++
  return octets[at] === HASH
}

/** What an IPv6 address can end with, apart from a digit. */
const ENDS_IPV6 = new Set(Array.from('abcdefABCDEF:', (character) => character.charCodeAt(0)))

function isSame(octets: Uint8Array, from: number, end: number, other: Uint8Array): boolean {
  if (end - from !== other.length) return false
  for (let i = 0; i < other.length; i++) if (octets[from + i] !== other[i]) return false
  return true
}

function isColon(octets: Uint8Array, from: number, end: number): boolean {
  for (let i = from; i < end; i++) if (octets[i] === COLON) return true
  return false
}

function latin1(octets: Uint8Array, from: number, end: number): string {
  return Buffer.from(octets.buffer, octets.byteOffset + from, end - from).toString('latin1')
}

/** The text in lower case if it can be in `OWN_NAMES`; otherwise empty. */
function shortText(octets: Uint8Array, from: number, end: number): string {
  const first = octets[from]! | 0x20
  // All of those names begin with l, b, i or 0. Other texts are not converted: a string for each
  // line would be slow.
  if (end - from > 21 || (first !== 0x6c && first !== 0x62 && first !== 0x69 && first !== 0x30)) return ''
  return latin1(octets, from, end).toLowerCase()
}
