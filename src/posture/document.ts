import * as v from 'valibot'
import { isRecord } from '../files/json.ts'
import { TRANSPORT_NAMES } from '../transports.ts'
import { isReasonCode } from './reasons.ts'

/** The name and version of the status document. A reader accepts this and no other. */
export const SCHEMA = 'enigm-dns/status/1'

const is = v.description
/**
 * Marks what may be told to others: `x-share` in the JSON Schema, and the one list that `status
 * --redact` goes by.
 */
const KEEP = { 'x-share': 'keep' } as const
const CODE = { 'x-share': 'code' } as const
const COUNT_BY_STATE = { 'x-share': 'count-by-state' } as const
const count = (description: string) => v.pipe(v.number(), v.integer(), v.minValue(0), is(description))
const time = (description: string) => v.pipe(v.string(), v.isoTimestamp(), is(description))
const text = (description: string) => v.pipe(v.string(), is(description))
const milliseconds = (description: string) => v.pipe(v.number(), is(description))

const reason = v.object({
  code: v.pipe(v.string(), is('Stable, from the list in docs/status.md; the sentences are not.'), v.metadata(CODE)),
  severity: v.pipe(v.picklist(['info', 'warn', 'bad']), is('info is a remark; warn and bad need a mend.'), v.metadata(KEEP)),
  message: text('What is so, in a sentence for a person.'),
  mend: text('What would mend it.'),
})

const signal = (description: string) =>
  v.pipe(
    v.object({
      state: v.pipe(
        v.picklist(['ok', 'warn', 'bad', 'unknown', 'off']),
        is('unknown: there is no evidence. off: nothing is configured that it would judge.'),
        v.metadata(KEEP),
      ),
      since: time('When the signal took this state, by the wall clock of that moment.'),
      reasons: v.pipe(
        v.array(reason),
        v.maxLength(24),
        is('Worst first, and of those that are equally bad what a person must do first; at most 24.'),
      ),
    }),
    is(description),
  )

const resolver = v.object({
  id: text('As the trusted set names it.'),
  operator: text('Who runs it, as the trusted set says.'),
  jurisdiction: v.optional(text('Where its operator is at home, as the trusted set says.')),
  pins: v.optional(count('How many SPKI pins the trusted set holds for it; any one of them must match.')),
  claims: v.optional(
    v.pipe(
      v.record(v.string(), v.union([v.boolean(), v.string()])),
      is('What the operator says of itself: claims, not evidence, the DNSSEC one included.'),
    ),
  ),
  state: v.pipe(v.picklist(['answering', 'idle', 'failing', 'untried']), is('idle: its last exchange was answered, and no link is up.')),
  transport: v.pipe(v.nullable(v.picklist(TRANSPORT_NAMES)), is('Of the latest answer, else of the latest handshake.')),
  authenticated: v.pipe(
    v.nullable(v.picklist(['ca', 'ca+spki', 'no'])),
    is('How the peer of the latest answer or handshake proved who it is; null: none yet.'),
  ),
  tlsVersion: v.pipe(v.nullable(v.string()), is('Of that connection.')),
  cipher: v.optional(v.pipe(v.nullable(v.string()), is('What that connection is encrypted with, by the name that OpenSSL has for it.'))),
  resumed: v.pipe(v.nullable(v.boolean()), is('Whether that connection resumed a session and so rests on the proof of the one before.')),
  padding: v.pipe(
    v.object({
      sentBlock: count('Queries are padded to a multiple of this many octets (RFC 8467); 0: not at all.'),
      repliesPadded: v.pipe(v.picklist(['yes', 'no', 'mixed', 'unknown']), is('Whether its latest replies, at most 30, came back padded.')),
    }),
    is('Padding in both directions.'),
  ),
  lastHandshakeAt: v.pipe(v.nullable(v.pipe(v.string(), v.isoTimestamp())), is('Of the connection above.')),
  lastAnswerAt: v.pipe(v.nullable(v.pipe(v.string(), v.isoTimestamp())), is('When it last answered anything.')),
  rttMs: v.pipe(
    v.nullable(
      v.object({
        p50: milliseconds('Half of the answers were as fast.'),
        p90: milliseconds('Nine in ten were as fast.'),
        p99: milliseconds('99 in 100 were as fast.'),
        samples: count('How many answers these figures are of.'),
        medians: v.optional(
          v.pipe(
            v.array(v.number()),
            v.maxLength(20),
            is(
              'p50 as heartbeats found it, oldest first, each one that differs from the one before: in whole milliseconds, and without times.',
            ),
          ),
        ),
      }),
    ),
    is('Round trips over the latest 256 answers at most.'),
  ),
  failures: v.pipe(v.record(v.string(), v.pipe(v.number(), v.integer(), v.minValue(0))), is('By error code, since the start.')),
})

