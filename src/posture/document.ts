import * as v from 'valibot'
import { isRecord } from '../files/json.ts'
import { PROOFS_OF_IDENTITY } from '../resolve.ts'
import { TRANSPORT_NAMES } from '../transports.ts'
import { sourcesPart } from './document-sources.ts'
import { pathDocument } from './path-document.ts'
import { isReasonCode } from './reasons.ts'

/** The name and version of the status document. A reader accepts only this one. */
export const SCHEMA = 'enigm-dns/status/1'

const described = v.description
/**
 * Marks fields that may be shown to others. It becomes `x-share` in the JSON Schema, and `status
 * --redact` uses it.
 */
const KEEP = { 'x-share': 'keep' } as const
const CODE = { 'x-share': 'code' } as const
const COUNT_BY_STATE = { 'x-share': 'count-by-state' } as const
const count = (description: string) => v.pipe(v.number(), v.integer(), v.minValue(0), described(description))
const countOrNull = (description: string) => v.pipe(v.nullable(v.pipe(v.number(), v.integer(), v.minValue(0))), described(description))
const countsByName = (description: string) =>
  v.pipe(v.record(v.string(), v.pipe(v.number(), v.integer(), v.minValue(0))), described(description))
const time = (description: string) => v.pipe(v.string(), v.isoTimestamp(), described(description))
const timeOrNull = (description: string) => v.pipe(v.nullable(v.pipe(v.string(), v.isoTimestamp())), described(description))
const text = (description: string) => v.pipe(v.string(), described(description))
const textOrNull = (description: string) => v.pipe(v.nullable(v.string()), described(description))
const milliseconds = (description: string) => v.pipe(v.number(), described(description))

const reason = v.object({
  code: v.pipe(v.string(), described('One of the codes in docs/status.md. Codes are stable; the sentences may change.'), v.metadata(CODE)),
  severity: v.pipe(v.picklist(['info', 'warn', 'bad']), described('info is a remark; warn and bad need a fix.'), v.metadata(KEEP)),
  message: text('The finding, in a sentence for a person.'),
  mend: text('The fix.'),
})

const signal = (description: string) =>
  v.pipe(
    v.object({
      state: v.pipe(
        v.picklist(['ok', 'warn', 'bad', 'unknown', 'off']),
        described('unknown: there is no evidence. off: the signal has nothing to check.'),
        v.metadata(KEEP),
      ),
      since: time('When the signal entered this state, by the wall clock at that time.'),
      reasons: v.pipe(v.array(reason), v.maxLength(24), described('Worst first; among equals, what a person must do first. At most 24.')),
    }),
    described(description),
  )

