import { createHash } from 'node:crypto'
import { isIP, isIPv4 } from 'node:net'
import * as v from 'valibot'
import { isOnion } from '../route.ts'
import { isLinkLocal6, isMulticastOrBroadcast, isUnspecified, unmapped } from './cidr.ts'
import { nearest } from './nearest.ts'
import { quoted } from './problems.ts'

/**
 * Schemas that the configuration and the trusted set share. Every message is a clause that follows
 * the path of the key and says how to fix it.
 */

/**
 * An object with exactly these keys. Every other key is an issue. `hint` returns a special message
 * for a key, if there is one. An array is not an object.
 */
export function closed<const Entries extends v.ObjectEntries>(entries: Entries, hint?: (key: string) => string | undefined) {
  const message = 'must be an object; write {...}'
  const strict = v.strictObject(entries, message)
  // valibot's strictObject stops at the first unknown key, and all its objects accept [] as {}. So
  // another schema does the check, which finds all unknown keys.
  const thorough = v.objectWithRest(entries, v.never('is not a known key'), message)
  const run: (typeof thorough)['~run'] = (dataset, config) => {
    const found = thorough['~run'](Array.isArray(dataset.value) ? { value: undefined } : dataset, config)
    for (const issue of found.issues ?? []) {
      // A longer path belongs to a key deeper inside, which has its own message.
      const [key, ...deeper] = issue.path ?? []
      if (issue.type !== 'never' || key === undefined || deeper.length > 0) continue
      const name = String(key.key)
      // Only for the faults that are printed: 20,000 unknown keys took 2 s.
      const message = () => hint?.(name) ?? unknownKey(name, Object.keys(entries))
      Object.defineProperty(issue, 'message', { get: message, enumerable: true, configurable: true })
    }
    return found
  }
  return { ...strict, '~run': run as unknown as (typeof strict)['~run'] }
}

/** Limit of keys that a message lists. */
const FEW_KEYS = 6

function unknownKey(key: string, known: readonly string[]): string {
  const close = nearest(key, known)
  if (close.length > 0) return `is not a known key; did you mean ${close.map((one) => `"${one}"`).join(' or ')}?`
  if (known.length <= FEW_KEYS) return `is not a known key; remove it or write one of: ${known.join(', ')}`
  return 'is not a known key; remove it (docs/configuration.md lists all keys)'
}

/**
 * Adds to `schema` a sentence about the purpose of the key. The reference and editors show it.
 */
export function described<const Schema extends v.GenericSchema>(says: string, schema: Schema) {
  return v.pipe(schema, v.description(says))
}

/** The schema of true or false. */
export const yesNo = v.boolean('must be true or false')

/** An integer from `least` to `most`, both included. */
export function integer(least: number, most: number) {
  const message = `must be a whole number from ${least} to ${most}`
  return v.pipe(v.number(message), v.integer(message), v.minValue(least, message), v.maxValue(most, message))
}

/** A text of 1 to `most` characters without control characters. */
export function text(most: number) {
  const message = `must be a text of 1 to ${most} characters`
  return v.pipe(
    v.string(message),
    v.minLength(1, message),
    v.maxLength(most, message),
    v.check((value) => !hasControls(value), 'must not hold control characters; remove them'),
  )
}

function hasControls(value: string): boolean {
  return [...value].some((char) => char < ' ' || (char >= '\x7f' && char <= '\x9f'))
}

/**
 * A list of 1 (or `least`) to `most` different items; `same` returns the canonical spelling of an
 * item. `empty`: the message for a list without items.
 */
export function distinct<const Item extends v.GenericSchema<unknown, unknown>>(
  item: Item,
  most: number,
  least = 1,
  same: (item: unknown) => unknown = (one) => one,
  empty?: string,
) {
  const range = `must be a list of ${least} to ${most} items`
  const message = ({ input }: { readonly input: unknown }) => (typeof input === 'string' ? `${range}; write [${quoted(input)}]` : range)
  return v.pipe(
    v.array(item, message),
    v.minLength(least, empty ?? message),
    v.maxLength(most, message),
    v.check(
      (list) => list.length < 2 || new Set(list.map(same)).size === list.length,
      ({ input }) => `names an item twice (${quoted(repeated(input, same))}); keep one of them`,
    ),
  )
}

function repeated(list: unknown, same: (item: unknown) => unknown): unknown {
  if (!Array.isArray(list)) return undefined
  const spelt = list.map(same)
  const at = spelt.findIndex((one, index) => spelt.indexOf(one) !== index)
  // An object is long, and its other keys do not matter.
  return typeof list[at] === 'object' ? spelt[at] : list[at]
}

/** One of a few words. */
export function word<const Words extends readonly [string, ...string[]]>(...words: Words) {
  return v.picklist(words, `must be one of: ${words.join(', ')}`)
}

/** A check whose clause depends on the error; `problem` returns undefined if there is none. */
export function checked(problem: (value: string) => string | undefined) {
  return v.check<string, (issue: { readonly input: string }) => string>(
    (value) => problem(value) === undefined,
    ({ input }) => problem(input) ?? '',
  )
}

const LITERAL = 'must be an IPv4 or IPv6 address (a name would need a lookup)'

/** An IP address literal without a zone: no lookup is ever made. */
export const ipLiteral = v.pipe(text(45), checked(literalProblem))

/**
 * Why a text is not the base64 of 32 octets, as a clause with the fix that begins with `form`.
 * Undefined: it is. Some programs write "sha256/" before it.
 */
