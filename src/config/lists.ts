import * as v from 'valibot'
import { minisignKey } from '../files/minisign.ts'
import { closed, described, distinct, text, word } from './fields.ts'
import { sourceUrlProblem } from './source-url.ts'

const says = <const Schema extends v.GenericSchema>(sentence: string, schema: Schema) => v.exactOptional(described(sentence, schema))

const idText = v.pipe(
  text(63),
  v.check((id) => /^[a-z0-9][a-z0-9_-]*$/i.test(id), 'must hold only letters, digits, "-" and "_", as in "ads"'),
)

const DAY_NAMES = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'] as const
const HOURS = /^([01]\d|2[0-3]):[0-5]\d-(([01]\d|2[0-3]):[0-5]\d|24:00)$/

const whenSchema = v.pipe(
  closed({
    days: says('The days on which the list applies.', distinct(word(...DAY_NAMES), 7)),
    hours: says(
      'The hours in which it applies, in the local time of this host. An end that is not after the beginning is on the next day.',
      v.pipe(
        text(11),
        v.check((span) => HOURS.test(span), 'must be a span of hours, as in "21:00-06:30"'),
      ),
    ),
  }),
  v.check((when) => when.days !== undefined || when.hours !== undefined, 'must hold "days" or "hours"; without a limit delete "when"'),
)

const listSchema = v.pipe(
  closed({
    id: described('The name of the list in the status, in answers and in commands.', idText),
    file: says('The file of the list, relative to this file. It is read again when it changes.', text(4096)),
    url: says(
      'The https address of the list. This service fetches it once a day and keeps the last good copy.',
      v.pipe(text(2048), urlCheck()),
    ),
    format: v.optional(
      described(
        'The format of the list. `auto` accepts hosts files, names and Adblock lines in one file, and recognizes an RPZ.',
        word('auto', 'hosts', 'domains', 'adblock', 'rpz'),
      ),
      'auto',
    ),
    action: v.optional(
      described(
        'Whether names are blocked, or allowed even if other lists block them, except by `$important` rules.',
        word('block', 'allow'),
      ),
      'block',
    ),
    reply: says(
      'The answer to a blocked name: an address that leads nowhere, "there is no such name", or a refusal. Absent: what an RPZ says, else `null-address`.',
      word('null-address', 'nxdomain', 'refused'),
    ),
    sha256: says(
      'The SHA-256 of its content in hexadecimal. Any other content is refused.',
      v.pipe(
        text(64),
        v.check((hash) => /^[0-9a-f]{64}$/i.test(hash), 'must be 64 hexadecimal digits'),
      ),
    ),
    minisignKey: says(
      'The minisign public key that must have signed it. The signature is beside it, with ".minisig" appended to its name.',
      v.pipe(
        text(256),
        v.check((key) => minisignKey(key) !== undefined, 'must be a minisign public key, the line in base64 of a .pub file'),
      ),
    ),
    when: says('When the list applies. Absent: always.', whenSchema),
  }),
  v.check((list) => list.file === undefined || list.url === undefined, 'has a "file" and a "url"; keep one of them'),
  v.check((list) => list.file !== undefined || list.url !== undefined, 'needs a "file" or a "url"'),
)

function urlCheck() {
  return v.check<string, (issue: { readonly input: string }) => string>(
    (url) => sourceUrlProblem(url) === undefined,
    ({ input }) => sourceUrlProblem(input) ?? '',
  )
}

/** Limit of a list. */
export const MAX_LIST_OCTETS = 128 * 1_048_576

/** The lists of names; ids are different. */
export const listsSchema = distinct(listSchema, 64, 0, (list) => (list as { readonly id?: unknown } | null)?.id)

/** A list of the configuration. After loading, `file` is absolute. */
export type ListConfig = v.InferOutput<typeof listSchema>