const resolver = v.object({
  id: text('Its id in the trusted set.'),
  operator: text('Who runs it, according to the trusted set; its id if nobody named an operator there.'),
  jurisdiction: v.optional(text('The jurisdiction of its operator, according to the trusted set.')),
  pins: v.optional(count('How many SPKI pins the trusted set holds for it. One of them must match.')),
  claims: v.optional(
    v.pipe(
      v.record(v.string(), v.union([v.boolean(), v.string()])),
      described('What the operator states about itself. These are claims, not evidence, including the one about DNSSEC.'),
    ),
  ),
  state: v.pipe(
    v.picklist(['answering', 'idle', 'failing', 'untried']),
    described('idle: its last exchange was answered, and no connection is open.'),
  ),
  transport: v.pipe(
    v.nullable(v.picklist(TRANSPORT_NAMES)),
    described('The transport of the latest answer, or of the latest handshake if there is no answer.'),
  ),
  authenticated: v.pipe(
    v.nullable(v.picklist([...PROOFS_OF_IDENTITY, 'no'])),
    described(
      'How the peer of the latest answer or handshake proved its identity; null: none yet. provider-key: by a DNSCrypt certificate that its pinned provider key signed.',
    ),
  ),
  tlsVersion: textOrNull('The TLS version of the connection over `transport`.'),
  cipher: v.optional(textOrNull('The cipher of the connection over `transport`, by its OpenSSL name.')),
  group: v.optional(textOrNull('The key exchange group of the connection over `transport`; null: none yet, or Node does not report it.')),
  certificateUntil: v.optional(timeOrNull('Until when the certificate of the connection over `transport` is valid.')),
  resumed: v.pipe(
    v.nullable(v.boolean()),
    described('Whether the connection over `transport` resumed a TLS session. If so, the proof is that of an earlier connection.'),
  ),
  padding: v.pipe(
    v.object({
      sentBlock: count('Queries are padded to a multiple of this many octets (RFC 8467); 0: no padding.'),
      repliesPadded: v.pipe(
        v.picklist(['yes', 'no', 'mixed', 'unknown']),
        described('Whether its latest replies (at most 30) were padded.'),
      ),
    }),
    described('Padding in both directions.'),
  ),
  lastHandshakeAt: timeOrNull('When a TLS handshake over `transport` was last completed.'),
  lastAnswerAt: timeOrNull('When it last answered.'),
  rttMs: v.pipe(
    v.nullable(
      v.object({
        p50: milliseconds('Half of the answers took at most this long.'),
        p90: milliseconds('90 % of the answers took at most this long.'),
        p99: milliseconds('99 % of the answers took at most this long.'),
        samples: count('The number of answers behind these figures.'),
        medians: v.optional(
          v.pipe(
            v.array(v.number()),
            v.maxLength(20),
            described(
              'The p50 at earlier heartbeats, oldest first, in whole milliseconds. Only values that differ from the previous one are kept. Their times are not.',
            ),
          ),
        ),
      }),
    ),
    described('Round-trip times of the latest answers, at most 256.'),
  ),
  failures: countsByName('Number of failures since the start, by error code.'),
})

const rule = v.object({
  rule: v.pipe(v.string(), described('The key of `policy` in the configuration.')),
  verdict: v.pipe(
    v.picklist(['met', 'not-met', 'claimed', 'cannot-tell']),
    described('claimed: it depends on what an operator states about itself. cannot-tell: there is no evidence, or none yet.'),
    v.metadata(KEEP),
  ),
  detail: text('The finding, in a sentence.'),
})

const list = v.object({
  id: text('Its id in the configuration.'),
  action: v.pipe(v.picklist(['block', 'allow']), described('What it does with its names.')),
  state: v.pipe(
    v.picklist(['in-force', 'loading', 'missing', 'paused', 'resting']),
    described('missing: it could not be read, and has no effect. paused: by `enigm-dns pause`. resting: not in its hours.'),
  ),
  rules: count('Number of its rules.'),
  skipped: count('Lines that are not used; `enigm-dns check` names the reasons.'),
  blocked: v.optional(count('Questions that it blocked since the start. Repeats that the cache answered are not counted.')),
  readAt: timeOrNull('When its rules were read; null: never.'),
  pausedUntil: v.optional(time('When its pause ends.')),
  fault: v.optional(v.pipe(v.string(), v.maxLength(300), described('Why its latest content is not used.'))),
})

/**
 * The status document: the one source of its TypeScript type, the reader's check, the fields that
 * may be shared, and schema/status.schema.json.
 */