export function octets32Problem(text: string, form: string): string | undefined {
  const bare = `${text
    .trim()
    .replace(/^(pin-)?sha-?256\W{1,2}/i, '')
    .replace(/[="]*$/, '')}=`
  const isSound = /^[A-Za-z0-9+/]{43}=$/.test(bare) && Buffer.from(bare, 'base64').toString('base64') === bare
  if (isSound && bare === text) return undefined
  return isSound ? `${form}, and nothing else; write "${bare}"` : form
}

const PIN_FORM = 'must be the base64 of 32 octets (the SHA-256 of the public key)'

/**
 * Base64 of a SHA-256 over the leaf's SubjectPublicKeyInfo (RFC 7858 section 4.2). Only the
 * canonical spelling is accepted, so equal pins are equal texts.
 */
export const spkiPin = v.pipe(
  v.string(PIN_FORM),
  checked((pin) => octets32Problem(pin, PIN_FORM)),
  v.minLength(1, PIN_FORM),
  v.maxLength(44, PIN_FORM),
)

/** An address of one host that is reachable on any network. */
export const hostAddress = v.pipe(
  text(45),
  checked((address) => literalProblem(address) ?? hostProblem(address)),
)

/** The address of a resolver: that of a host, or the name of an onion service. */
export const resolverAddress = v.pipe(
  text(62),
  checked((address) => (isOnion(address) ? onionProblem(address) : (literalProblem(address) ?? hostProblem(address)))),
)

const ONION = /^[a-z2-7]{56}\.onion$/i

/**
 * The error of an onion name. Its last three octets are a checksum and the version (rend-spec-v3).
 */
function onionProblem(address: string): string | undefined {
  if (!ONION.test(address)) return 'must be the whole name of an onion service of version 3: 56 characters of a-z and 2-7, and ".onion"'
  const octets = base32(address.slice(0, 56).toLowerCase())
  const [key, sum, version] = [octets.subarray(0, 32), octets.subarray(32, 34), octets.subarray(34)]
  const wanted = createHash('sha3-256').update('.onion checksum').update(key).update(version).digest().subarray(0, 2)
  if (version[0] === 3 && wanted.equals(sum)) return undefined
  return 'is mistyped: its checksum is wrong; copy the name of the onion service again'
}

/** Decodes base32 (RFC 4648 section 6). The length must be a multiple of 8 characters. */
function base32(text: string): Buffer {
  const bits = [...text].map((char) => 'abcdefghijklmnopqrstuvwxyz234567'.indexOf(char).toString(2).padStart(5, '0')).join('')
  return Buffer.from(bits.match(/.{8}/g)?.map((octet) => Number.parseInt(octet, 2)) ?? [])
}

function literalProblem(text: string): string | undefined {
  if (isIP(text) !== 0 && !text.includes('%')) return undefined
  if (text.trim() !== text) return `${LITERAL}; remove the spaces around it`
  if (isIP(text) !== 0 && isLinkLocal6(text)) return linkLocalProblem()
  if (isIP(text) !== 0) return `${LITERAL}; it needs no interface, write "${text.slice(0, text.indexOf('%'))}"`
  const [, six, four, port] = /^(?:\[([^\]]+)\]|([0-9.]+))(?::(\d+))?$/.exec(text) ?? []
  const address = six ?? four ?? ''
  if (isIP(address) !== 0)
    return `${LITERAL} and nothing else; write "${address}"${port === undefined ? '' : `, and the port in "transports", as in {"dot": {"port": ${port}}}`}`
  if (isIP(text.split('/')[0] ?? '') !== 0) return `${LITERAL} and not a block; write "${text.split('/')[0]}"`
  return LITERAL
}

function linkLocalProblem(): string {
  return 'is link-local, which means a different host on each link; write a global or unique-local address (fd00::/8) of the resolver'
}

function hostProblem(address: string): string | undefined {
  // A list has thousands of IPv4 addresses, and the checks below cost 10 us each.
  if (isIPv4(address) && Number.parseInt(address, 10) < 224 && address !== '0.0.0.0') return undefined
  if (isLinkLocal6(address)) return linkLocalProblem()
  if (isUnspecified(address)) return 'means every address and is not a host; write the address of the resolver'
  if (isMulticastOrBroadcast(address))
    return 'is a multicast or broadcast address, which TLS cannot reach; write the address of the resolver'
  const four = unmapped(address)
  return four === address ? undefined : `is an IPv4 address in IPv6 form; write "${four}"`
}

/**
 * A domain name in ASCII, with or without its final dot; `.` is the root. It is converted to lower
 * case. A name whose last label is a number is refused, because it could be an address.
 */
export const domainName = v.pipe(
  text(254),
  v.check(
    (name) =>
      name === '.' ||
      (/^([a-z0-9_-]{1,63}\.)*[a-z0-9_-]{1,63}\.?$/i.test(name) && !/(^|\.)[0-9]+\.?$/.test(name) && bare(name).length <= 253),
    'must be a domain name in ASCII (xn-- form), as in "example.com"',
  ),
  v.toLowerCase(),
)

const bare = (name: string) => (name.endsWith('.') ? name.slice(0, -1) : name)

/** A host name in ASCII (RFC 8310 section 7: the name in the certificate), or an IP address. */
export const authenticationName = v.pipe(
  text(253),
  v.check(
    (name) =>
      (isIP(name) !== 0 && !name.includes('%')) ||
      (/^[a-z0-9_-]+(\.[a-z0-9_-]+)*$/i.test(name) && name.split('.').every((label) => label.length <= 63)),
    'must be a host name in ASCII (xn-- form) without a final dot, or an IP address',
  ),
  v.toLowerCase(),
)
