/** A DNS response code, RFC 6895 section 2.3; up to 12 bits with EDNS. */
export type Rcode = number

/** An extended DNS error, RFC 8914. `text` goes to the client that asked and to nobody else: never into a log. */
export interface Ede {
  readonly code: number
  readonly text?: string
}

/** What a failure means to a client that asked: every code of ours has one row here, so that no caller invents its own. */
const CLIENT_VIEW = {
  deadline: { rcode: 2, ede: 22 },
  'no-upstream': { rcode: 2, ede: 22 },
  'connect-refused': { rcode: 2, ede: 23 },
  'connect-timeout': { rcode: 2, ede: 23 },
  'connect-failed': { rcode: 2, ede: 23 },
  'connection-lost': { rcode: 2, ede: 23 },
  'tls-failed': { rcode: 2, ede: 23 },
  'alpn-missing': { rcode: 2, ede: 23 },
  'certificate-expired': { rcode: 2, ede: 23 },
  'certificate-not-yet-valid': { rcode: 2, ede: 23 },
  'certificate-name': { rcode: 2, ede: 23 },
  'certificate-untrusted': { rcode: 2, ede: 23 },
  'pin-mismatch': { rcode: 2, ede: 23 },
  'http-status': { rcode: 2, ede: 23 },
  'http-type': { rcode: 2, ede: 23 },
  'http-size': { rcode: 2, ede: 23 },
  'http-encoding': { rcode: 2, ede: 23 },
  'reply-mismatch': { rcode: 2, ede: 22 },
  'reply-malformed': { rcode: 2, ede: 22 },
  // The resolver answered that something is wrong between us and it: FORMERR, BADVERS ...
  'reply-rcode': { rcode: 2, ede: 23 },
  // "Blocked" (RFC 8914 section 4.16): by a policy of whoever runs this stub.
  'vpn-required': { rcode: 2, ede: 15 },
  'audit-required': { rcode: 2, ede: 15 },
  'policy-pending': { rcode: 2, ede: 15 },
  overloaded: { rcode: 2, ede: 0 },
  closed: { rcode: 2, ede: 14 },
  config: { rcode: 2, ede: 14 },
  listen: { rcode: 2, ede: 14 },
  state: { rcode: 2, ede: 14 },
  internal: { rcode: 2, ede: 0 },
} as const satisfies Record<string, { rcode: Rcode; ede: number }>

/** The closed list of what can go wrong. Callers ask the code; nobody matches a message. */
export type ErrorCode = keyof typeof CLIENT_VIEW

/** The one error class. `message` is a sentence for a person; it holds no query name and no client address. */
export class EnigmError extends Error {
  readonly code: ErrorCode
  constructor(code: ErrorCode, message: string, options?: { readonly cause?: unknown }) {
    super(message, options)
    this.name = 'EnigmError'
    this.code = code
  }
}

/** `error` itself if it is ours, else an `internal` that keeps it as its cause. */
export function asEnigmError(error: unknown): EnigmError {
  return error instanceof EnigmError ? error : new EnigmError('internal', 'an unexpected fault', { cause: error })
}

/** The code of an error of the system or of Node (ENOENT ...), or undefined. */
export function systemCode(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined
}

/** RCODE and extended error that a client is told for a failure (RFC 8914 section 4). */
export function clientView(code: ErrorCode): { readonly rcode: Rcode; readonly ede: Ede } {
  const row = CLIENT_VIEW[code]
  return { rcode: row.rcode, ede: { code: row.ede, text: code } }
}

const POLICY_REFUSALS: ReadonlySet<ErrorCode> = new Set<ErrorCode>(['vpn-required', 'audit-required', 'policy-pending'])

/** Whether the policy's gate refused: it says nothing of any resolver, and no other one may be asked instead. */
export function isPolicyRefusal(code: ErrorCode): boolean {
  return POLICY_REFUSALS.has(code)
}

/** Whether the failure is about who the peer is, so that only a change of certificate, pin or clock mends it. */
export function isAuthenticationFailure(code: ErrorCode): boolean {
  return code.startsWith('certificate-') || code === 'pin-mismatch'
}

/**
 * Whether it may be the name's doing: its own servers are silent, and nothing comes, or the
 * resolver's front end gives up. Only a probe can tell.
 */
export function mayBeTheName(code: ErrorCode): boolean {
  return code === 'deadline' || code === 'http-status'
}