export const statusDocument = v.object({
  schema: v.pipe(v.literal(SCHEMA), described('Name and version of this document. A reader accepts no other.')),
  version: text('The version of the program that wrote this document.'),
  pid: v.pipe(v.number(), v.integer(), v.minValue(1), described('The process that wrote this document.')),
  processStart: v.optional(
    v.pipe(v.string(), v.maxLength(100), described('Boot and start time of the process, opaque. It distinguishes a reused pid.')),
  ),
  startedAt: time('When that process started.'),
  updatedAt: time('When this document was written: at each heartbeat and change of state, not for each query.'),
  heartbeatS: v.pipe(v.number(), v.minValue(0.1), described('The interval of heartbeats. A document older than three intervals is stale.')),
  state: v.pipe(
    v.picklist(['protected', 'degraded', 'exposed', 'offline']),
    described(
      'protected: authenticated answers arrive now. degraded: they arrive, but a requirement of the profile or policy is not met. exposed: answers come from a server that did not prove its identity, `enigm-dns portal` is on, or a forward zone is asked in cleartext that the policy does not name. offline: there are no authenticated answers now.',
    ),
    v.metadata(KEEP),
  ),
  signals: v.pipe(
    v.object({
      secureNameResolution: signal('Whether encrypted answers arrive from trusted resolvers, and the evidence.'),
      protectedNetwork: signal('Whether the policy names this network, and whether the system uses this service.'),
      policyCompliance: signal('Whether the rules of the policy are met.'),
      vpn: signal('Whether every path to a resolver leaves from a VPN interface.'),
      service: signal('Whether the service itself works correctly.'),
    }),
    described('The five signals, each with its reasons.'),
  ),
  proof: v.optional(
    v.pipe(
      v.object({
        lastAnswerAt: timeOrNull('When an authenticated resolver last answered; null: never yet.'),
        ageS: countOrNull('The age of that answer when this document was written.'),
      }),
      described('The newest proof that secure name resolution works. It ages until the next query to a resolver.'),
    ),
  ),
  resolvers: v.pipe(
    v.array(resolver),
    described('The trusted resolvers in use, in order, each with its evidence.'),
    v.metadata(COUNT_BY_STATE),
  ),
  paths: v.optional(
    v.pipe(
      v.array(pathDocument),
      described(
        'The routes to the resolvers, and what each party on them can know. A resolver whose transports take different routes has several.',
      ),
    ),
  ),
  cache: v.pipe(
    v.object({
      entries: count('Number of answers in the cache.'),
      bytes: count('Memory in use.'),
      maxBytes: count('The limit of that memory.'),
      hits: v.optional(count('Queries answered from the cache since the start.')),
      misses: v.optional(
        count(
          'Queries that the cache did not answer since the start: also blocked and failed ones, and those with a local or a stale answer.',
        ),
      ),
      stale: v.optional(count('Stale answers given since the start (RFC 8767).')),
      renewed: v.optional(count('Answers renewed before they expired, since the start.')),
      overloaded: v.optional(count('Queries rejected since the start because too many were in progress.')),
      limited: v.optional(
        count(
          'Queries above a rate limit since the start: UDP queries of other hosts, which were referred to TCP or not answered, and those above `clientQueriesPerS`, which were refused or not answered.',
        ),
      ),
      rebinding: v.optional(count('Answers refused since the start because they held a private address (DNS rebinding).')),
    }),
    described('Totals of the answer cache, and of rejected queries and refused answers.'),
  ),
  shaping: v.pipe(
    v.object({
      profile: text('The configured profile.'),
      inForce: v.pipe(v.picklist(['yes', 'no', 'unknown']), described('Whether it is in force.'), v.metadata(KEEP)),
      why: v.optional(v.pipe(v.string(), v.maxLength(300), described('Why it is not in force.'))),
      jitterMs: v.pipe(v.number(), v.minValue(0), described('The longest delay of the profile `jitter`.')),
    }),
    described('Traffic shaping. How much of the traffic are covers is never shown.'),
  ),
  plaintext: countsByName(
    'Number of cleartext DNS packets that this service sent since the start, by cause. Under `strict` each number is 0 unless a user allowed that cause by name: `captive-portal` with the command `enigm-dns portal`, `split-dns` with the setting `allowCleartext`, `dnscrypt-certificate` with `allowDnscryptCertificates`.',
  ),
  plaintextAllowed: v.optional(
    v.pipe(
      v.array(v.pipe(v.string(), v.maxLength(40))),
      v.maxLength(16),
      described('The causes that a user allowed by name since the start, including those that have ended.'),
    ),
  ),
  bypassed: v.optional(
    v.pipe(
      v.object({
        seen: v.pipe(v.picklist(['yes', 'cannot-tell']), described('Never "no": traffic that is not seen may exist.'), v.metadata(KEEP)),
        atLeast: v.pipe(
          v.nullable(v.pipe(v.number(), v.integer(), v.minValue(1))),
          described('How many flows were seen; null: none was seen, which proves nothing.'),
        ),
        looks: count('Number of checks.'),
        through: v.pipe(v.array(v.picklist(['sockets', 'conntrack'])), described('The sources of the kernel that could be read.')),
      }),
      described('Traffic of other programs to port 53 of other servers, as far as it was seen since the start.'),
    ),
  ),
  policy: v.optional(
    v.pipe(
      v.object({
        network: textOrNull('The name that the policy gives to this network; null: the policy does not name it.'),
        rules: v.pipe(v.array(rule), v.maxLength(64), described('Each rule in force here, with its verdict.')),
      }),
      described('The rules of the policy. Absent: no policy is configured.'),
    ),
  ),
  audit: v.optional(
    v.pipe(
      v.object({
        state: v.pipe(v.picklist(['writing', 'unwritable']), described('Whether the latest entry could be written.'), v.metadata(KEEP)),
        entries: count('Entries since the log began.'),
        lost: count('Events that could not be written, or whose entries were removed, since the start.'),
      }),
      described('The audit log. Absent: no audit log is kept.'),
    ),
  ),
  sources: v.optional(sourcesPart),
  trace: v.optional(
    v.pipe(
      v.object({
        state: v.pipe(v.picklist(['on']), described('The trace is on.'), v.metadata(KEEP)),
        until: time('When it ends at the latest.'),
      }),
      described('A user with the rights of this service sees every query (`enigm-dns trace`). Absent: no trace runs.'),
    ),
  ),
  lists: v.optional(
    v.pipe(
      v.array(list),
      v.maxLength(64),
      described('The lists of names, in the order of the configuration. Absent: no list is configured. It never holds a name from a list.'),
      v.metadata(COUNT_BY_STATE),
    ),
  ),
  running: v.optional(
    v.pipe(
      v.object({
        restarts: countOrNull('Number of earlier starts in this boot; null: not known.'),
        lateMs: milliseconds('How late the latest heartbeat was. It is late when the event loop is busy.'),
        worstLateMs: milliseconds('The longest delay of a heartbeat since the start, not counting sleep.'),
        faults: count('Number of internal faults caught since the start.'),
      }),
      described('How well the service itself runs.'),
    ),
  ),
})

