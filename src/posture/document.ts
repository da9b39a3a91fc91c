import * as v from 'valibot'

/** The name and version of the status document. A reader accepts this and no other. */
export const SCHEMA = 'enigm-dns/status/1'

const count = v.pipe(v.number(), v.integer(), v.minValue(0))
const time = v.pipe(v.string(), v.isoTimestamp())

const reason = v.object({
  code: v.pipe(v.string(), v.description('Stable; the sentences are not.')),
  severity: v.picklist(['info', 'warn', 'bad']),
  message: v.string(),
  mend: v.string(),
})

const signal = v.object({
  state: v.picklist(['ok', 'warn', 'bad', 'unknown', 'off']),
  since: time,
  reasons: v.pipe(v.array(reason), v.maxLength(24)),
})

const resolver = v.object({
  id: v.string(),
  operator: v.string(),
  state: v.pipe(
    v.picklist(['answering', 'idle', 'failing', 'untried']),
    v.description('idle: its last exchange was answered, and no link is up.'),
  ),
  transport: v.nullable(v.picklist(['dot', 'doh'])),
  authenticated: v.pipe(
    v.nullable(v.picklist(['ca', 'ca+spki', 'no'])),
    v.description('How the peer of the latest answer or handshake proved who it is; null: none yet.'),
  ),
  tlsVersion: v.nullable(v.string()),
  resumed: v.nullable(v.boolean()),
  padding: v.object({ sentBlock: count, repliesPadded: v.picklist(['yes', 'no', 'mixed', 'unknown']) }),
  lastHandshakeAt: v.nullable(time),
  lastAnswerAt: v.nullable(time),
  rttMs: v.pipe(
    v.nullable(v.object({ p50: v.number(), p90: v.number(), p99: v.number(), samples: count })),
    v.description('Over the latest 256 answers at most.'),
  ),
  failures: v.pipe(v.record(v.string(), count), v.description('By error code, since the start.')),
})

/** The status document: the one source of its TypeScript type, of the reader's check, and of schema/status.schema.json. */
export const statusDocument = v.object({
  schema: v.literal(SCHEMA),
  version: v.pipe(v.string(), v.description('Of the program that wrote this.')),
  pid: v.pipe(v.number(), v.integer(), v.minValue(1)),
  processStart: v.optional(
    v.pipe(v.string(), v.maxLength(100), v.description('Boot and start time of the process, opaque: tells a reused pid.')),
  ),
  startedAt: time,
  updatedAt: time,
  heartbeatS: v.pipe(v.number(), v.minValue(0.1), v.description('Older than three of these is stale.')),
  state: v.picklist(['protected', 'degraded', 'exposed', 'offline']),
  signals: v.object({ secureNameResolution: signal, protectedNetwork: signal, policyCompliance: signal, vpn: signal, service: signal }),
  resolvers: v.array(resolver),
  cache: v.object({ entries: count, bytes: count, maxBytes: count, hits: v.optional(count), misses: v.optional(count) }),
  shaping: v.object({ profile: v.string(), inForce: v.picklist(['yes', 'no', 'unknown']), jitterMs: v.pipe(v.number(), v.minValue(0)) }),
  plaintext: v.pipe(
    v.object({ 'captive-portal': count, 'user-exception': count }),
    v.description('Cleartext DNS packets that left the host since the start, by cause.'),
  ),
})

/** What is written, and what a reader gets once it has judged a file. */
export type StatusDocument = v.InferOutput<typeof statusDocument>

/** `value` as a document, or undefined: it may come from anybody. Keys that this version does not know are dropped. */
export function asStatusDocument(value: unknown): StatusDocument | undefined {
  const parsed = v.safeParse(statusDocument, value)
  return parsed.success ? parsed.output : undefined
}
