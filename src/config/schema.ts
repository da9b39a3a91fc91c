import * as v from 'valibot'
import { parseCidr } from './cidr.ts'
import { closed, distinct, integer, text, word } from './fields.ts'
import { parseListen } from './listen-address.ts'
import { transportName } from './trusted-set.ts'

const listenText = v.pipe(
  text(128),
  v.check((address) => parseListen(address) !== undefined, 'must be ADDRESS:PORT, as in "127.0.0.53:53" or "[::1]:53"'),
)
const cidrText = v.pipe(
  text(64),
  v.check((cidr) => parseCidr(cidr) !== undefined, 'must be a block of addresses, as in "127.0.0.0/8" or "fd00::/8"'),
)

/** RFC 8467 section 4.1: the block is a power of two; 0 sends no padding, and is for measuring only. */
const queryBlock = v.pipe(
  v.number('must be 0 or a whole number from 16 to 512'),
  v.integer('must be 0 or a whole number from 16 to 512'),
  v.check(
    (block) => block === 0 || (block >= 16 && block <= 512),
    'must be 0 (no padding) or from 16 to 512; 128 is what RFC 8467 advises',
  ),
)

/** Known to the contract, refused until the schedule behind it exists: a profile must never claim more than it does. */
const profile = v.pipe(
  word('off', 'jitter', 'lite', 'balanced', 'always-on'),
  v.check((name) => name === 'off' || name === 'jitter', 'is not built yet: use off or jitter'),
)

const cache = v.pipe(
  closed({
    maxBytes: v.optional(integer(65_536, 68_719_476_736), 33_554_432),
    minTtlS: v.optional(integer(0, 604_800), 0),
    maxTtlS: v.optional(integer(0, 604_800), 86_400),
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

/** The configuration as a file holds it; every key optional, defaults applied by the schema. */
export const configSchema = closed({
  $schema: v.exactOptional(text(2048)),
  listen: v.optional(distinct(listenText, 64), ['127.0.0.53:53']),
  resolvers: v.exactOptional(text(4096)),
  use: v.exactOptional(distinct(text(63), 1000)),
  transports: v.optional(distinct(transportName, 2), ['dot', 'doh']),
  usageProfile: v.optional(word('strict', 'opportunistic'), 'strict'),
  padding: v.optional(closed({ queryBlock: v.optional(queryBlock, 128) }), {}),
  shaping: v.optional(closed({ profile: v.optional(profile, 'jitter'), jitterMs: v.optional(integer(0, 2000), 20) }), {}),
  cache: v.optional(cache, {}),
  timeoutMs: v.optional(integer(500, 10_000), 4000),
  allowFrom: v.optional(distinct(cidrText, 1000), ['127.0.0.0/8', '::1/128']),
  workers: v.optional(integer(1, 64), 1),
  heartbeatS: v.optional(integer(1, 3600), 10),
  statusFile: v.exactOptional(text(4096)),
  stateDir: v.exactOptional(text(4096)),
  log: v.optional(closed({ level: v.optional(word('trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'), 'info') }), {}),
  /** How UDP is read: one datagram a call (dgram) or many (batch). */
  udp: v.optional(word('auto', 'dgram', 'batch'), 'auto'),
  /** Which HTTP/2 client carries DoH. */
  dohClient: v.optional(word('node', 'lean'), 'node'),
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
