/** A DNS response code, RFC 6895 section 2.3; up to 12 bits with EDNS. */
export type Rcode = number

/**
 * An extended DNS error, RFC 8914. `text` is sent to the client that asked and to nobody else, and
 * never logged.
 */
export interface Ede {
  readonly code: number
  readonly text?: string
}

/**
 * The properties of a code: a row of the table below. Each property of a code is a column, and no
 * other file has a list of codes:
 * - `rcode`, `ede`: the answer to a client (RFC 8914 section 4); the code itself is the text of the
 *   EDE.
 * - `blame`: the cause: a rule of the person who runs this stub (`policy`), this host (`local`), a
 *   common problem of all resolvers, reported by the posture (`around`), a bug of ours (`bug`), the
 *   network or the resolver (`path`), a hop of the route (`hop`), or a peer that is not the one it
 *   should be (`identity`). Only a change of certificate, pin or clock ends the last one.
 * - `reached`: how far it came: to `nobody`; to the `peer`, by TCP, but TLS failed; or the question
 *   was sent (`asked`), and no usable reply came.
 * - `against`: when the failure counts against the path. `yes`: always. `silent`: if nothing else
 *   came meanwhile. `wait`: if nothing came although there was time. `probe`: only if it was a
 *   probe, since the name may be the cause. `silent-probe`: a probe, and nothing came although
 *   there was time. `repeated`: always, but a single one is no reason for doubt, because the
 *   resolver itself answered. `no`: never. `uncounted`: never, and it is not in the counts of
 *   failures.
 * - `stale`: whether an expired answer may be used instead (RFC 8767).
 * - `blocked`: whether a network that blocks the port causes this error.
 * - `doubts`: what to check after a peer was refused: its `key`, the `dates` of its certificate,
 *   the `clock` here, or whether it is a `stranger`.
 */
type CodeRow = readonly [
  rcode: Rcode,
  ede: number,
  blame: 'policy' | 'local' | 'around' | 'bug' | 'path' | 'hop' | 'identity',
  reached: 'nobody' | 'peer' | 'asked',
  against: 'yes' | 'silent' | 'wait' | 'probe' | 'silent-probe' | 'repeated' | 'no' | 'uncounted',
  stale: 'stale' | 'no-stale',
  blocked: 'blocked' | '-',
  doubts: 'key' | 'dates' | 'clock' | 'stranger' | '-',
]