const rule = v.object({
  rule: v.pipe(v.string(), is('The key of `policy` in the configuration.')),
  verdict: v.pipe(
    v.picklist(['met', 'not-met', 'claimed', 'cannot-tell']),
    is('claimed: it rests on what an operator says of itself. cannot-tell: there is no evidence, or none yet.'),
    v.metadata(KEEP),
  ),
  detail: text('What was found, in a sentence.'),
})

/**
 * The status document: the one source of its TypeScript type, of the reader's check, of what may be
 * shared, and of schema/status.schema.json.
 */
export const statusDocument = v.object({
  schema: v.pipe(v.literal(SCHEMA), is('Name and version of this document; a reader takes no other.')),
  version: text('Of the program that wrote this.'),
  pid: v.pipe(v.number(), v.integer(), v.minValue(1), is('The process that wrote this.')),
  processStart: v.optional(v.pipe(v.string(), v.maxLength(100), is('Boot and start time of the process, opaque: tells a reused pid.'))),
  startedAt: time('When that process started.'),
  updatedAt: time('When this was written. Written at a change of state and at each heartbeat, never because of a query.'),
  heartbeatS: v.pipe(v.number(), v.minValue(0.1), is('Older than three of these is stale.')),
  state: v.pipe(
    v.picklist(['protected', 'degraded', 'exposed', 'offline']),
    is(
      'protected: authenticated answers flow now. degraded: they do, but something asked for does not hold. exposed: unauthenticated or cleartext. offline: nothing authenticated now.',
    ),
    v.metadata(KEEP),
  ),
  signals: v.pipe(
    v.object({
      secureNameResolution: signal('Whether encrypted answers of trusted resolvers flow, and how that is known.'),
      protectedNetwork: signal('Whether this network is one that the policy names, and whether the system asks this service at all.'),
      policyCompliance: signal('Whether the rules of the policy are met.'),
      vpn: signal('Whether every path to a resolver leaves from a VPN interface.'),
      service: signal('Whether the service itself runs as it should.'),
    }),
    is('The five signals, each with its reasons.'),
  ),
  proof: v.optional(
    v.pipe(
      v.object({
        lastAnswerAt: v.pipe(
          v.nullable(v.pipe(v.string(), v.isoTimestamp())),
          is('When a resolver that had proved who it is last answered; null: never yet.'),
        ),
        ageS: v.pipe(v.nullable(v.pipe(v.number(), v.integer(), v.minValue(0))), is('How old that was when this was written.')),
      }),
      is('The newest proof that secure name resolution works. It ages until something is asked.'),
    ),
  ),
  resolvers: v.pipe(v.array(resolver), is('The trusted resolvers in use, in order, each with its evidence.'), v.metadata(COUNT_BY_STATE)),
  cache: v.pipe(
    v.object({
      entries: count('Answers kept.'),
      bytes: count('Memory that they take.'),
      maxBytes: count('The most that they may take.'),
      hits: v.optional(count('Queries answered from it since the start.')),
      misses: v.optional(count('Queries that had to be asked since the start.')),
      stale: v.optional(count('Answers past their time that stood in, since the start.')),
      renewed: v.optional(count('Answers renewed before anybody had to wait for them, since the start.')),
      overloaded: v.optional(count('Queries turned away because too many were under way, since the start.')),
      limited: v.optional(
        count('Queries over UDP from other hosts that came too fast and were sent to TCP or not answered, since the start.'),
      ),
      rebinding: v.optional(count('Answers from outside that pointed inside and were refused, since the start.')),
    }),
    is('The answer cache, as sums.'),
  ),
  shaping: v.pipe(
    v.object({
      profile: text('The configured profile.'),
      inForce: v.pipe(v.picklist(['yes', 'no', 'unknown']), is('Whether it is in force.'), v.metadata(KEEP)),
      why: v.optional(v.pipe(v.string(), v.maxLength(300), is('Why it is not.'))),
      jitterMs: v.pipe(v.number(), v.minValue(0), is('The longest wait of the profile jitter.')),
    }),
    is('Traffic shaping. How much of the traffic was real is never told.'),
  ),
  plaintext: v.pipe(
    v.record(v.string(), v.pipe(v.number(), v.integer(), v.minValue(0))),
    is(
      'Cleartext DNS packets that this service let out since the start, by cause: a number each. Under `strict` all are 0 but those of causes that somebody allowed by name: in this version `captive-portal`, by the command `enigm-dns portal`.',
    ),
  ),
  plaintextAllowed: v.optional(
    v.pipe(
      v.array(v.pipe(v.string(), v.maxLength(40))),
      v.maxLength(16),
      is('The causes that somebody allowed by name since the start, over or not.'),
    ),
  ),
  bypassed: v.optional(
    v.pipe(
      v.object({
        seen: v.pipe(v.picklist(['yes', 'cannot-tell']), is('Never "no": what is not seen may still be there.'), v.metadata(KEEP)),
        atLeast: v.pipe(
          v.nullable(v.pipe(v.number(), v.integer(), v.minValue(1))),
          is('How many flows were seen; null: none, which proves nothing.'),
        ),
        looks: count('How often it was looked.'),
        through: v.pipe(v.array(v.picklist(['sockets', 'conntrack'])), is('What could be looked at.')),
      }),
      is('What other programs send to port 53 elsewhere, past this service, as far as it can be seen since the start.'),
    ),
  ),
  policy: v.optional(
    v.pipe(
      v.object({
        network: v.pipe(v.nullable(v.string()), is('The name that the policy gives to this network; null: none of those that it names.')),
        rules: v.pipe(v.array(rule), v.maxLength(64), is('Each rule in force here, with its verdict.')),
      }),
      is('The policy, rule by rule; absent: none is configured.'),
    ),
  ),
  audit: v.optional(
    v.pipe(
      v.object({
        state: v.pipe(v.picklist(['writing', 'unwritable']), is('Whether the latest entry could be written.'), v.metadata(KEEP)),
        entries: count('Entries since the log began.'),
        lost: count('Events that could not be written since the start.'),
      }),
      is('The audit log; absent: there is none.'),
    ),
  ),
  trace: v.optional(
    v.pipe(
      v.object({
        state: v.pipe(v.picklist(['on']), is('It is on.'), v.metadata(KEEP)),
        until: time('When it ends, if nothing ends it before.'),
      }),
      is('Somebody with the rights of this service is shown what is asked (`enigm-dns trace`); absent: nobody is.'),
    ),
  ),
  running: v.optional(
    v.pipe(
      v.object({
        restarts: v.pipe(
          v.nullable(v.pipe(v.number(), v.integer(), v.minValue(0))),
          is('Starts in this boot before this one; null: not known.'),
        ),
        lateMs: milliseconds('How late the latest heartbeat was: the delay of the event loop.'),
        worstLateMs: milliseconds('The latest that one was since the start, sleeps aside.'),
        faults: count('Internal faults that were caught since the start.'),
      }),
      is('How the service itself has done.'),
    ),
  ),
})

