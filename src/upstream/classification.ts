import type { TrustedResolver } from '../config/trusted-set.ts'
import { ROOT_PROBE, upstreamQuery } from '../dns/message.ts'
import { nameFromText } from '../dns/name.ts'
import { rcodeText, typeFromText } from '../dns/registries.ts'
import { isFinalFailure, readingOf } from '../dns/response.ts'
import { EnigmError, isAuthenticationFailure, type Rcode } from '../errors.ts'
import type { Carried, ReplyReading, ReplyVerdict } from '../resolve.ts'

const SERVFAIL = 2
const REFUSED = 5
/**
 * The RCODEs that answer a question: NOERROR, NXDOMAIN, and YXDOMAIN, which means that a DNAME made
 * the name too long (RFC 6672 section 2.2).
 */
const OF_THE_NAME: ReadonlySet<Rcode> = new Set([0, 3, 6])

/**
 * Whether an RCODE is about the hop between us and the resolver, and not about the name or its
 * resolution. These are FORMERR, NOTIMP, NOTAUTH with its TSIG errors, BADVERS, BADCOOKIE, and all
 * other codes that do not answer a question (RFC 6895 section 2.3). They are of no use to a client.
 */
export function speaksOfHop(rcode: Rcode): boolean {
  return !OF_THE_NAME.has(rcode) && rcode !== SERVFAIL && rcode !== REFUSED
}

const SETTLED: ReplyVerdict = { final: true, blamesResolver: false, ofHop: false }

/** Classifies a reply by its parsed content. */
export function verdictOn({ rcode, opt }: ReplyReading): ReplyVerdict {
  if (OF_THE_NAME.has(rcode)) return SETTLED
  const final = isFinalFailure(rcode, opt?.ede?.code)
  return { final, blamesResolver: true, ofHop: !final && speaksOfHop(rcode) }
}

/**
 * The query that tests whether `resolver` is alive: that of the trusted set, else a query for the
 * root.
 */
export function probeOf({ probe }: Pick<TrustedResolver, 'probe'>): Uint8Array {
  if (probe === undefined) return ROOT_PROBE
  const type = typeFromText(probe.type) ?? 1
  const name = nameFromText(probe.name)
  const lower = new Uint8Array(name.length + 4)
  lower.set(name)
  lower.set([type >>> 8, type & 255, 0, 1], name.length)
  return upstreamQuery({ lower, type, class: 1 }, false)
}

/**
 * Whether the reply to `probe` refuses a query for the root. A healthy resolver that serves only
 * its own zones refuses it. The reply proves only that the path is alive.
 */
export function refusesRoot(probe: Uint8Array, rcode: Rcode): boolean {
  return probe === ROOT_PROBE && rcode === REFUSED
}

/** A failed attempt. `who` is a transport or a resolver id. */
export interface FailedTry {
  readonly who: string
  readonly error: EnigmError
}

/**
 * Summarizes several errors as one. An identity error comes first, because only a person can fix
 * it; then the code that all errors share; then `deadline`; then `no-upstream`. A single error
 * stays unchanged.
 */
export function mostTelling(what: string, failures: readonly FailedTry[]): EnigmError {
  const first = failures[0]
  if (first === undefined) return new EnigmError('no-upstream', `${what}: nothing to ask`)
  if (failures.length === 1) return first.error
  const telling =
    failures.find((f) => isAuthenticationFailure(f.error.code)) ??
    (failures.every((f) => f.error.code === first.error.code) ? first : failures.find((f) => f.error.code === 'deadline'))
  const list = failures.map((f) => `${f.who}: ${f.error.code}`).join(', ')
  const ofTheName = failures.every((f) => f.error.ofTheName)
  return new EnigmError(telling?.error.code ?? 'no-upstream', `${what} (${list})`, {
    cause: (telling ?? first).error,
    ofTheName,
    hop: telling?.error.hop,
  })
}

/** The error for a reply of the resolver `id` that is about the hop. */
export function hopError(id: string, carried: Carried): EnigmError {
  return new EnigmError('reply-rcode', `${id} answered ${rcodeText(readingOf(carried).rcode)}`)
}
