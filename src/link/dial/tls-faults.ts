import { EnigmError, type ErrorCode, isAuthenticationFailure, isOfHop, reachedPeer } from '../../errors.ts'

/**
 * Our codes for error names of Node and OpenSSL. Other names become `tls-failed`, or
 * `connect-failed` if TLS has not begun.
 */
const CODES: Readonly<Record<string, ErrorCode>> = {
  ECONNREFUSED: 'connect-refused',
  ETIMEDOUT: 'connect-timeout',
  CERT_HAS_EXPIRED: 'certificate-expired',
  CERT_NOT_YET_VALID: 'certificate-not-yet-valid',
  ERR_TLS_CERT_ALTNAME_INVALID: 'certificate-name',
  HOSTNAME_MISMATCH: 'certificate-name',
  ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL: 'alpn-missing',
}

/** Further results of OpenSSL's X.509 verification (crypto/x509/x509_txt.c, as Node names them). */
const UNTRUSTED = new Set([
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'UNABLE_TO_DECRYPT_CERT_SIGNATURE',
  'UNABLE_TO_DECODE_ISSUER_PUBLIC_KEY',
  'CERT_SIGNATURE_FAILURE',
  'CERT_UNTRUSTED',
  'CERT_REJECTED',
  'CERT_REVOKED',
  'CERT_CHAIN_TOO_LONG',
  'ERROR_IN_CERT_NOT_BEFORE_FIELD',
  'ERROR_IN_CERT_NOT_AFTER_FIELD',
  'INVALID_CA',
  'INVALID_PURPOSE',
  'PATH_LENGTH_EXCEEDED',
  'UNSPECIFIED',
])

/** The error codes of connect(2) that mean that nothing could be sent to an address. */
const NO_ROUTE = new Set(['ENETUNREACH', 'EHOSTUNREACH', 'ENETDOWN', 'EADDRNOTAVAIL', 'EAFNOSUPPORT', 'EACCES', 'EPERM', 'EINVAL'])

/** Whether a dial failed before anything left this host. */
export function hadNoRoute(error: unknown): boolean {
  if (!(error instanceof EnigmError)) return false
  if (isOfHop(error.code)) return hadNoRoute(error.cause)
  return error.code === 'connect-failed' && NO_ROUTE.has(stringOf(error.cause, 'code'))
}

const stringOf = (error: unknown, key: 'code' | 'message'): string => {
  const value = typeof error === 'object' && error !== null ? Reflect.get(error, key) : undefined
  return typeof value === 'string' ? value : ''
}

/** Our code for the result of a chain verification. `node`: Node's name for the result. */
export function certificateCode(node: string): ErrorCode {
  return CODES[node] ?? (UNTRUSTED.has(node) ? 'certificate-untrusted' : 'tls-failed')
}

/**
 * Converts an error of a dial to ours. `tcpUp`: whether the peer had accepted the TCP connection.
 * The result contains only Node's own code or sentence.
 */
export function dialFault(error: unknown, tcpUp: boolean): EnigmError {
  if (error instanceof EnigmError) return error
  const node = stringOf(error, 'code')
  const code = CODES[node] ?? (UNTRUSTED.has(node) ? 'certificate-untrusted' : tcpUp ? 'tls-failed' : 'connect-failed')
  return new EnigmError(code, node === '' ? stringOf(error, 'message') : node, { cause: error })
}

/**
 * Chooses the error to report from the errors of several addresses. An identity error comes before
 * an error of reachability.
 */
export function tellingFault(faults: readonly EnigmError[]): EnigmError {
  const rank = (e: EnigmError) => (isAuthenticationFailure(e.code) ? 0 : reachedPeer(e.code) ? 1 : 2)
  const [first] = faults.toSorted((a, b) => rank(a) - rank(b))
  return first ?? new EnigmError('connect-failed', 'there is no address to dial')
}