// biome-ignore format: a table is read by its columns
const TABLE = {
  //                          rcode EDE blame       reached   against         stale       blocked    doubts
  deadline:                    [2, 22, 'path',     'asked',  'silent-probe', 'stale',    'blocked', '-'],
  'no-upstream':               [2, 22, 'path',     'nobody', 'yes',          'stale',    '-',       '-'],
  'connect-refused':           [2, 23, 'path',     'nobody', 'yes',          'stale',    'blocked', '-'],
  'connect-timeout':           [2, 23, 'path',     'nobody', 'wait',         'stale',    'blocked', '-'],
  'connect-failed':            [2, 23, 'path',     'nobody', 'yes',          'stale',    '-',       '-'],
  'connection-lost':           [2, 23, 'path',     'asked',  'silent',         'stale',    '-',       '-'],
  'tls-failed':                [2, 23, 'path',     'peer',   'yes',          'stale',    '-',       '-'],
  'alpn-missing':              [2, 23, 'path',     'peer',   'yes',          'stale',    '-',       '-'],
  'certificate-expired':       [2, 23, 'identity', 'peer',   'yes',          'stale',    '-',       'dates'],
  'certificate-not-yet-valid': [2, 23, 'identity', 'peer',   'yes',          'stale',    '-',       'clock'],
  'certificate-name':          [2, 23, 'identity', 'peer',   'yes',          'stale',    '-',       'stranger'],
  'certificate-untrusted':     [2, 23, 'identity', 'peer',   'yes',          'stale',    '-',       'stranger'],
  'pin-mismatch':              [2, 23, 'identity', 'peer',   'yes',          'stale',    '-',       'key'],
  'http-status':               [2, 23, 'path',     'asked',  'probe',        'stale',    '-',       '-'],
  'http-type':                 [2, 23, 'path',     'asked',  'yes',          'stale',    '-',       '-'],
  'http-size':                 [2, 23, 'path',     'asked',  'yes',          'stale',    '-',       '-'],
  'http-encoding':             [2, 23, 'path',     'asked',  'yes',          'stale',    '-',       '-'],
  'reply-mismatch':            [2, 22, 'path',     'asked',  'yes',          'stale',    '-',       '-'],
  'reply-malformed':           [2, 22, 'path',     'asked',  'yes',          'stale',    '-',       '-'],
  // The target of an oblivious query has another key: one failure is no doubt, because it answered.
  'target-key':                [2, 23, 'path',     'asked',  'repeated',     'stale',    '-',       '-'],
  // A hop of the route (route.ts); the error names it. Nothing was sent to the resolver.
  'hop-unreachable':           [2, 23, 'hop',      'nobody', 'yes',          'stale',    '-',       '-'],
  'hop-refused':               [2, 23, 'hop',      'nobody', 'yes',          'stale',    '-',       '-'],
  'hop-credentials':           [2, 23, 'hop',      'nobody', 'yes',          'stale',    '-',       '-'],
  'hop-untrusted':             [2, 23, 'hop',      'nobody', 'yes',          'stale',    '-',       '-'],
  'hop-failed':                [2, 23, 'hop',      'nobody', 'yes',          'stale',    '-',       '-'],
  // The resolver reported an error between us and it: FORMERR, BADVERS ...
  'reply-rcode':               [2, 23, 'path',     'asked',  'repeated',     'stale',    '-',       '-'],
  // "Not Ready" (RFC 8914 section 4.15): every resolver is refused because of the dates in its
  // certificate.
  'clock-suspect':             [2, 14, 'around',   'nobody', 'no',           'stale',    '-',       '-'],
  'portal-suspected':          [2, 23, 'around',   'nobody', 'no',           'stale',    '-',       '-'],
  // "Blocked" (RFC 8914 section 4.16): by a policy of the person who runs this stub.
  'vpn-required':              [2, 15, 'policy',   'nobody', 'no',           'no-stale', '-',       '-'],
  'audit-required':            [2, 15, 'policy',   'nobody', 'no',           'no-stale', '-',       '-'],
  'separation-required':       [2, 15, 'policy',   'nobody', 'no',           'no-stale', '-',       '-'],
  'policy-pending':            [2, 15, 'policy',   'nobody', 'no',           'no-stale', '-',       '-'],
  overloaded:                  [2,  0, 'local',    'nobody', 'no',           'stale',    '-',       '-'],
  // The server of a forward zone asks us: a loop.
  'forward-loop':              [2, 22, 'local',    'nobody', 'no',           'stale',    '-',       '-'],
  closed:                      [2, 14, 'local',    'nobody', 'uncounted',    'no-stale', '-',       '-'],
  config:                      [2, 14, 'local',    'nobody', 'no',           'no-stale', '-',       '-'],
  listen:                      [2, 14, 'local',    'nobody', 'no',           'no-stale', '-',       '-'],
  state:                       [2, 14, 'local',    'nobody', 'no',           'stale',    '-',       '-'],
  // A file or an address that the configuration names as the source of a list.
  source:                      [2, 14, 'local',    'nobody', 'no',           'stale',    '-',       '-'],
  internal:                    [2,  0, 'bug',      'nobody', 'no',           'stale',    '-',       '-'],
} as const satisfies Readonly<Record<string, CodeRow>>

/** The closed list of error codes. Callers check the code; no code matches a message. */
export type ErrorCode = keyof typeof TABLE

/** The codes with this blame, as a type. A record keyed by it must list them all. */
type CodesOf<Blame extends CodeRow[2]> = { [C in ErrorCode]: (typeof TABLE)[C][2] extends Blame ? C : never }[ErrorCode]
/** The peer is not authenticated. */
export type IdentityCode = CodesOf<'identity'>
/** A hop of the route failed, before anything was sent to the resolver. */
export type HopCode = CodesOf<'hop'>
/** The policy's gate refuses. */
export type PolicyCode = CodesOf<'policy'>
/** The common problems of all resolvers; the reasons of the status have the same names. */
export type AroundCode = CodesOf<'around'>

/**
 * The one error class. `message` is a sentence for a person; it contains no query name and no
 * client address.
 */
export class EnigmError extends Error {
  readonly code: ErrorCode
  /**
   * The question itself is the cause: it failed in the same way alone on a connection of its own.
   */
  readonly ofTheName: boolean
  /** The hop of the route that failed (its name in `proxies`, or the id of a relay). */
  readonly hop: string | undefined
  constructor(
    code: ErrorCode,
    message: string,
    options?: { readonly cause?: unknown; readonly ofTheName?: boolean; readonly hop?: string | undefined },
  ) {
    super(message, options)
    this.ofTheName = options?.ofTheName === true
    this.hop = options?.hop
    this.name = 'EnigmError'
    this.code = code
  }
}

/** `error` itself if it is an EnigmError, else an `internal` with it as the cause. */
export function asEnigmError(error: unknown): EnigmError {
  return error instanceof EnigmError ? error : new EnigmError('internal', 'an unexpected fault', { cause: error })
}

/** The code of an error of the system or of Node (ENOENT ...), or undefined. */
export function systemCode(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined
}

