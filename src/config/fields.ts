import { isIP } from 'node:net'
import * as v from 'valibot'
import { quoted } from './problems.ts'

/** Schemas that the configuration and the trusted set share. Every message is a clause that follows the key's path and names the mend. */

/** An object of exactly these keys: any other is an issue of its own, all of them reported, and an array is not an object. */
export function closed<const Entries extends v.ObjectEntries>(entries: Entries) {
  const known = Object.keys(entries).join(', ')
  const message = 'must be an object; write {...}'
  const strict = v.strictObject(entries, message)
  // valibot's strictObject stops at the first unknown key, and all its objects take [] for {}; so a sibling that goes on does the checking.
  const thorough = v.objectWithRest(entries, v.never(`is not a known key; remove it or write one of: ${known}`), message)
  const run: (typeof thorough)['~run'] = (dataset, config) =>
    thorough['~run'](Array.isArray(dataset.value) ? { value: undefined } : dataset, config)
  return { ...strict, '~run': run as unknown as (typeof strict)['~run'] }
}

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

/** A list of 1 (or `least`) to `most` different items. */
export function distinct<const Item extends v.GenericSchema<unknown, unknown>>(item: Item, most: number, least = 1) {
  const message = `must be a list of ${least} to ${most} items`
  return v.pipe(
    v.array(item, message),
    v.minLength(least, message),
    v.maxLength(most, message),
    v.check(
      (list) => new Set(list).size === list.length,
      ({ input }) => `names an item twice (${quoted(repeated(input))}); keep one of them`,
    ),
  )
}

function repeated(list: unknown): unknown {
  return Array.isArray(list) ? list.find((item, index) => list.indexOf(item) !== index) : undefined
}

/** One of a few words. */
export function word<const Words extends readonly [string, ...string[]]>(...words: Words) {
  return v.picklist(words, `must be one of: ${words.join(', ')}`)
}

/** An IP address literal without a zone: nothing here is ever looked up. */
export const ipLiteral = v.pipe(
  text(45),
  v.check((address) => isIP(address) !== 0 && !address.includes('%'), 'must be an IPv4 or IPv6 address (a name would need a lookup)'),
)

/** A domain name in ASCII, lower-cased, with or without its final dot; `.` is the root. Not an address, nor a name that could be one. */
export const domainName = v.pipe(
  text(254),
  v.check(
    (name) =>
      name === '.' ||
      (/^([a-z0-9_-]{1,63}\.)*[a-z0-9_-]{1,63}\.?$/i.test(name) && !/(^|\.)[0-9]+\.?$/.test(name) && bare(name).length <= 253),
    'must be a domain name in ASCII (xn-- form), as in "example.com"',
  ),
  v.transform((name) => name.toLowerCase()),
)

const bare = (name: string) => (name.endsWith('.') ? name.slice(0, -1) : name)

/** A host name in ASCII (RFC 8310 section 7: what the certificate must hold), or an IP address. */
export const authenticationName = v.pipe(
  text(253),
  v.check(
    (name) => isIP(name) !== 0 || (/^[a-z0-9_-]+(\.[a-z0-9_-]+)*$/i.test(name) && name.split('.').every((label) => label.length <= 63)),
    'must be a host name in ASCII (xn-- form) without a final dot, or an IP address',
  ),
  v.transform((name) => name.toLowerCase()),
)
