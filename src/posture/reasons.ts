import { type ErrorCode, type IdentityCode, inDoubt, isAuthenticationFailure } from '../errors.ts'
import type { Transport } from '../resolve.ts'
import { TRANSPORTS } from '../transports.ts'
import type { ReasonCode } from './reason-codes.ts'
import type { ResolverEvidence } from './state.ts'

export type Severity = 'info' | 'warn' | 'bad'

/** One thing a person should know, and what would mend it. `code` is stable; the sentences are not. */
export interface Reason {
  readonly code: ReasonCode
  readonly severity: Severity
  readonly message: string
  readonly mend: string
}

const RANK: Readonly<Record<Severity, number>> = { bad: 0, warn: 1, info: 2 }
/** More than this helps nobody, and the file stays bounded whatever the trusted set holds. */
const MAX_REASONS = 24

/** Worst first, and no more than fit a report. */
export function worstFirst(reasons: readonly Reason[]): readonly Reason[] {
  return [...reasons].sort((a, b) => RANK[a.severity] - RANK[b.severity]).slice(0, MAX_REASONS)
}

/**
 * Whether every resolver was refused for the dates in its certificate: then it is more likely our clock that is wrong than all of them.
 * False when there is one resolver only and it "expired": that is as likely its own doing.
 */
export function clockSuspect(resolvers: readonly ResolverEvidence[]): boolean {
  const seen = resolvers.map((r) => {
    const code = r.failing === undefined ? undefined : refusal(r)
    return code === undefined ? undefined : inDoubt(code)
  })
  if (seen.length === 0 || !seen.every((doubt) => doubt === 'dates' || doubt === 'clock')) return false
  return seen.length > 1 || seen[0] === 'clock'
}

/**
 * Whether somebody else seems to answer in place of every resolver, as the login page of a network does: each is refused, and on one link at least for the name or the
 * issuer of its certificate, by the latest dial of that link. False for a single resolver that never proved itself: that is as likely a mistake in the trusted set.
 */
export function portalSuspect(resolvers: readonly ResolverEvidence[]): boolean {
  const replaced = (r: ResolverEvidence) =>
    r.failing !== undefined && r.links.some(({ is, code }) => is === 'failed' && code !== undefined && inDoubt(code) === 'stranger')
  if (resolvers.length === 0 || !resolvers.every(replaced)) return false
  return resolvers.length > 1 || resolvers.some((r) => r.lastProtection?.authenticated === true)
}

function refusal(r: ResolverEvidence): ErrorCode | undefined {
  return r.links.find((l) => l.code !== undefined && isAuthenticationFailure(l.code))?.code ?? r.failing?.code
}

/** What is wrong with one resolver: a peer that was refused for who it is, silence, replies without padding. */
export function resolverReasons(r: ResolverEvidence): readonly Reason[] {
  const found = r.links.flatMap((l) =>
    l.code !== undefined && isAuthenticationFailure(l.code) ? [refused(r.setup.id, l.transport, l.code)] : [],
  )
  if (r.failing !== undefined) {
    if (isAuthenticationFailure(r.failing.code)) {
      const [offered] = r.setup.transports
      if (found.length === 0 && offered !== undefined) found.push(refused(r.setup.id, offered, r.failing.code))
    } else {
      found.push(down(r.setup.id, r.failing.code))
    }
  }
  return found
}

function down(id: string, code: ErrorCode): Reason {
  return {
    code: 'resolver-down',
    severity: 'warn',
    message: `${id} does not answer (${code}).`,
    mend: 'It is tried again by itself; does the network block it?',
  }
}

/** What a peer showed that was refused. */
const SHOWN: Readonly<Record<IdentityCode, string>> = {
  'pin-mismatch': 'a key that is not among its pins',
  'certificate-expired': 'an expired certificate',
  'certificate-not-yet-valid': 'a certificate that is not valid yet',
  'certificate-name': 'a certificate for another name',
  'certificate-untrusted': 'a certificate that no trusted authority signed',
}

function refused(id: string, transport: Transport, code: IdentityCode): Reason {
  return {
    code,
    severity: 'warn',
    message: `${id} over ${TRANSPORTS[transport].label} showed ${SHOWN[code]}; it was refused.`,
    mend:
      inDoubt(code) === 'key'
        ? 'Compare the pins with what the operator publishes; else something intercepts.'
        : 'Check the clock and the trusted set; else something intercepts this network.',
  }
}

/** Replies that came back unpadded: a remark. Where the policy requires padding, its rule says so. */
export function unpadded(ids: readonly string[]): Reason {
  return {
    code: 'replies-unpadded',
    severity: 'info',
    message: `${ids.join(', ')}: not every reply is padded; sizes tell something.`,
    mend: 'Prefer a resolver that pads its replies (RFC 8467).',
  }
}
