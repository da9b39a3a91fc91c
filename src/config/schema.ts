import * as v from 'valibot'
import { TRANSPORT_NAMES } from '../transports.ts'
import { allowList, cidrProblem } from './cidr.ts'
import { checked, closed, distinct, integer, text, word } from './fields.ts'
import { listenProblem, parseListen, sameEndpoint } from './listen-address.ts'
import { policySchema, SHAPING_PROFILES } from './policy.ts'
import { transportName } from './trusted-set.ts'

const listenText = v.pipe(text(128), checked(listenProblem))
const cidrText = v.pipe(text(64), checked(cidrProblem))

/** RFC 8467 section 4.1: the block is a power of two; 0 sends no padding, and is for measuring only. */
const queryBlock = v.pipe(
  v.number('must be 0 or a whole number from 16 to 512'),
  v.integer('must be 0 or a whole number from 16 to 512'),
  v.check(
    (block) => block === 0 || (block >= 16 && block <= 512),
    'must be 0 (no padding) or from 16 to 512; 128 is what RFC 8467 advises',
  ),
)

/** What each hides, from whom, and at what cost: docs/shaping.md. */
const profile = word(...SHAPING_PROFILES)

const cache = v.pipe(
  closed({
    /** The places of the table are numbers of 31 bits, of 16 octets each. */
    maxBytes: v.optional(integer(65_536, 34_359_738_368), 33_554_432),
    minTtlS: v.optional(integer(0, 604_800), 0),
    maxTtlS: v.optional(integer(0, 604_800), 86_400),
    /** How long an answer may stand in past its time while no resolver has a newer one (RFC 8767); 0: never. */
    staleMaxS: v.optional(integer(0, 86_400), 86_400),
    /** Whether what is asked again and again is renewed shortly before it expires. */
    prefetch: v.optional(v.boolean('must be true or false'), true),
    /** Whether answers outlive the process: a saved cache is a record of what was asked; see docs/retention.md. */
    persist: v.optional(word('off', 'runtime', 'disk'), 'off'),
  }),
  v.forward(
    v.partialCheck(
      [['minTtlS'], ['maxTtlS']],
      (limits) => limits.minTtlS <= limits.maxTtlS,
      'must not be more than cache.maxTtlS; lower it or raise maxTtlS',
    ),
    ['minTtlS'],
  ),
)

const zoneText = v.pipe(
  text(253),
  v.check(
    (name) => /^[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?$/i.test(name),
    'must be a name in ASCII (xn-- form), as in "home.example"; names below it are meant too',
  ),
)

/** Answers from outside that point inside; see docs/cache.md. */
const rebinding = closed({
  protect: v.optional(v.boolean('must be true or false'), false),
  allow: v.optional(distinct(zoneText, 1000, 0), []),
  allowAddresses: v.optional(distinct(cidrText, 1000, 0), []),
})

const isLoopback = allowList(['127.0.0.0/8', '::1/128'])
const pagePlace = v.pipe(
  text(104),
  v.check(
    (place) => place.startsWith('/') || isLoopback(parseListen(place)?.address ?? ''),
    'must be the absolute path of a Unix socket or a loopback ADDRESS:PORT, as in "127.0.0.1:9153"',
  ),
)

const userText = v.pipe(
  text(64),
  v.check((user) => /^([a-z_][\w.-]*\$?|\d+(:\d+)?)$/i.test(user), 'must be the name of a user, its number, or UID:GID, as in "enigm-dns"'),
)

/** The configuration as a file holds it; every key optional, defaults applied by the schema. */
export const configSchema = closed({
  $schema: v.exactOptional(text(2048)),
  listen: v.optional(
    distinct(listenText, 64, 1, (place) => sameEndpoint(String(place))),
    ['127.0.0.53:53'],
  ),
  resolvers: v.exactOptional(text(4096)),
  use: v.exactOptional(distinct(text(63), 1000)),
  transports: v.optional(distinct(transportName, TRANSPORT_NAMES.length), ['dot', 'doh']),
  usageProfile: v.optional(word('strict', 'opportunistic'), 'strict'),
  padding: v.optional(closed({ queryBlock: v.optional(queryBlock, 128) }), {}),
  shaping: v.optional(closed({ profile: v.optional(profile, 'jitter'), jitterMs: v.optional(integer(0, 2000), 20) }), {}),
  cache: v.optional(cache, {}),
  rebinding: v.optional(rebinding, {}),
  timeoutMs: v.optional(integer(500, 10_000), 4000),
  allowFrom: v.optional(distinct(cidrText, 1000), ['127.0.0.0/8', '::1/128']),
  workers: v.optional(integer(1, 64), 1),
  heartbeatS: v.optional(integer(1, 3600), 10),
  statusFile: v.exactOptional(text(4096)),
  stateDir: v.exactOptional(text(4096)),
  /** As whom the service goes on once root has bound its ports; see docs/files.md. */
  user: v.exactOptional(userText),
  /** What somebody asks of this installation; see docs/policy.md. */
  policy: v.exactOptional(policySchema),
  /** A page and Prometheus metrics for this host; off unless it is named where. */
  page: v.exactOptional(closed({ listen: pagePlace })),
  log: v.optional(closed({ level: v.optional(word('trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'), 'info') }), {}),
  /** How UDP is read: one datagram a call (dgram) or many (batch). */
  udp: v.optional(word('auto', 'dgram', 'batch'), 'auto'),
  /** Which HTTP/2 client carries DoH. */
  dohClient: v.optional(word('node', 'lean'), 'lean'),
})

/** The configuration of a file, defaults applied, paths as written. */
export type ConfigFile = v.InferOutput<typeof configSchema>

/** The configuration in force: paths absolute, `use` the ids of the resolvers that are asked, in order. */
export type Config = Readonly<
  Omit<ConfigFile, '$schema' | 'resolvers' | 'use' | 'statusFile' | 'stateDir'> & {
    resolvers: string
    use: readonly string[]
    statusFile: string
    stateDir: string
  }
>