/**
 * `plaintext` of a document before any packet was sent. test/ledger.test.ts lists all code that can
 * open a socket. Each entry there says why it sends no cleartext DNS, or which event counts it. A
 * change that adds a sender must add its count, its event and its reason.
 */
export const NOTHING_IN_CLEARTEXT = { 'captive-portal': 0, 'split-dns': 0, 'dnscrypt-certificate': 0 } as const

/** A status document, as it is written and as a reader gets it after validation. */
export type StatusDocument = v.InferOutput<typeof statusDocument>

/**
 * Validates `value`, which may come from anybody. Returns the document, or undefined. Unknown keys
 * are dropped.
 */
export function asStatusDocument(value: unknown): StatusDocument | undefined {
  const parsed = v.safeParse(statusDocument, value)
  return parsed.success ? parsed.output : undefined
}

/** The name and version of the document that may be given to others. */
export const REDACTED_SCHEMA = 'enigm-dns/status-redacted/1'

/**
 * How a field is shared, according to its mark in the schema. A field without a mark is left out.
 */
export type Share = 'keep' | 'count-by-state' | 'code'

/**
 * The part of a document that may be shown to others: of the fields that the schema marks
 * (`x-share`), their predefined words, codes and counts. A field without a mark is left out.
 */
export function redacted(value: unknown): Readonly<Record<string, unknown>> {
  const kept = pick(statusDocument, value)
  return { ...(isRecord(kept) ? kept : {}), schema: REDACTED_SCHEMA }
}

/** The parts of a valibot schema that `walk` reads. */
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
  return items.length === 0 && (value.length > 0 || !isMarked(item)) ? undefined : items
}

/** Whether a schema has marked fields. If not, even an empty list would say that there are none. */
function isMarked(node: SchemaNode): boolean {
  const bare = node.wrapped ?? node
  if ((shareOf(node) ?? shareOf(bare)) !== undefined) return true
  return [...Object.values(bare.entries ?? {}), ...(bare.item === undefined ? [] : [bare.item])].some(isMarked)
}

/** The value if it is a predefined word. Free text is left out, even if the field is marked. */
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