/**
 * `plaintext` of a document before anything left. Who can open a socket is a closed list, each with
 * the reason why no cleartext DNS leaves by it, or with the event that counts what does
 * (test/ledger.test.ts). Whoever adds a sender adds its count, its event and its reason with it.
 */
export const NOTHING_IN_CLEARTEXT = { 'captive-portal': 0, 'split-dns': 0, 'dnscrypt-certificate': 0 } as const

/** What is written, and what a reader gets once it has judged a file. */
export type StatusDocument = v.InferOutput<typeof statusDocument>

/**
 * `value` as a document, or undefined: it may come from anybody. Keys that this version does not
 * know are dropped.
 */
export function asStatusDocument(value: unknown): StatusDocument | undefined {
  const parsed = v.safeParse(statusDocument, value)
  return parsed.success ? parsed.output : undefined
}

/** The name and version of the document that may be handed to others. */
export const REDACTED_SCHEMA = 'enigm-dns/status-redacted/1'

/** What a field's mark in the schema says of it; a field without one is left out. */
export type Share = 'keep' | 'count-by-state' | 'code'

/**
 * What may be told to others: exactly what the schema of the document marks (see document.ts,
 * `x-share` in schema/status.schema.json), whatever else a file holds. A field that somebody adds
 * is left out until somebody marks it.
 */