/** Whether `text` is one of our codes. */
export function isErrorCode(text: string): text is ErrorCode {
  return Object.hasOwn(TABLE, text)
}

/** A row as an object with the names of its columns. */
function rowOf(code: ErrorCode) {
  const [rcode, ede, blame, reached, against, stale, blocked, doubts]: CodeRow = TABLE[code]
  return { rcode, ede, blame, reached, against, stale, blocked, doubts }
}

/**
 * RCODE and extended error that a client gets for a failure (RFC 8914 section 4). `hop`: the hop of
 * the route that failed.
 */
export function clientView(code: ErrorCode, hop?: string): { readonly rcode: Rcode; readonly ede: Ede } {
  const { rcode, ede } = rowOf(code)
  return { rcode, ede: { code: ede, text: hop === undefined ? code : `${code}: ${hop}` } }
}

/**
 * Whether the policy's gate refused: that is no evidence about a resolver, and no other one may be
 * asked instead.
 */
export function isPolicyRefusal(code: ErrorCode): code is PolicyCode {
  return rowOf(code).blame === 'policy'
}

/** Whether a reason of the status names a common problem of all resolvers. */
export function isAround(code: string): code is AroundCode {
  return isErrorCode(code) && rowOf(code).blame === 'around'
}

/**
 * Whether the failure is about the peer's identity, so that only a change of certificate, pin or
 * clock fixes it.
 */
export function isAuthenticationFailure(code: ErrorCode): code is IdentityCode {
  return rowOf(code).blame === 'identity'
}

/** Whether a hop of the route failed. */
export function isOfHop(code: ErrorCode): code is HopCode {
  return rowOf(code).blame === 'hop'
}

/**
 * Whether the failure is one of ours (a full queue, a shutdown, a bug, the policy): it is no
 * evidence about a resolver, and another path would not help.
 */
export function isOurs(code: ErrorCode): boolean {
  const { blame } = rowOf(code)
  return blame !== 'path' && blame !== 'hop' && blame !== 'identity'
}

/** Whether it is a bug in this program that a person cannot fix. */
export function isBug(code: ErrorCode): boolean {
  return rowOf(code).blame === 'bug'
}

/** Whether it counts as a failure of its resolver: a connection that we closed does not. */
export function isCounted(code: ErrorCode): boolean {
  return rowOf(code).against !== 'uncounted'
}

/** Whether the question was sent, and no usable reply came. */
export function wasAsked(code: ErrorCode): boolean {
  return rowOf(code).reached === 'asked'
}

/** Whether a dial reached the peer, and TLS then failed or the peer was refused. */
export function reachedPeer(code: ErrorCode): boolean {
  return rowOf(code).reached === 'peer'
}

/**
 * Whether an expired answer may be used instead (RFC 8767): not if a policy refused, or at a
 * shutdown.
 */
export function mayServeStale(code: ErrorCode): boolean {
  return rowOf(code).stale === 'stale'
}

/**
 * Whether the name may be the cause: its own servers are silent, or the resolver's front end gives
 * up on it. Only a probe shows which.
 */
export function mayBeTheName({ code, ofTheName }: EnigmError): boolean {
  const { against } = rowOf(code)
  return ofTheName || against === 'probe' || against === 'silent-probe'
}

/**
 * Whether the resolver itself answered, so that a single failure of this kind causes no doubt about
 * it.
 */
export function provesAlive(code: ErrorCode): boolean {
  return rowOf(code).against === 'repeated'
}

/**
 * The circumstances of a failed exchange: whether nothing at all came back meanwhile, whether there
 * was enough time for an answer, and whether it was a probe.
 */
export interface FailureCircumstances {
  readonly silent: boolean
  readonly hadTime: boolean
  readonly probe: boolean
}

/** Whether a failed exchange counts against its path. */
export function speaksAgainst({ code, ofTheName }: EnigmError, { silent, hadTime, probe }: FailureCircumstances): boolean {
  if (ofTheName) return probe
  switch (rowOf(code).against) {
    case 'yes':
    case 'repeated':
      return true
    case 'silent':
      return silent
    case 'wait':
      return silent && hadTime
    case 'probe':
      return probe
    case 'silent-probe':
      return probe && silent && hadTime
    case 'no':
    case 'uncounted':
      return false
  }
}

/** Whether a network that blocks the port causes this error. */
export function looksBlocked(code: ErrorCode): boolean {
  return rowOf(code).blocked === 'blocked'
}

/**
 * What a refused peer puts in doubt; undefined: the code is of another kind. An expired
 * certificate may really be expired. One that is not valid yet suggests that our clock is wrong.
 */
export function inDoubt(code: ErrorCode): Exclude<CodeRow[7], '-'> | undefined {
  const { doubts } = rowOf(code)
  return doubts === '-' ? undefined : doubts
}