export function redacted(value: unknown): Readonly<Record<string, unknown>> {
  const kept = pick(statusDocument, value)
  return { ...(isRecord(kept) ? kept : {}), schema: REDACTED_SCHEMA }
}

/** The loose shape of a valibot schema, as far as marks need it. */
interface SchemaNode {
  readonly type?: unknown
  readonly entries?: Readonly<Record<string, SchemaNode>>
  readonly item?: SchemaNode
  readonly wrapped?: SchemaNode
  readonly pipe?: readonly SchemaNode[]
  readonly metadata?: { readonly 'x-share'?: Share }
  readonly options?: readonly unknown[]
}

function pick(schema: v.GenericSchema, value: unknown): unknown {
  return walk(schema as SchemaNode, value)
}

function walk(node: SchemaNode, value: unknown): unknown {
  const bare = node.wrapped ?? node
  const share = shareOf(node) ?? shareOf(bare)
  if (share === 'count-by-state') return countByState(bare, value)
  if (share === 'code') return typeof value === 'string' && isReasonCode(value) ? value : 'other'
  if (share === 'keep') return wordOf(bare, value)
  const entries = bare.entries
  if (entries !== undefined) {
    if (!isRecord(value)) return undefined
    const kept = Object.entries(entries).flatMap(([key, child]) => {
      const found = Object.hasOwn(value, key) ? walk(child, value[key]) : undefined
      return found === undefined ? [] : [[key, found] as const]
    })
    return kept.length === 0 ? undefined : Object.fromEntries(kept)
  }
  const { item } = bare
  if (item === undefined || !Array.isArray(value)) return undefined
  const items = value.map((one) => walk(item, one)).filter((one) => one !== undefined)
  return items.length === 0 && (value.length > 0 || item.entries === undefined) ? undefined : items
}

/**
 * Only words of a closed list pass: a text that anybody could have written is not kept, whatever
 * its mark.
 */
function wordOf(node: SchemaNode, value: unknown): unknown {
  return optionsOf(node)?.includes(value) === true ? value : undefined
}

function countByState(node: SchemaNode, value: unknown): unknown {
  const states = optionsOf((node.item?.entries ?? node.item?.pipe?.[0]?.entries)?.state ?? {}) ?? []
  if (!Array.isArray(value)) return undefined
  return Object.fromEntries(states.map((state) => [state, value.filter((one) => isRecord(one) && one.state === state).length]))
}

function optionsOf(node: SchemaNode): readonly unknown[] | undefined {
  return node.options ?? node.pipe?.[0]?.options
}

function shareOf(node: SchemaNode): Share | undefined {
  return node.pipe?.map((step) => step.metadata?.['x-share']).find((share) => share !== undefined)
}
