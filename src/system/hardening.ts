import { writeFileSync } from 'node:fs'
import { constants, setPriority } from 'node:os'

/**
 * Protects this process, which sees every queried name. Must be called first in the main thread,
 * before any file is made. Never throws.
 *
 * - SIGUSR1 does not open the inspector, which would let another process read our memory. Our
 *   handler replaces Node's. Until this function runs (about 40 ms after the start on Node 20), the
 *   signal still opens the inspector. The systemd unit and file permissions protect that time.
 * - A core dump contains no memory. The filter applies to the whole process (core(5)), and also to
 *   `core_pattern` pipes, which ignore a limit of 0. Node cannot call setrlimit, so the unit sets
 *   `LimitCORE=0`.
 * - Files are private unless their mode is set explicitly: umask 077.
 */
export function harden(): void {
  process.on('SIGUSR1', () => {})
  process.umask(0o077)
  if (process.platform !== 'linux') return
  try {
    writeFileSync('/proc/self/coredump_filter', '0')
  } catch {
    // Without /proc, or with a read-only one, only LimitCORE=0 protects.
  }
}

/**
 * Gives the calling thread the lowest priority, so that long work does not delay answers. This
 * works only on Linux, where a thread has its own priority (setpriority(2)); elsewhere it would be
 * that of the whole process. Never throws.
 */
export function yieldThread(): void {
  if (process.platform !== 'linux') return
  try {
    setPriority(0, constants.priority.PRIORITY_LOW)
  } catch {
    // Then the thread keeps its priority.
  }
}

/**
 * Finds settings in the environment or on Node's command line that would weaken TLS, record its
 * keys, or open a debugger. Returns one sentence with the fix for each; empty: the environment is
 * safe. The sentences do not repeat values of the environment. `execArgv` is process.execArgv.
 */
export function unsafeEnvironment(env: Readonly<Record<string, string | undefined>>, execArgv: readonly string[]): readonly string[] {
  const problems: string[] = []
  for (const [name, { isUnsafe, why }] of Object.entries(VARIABLES)) {
    const value = env[name]
    if (value !== undefined && isUnsafe(value)) problems.push(`${name} is set: ${why}; unset it.`)
  }
  for (const flag of flagsOf(execArgv)) problems.push(`Node was started with ${flag.name}: ${flag.why}; start it without.`)
  const inOptions = flagsOf(tokens(env.NODE_OPTIONS ?? ''))
  for (const flag of inOptions) problems.push(`NODE_OPTIONS holds ${flag.name}: ${flag.why}; take it out.`)
  return problems
}

const VARIABLES: Readonly<Record<string, { readonly isUnsafe: (value: string) => boolean; readonly why: string }>> = {
  // Node checks for exactly "0".
  NODE_TLS_REJECT_UNAUTHORIZED: { isUnsafe: (value) => value === '0', why: 'it turns off the check of certificates' },
  // Node ignores an empty value. The null device is empty too, and some people use it to switch off
  // a system setting.
  OPENSSL_CONF: { isUnsafe: (value) => value !== '' && value !== '/dev/null', why: 'it lets a file of OpenSSL weaken TLS' },
  SSLKEYLOGFILE: { isUnsafe: (value) => value !== '', why: 'it writes TLS session keys to a file' },
}

/** The unsafe options, by the prefix of their name without hyphens. */
const FLAGS: readonly (readonly [prefix: string, why: string])[] = [
  ['tls-keylog', 'it writes TLS session keys to a file'],
  ['trace-tls', 'it writes decrypted TLS records to stderr'],
  ['tls-cipher-list', 'it chooses the ciphers of TLS, and may choose none at all'],
  ['tls-min-v1.0', 'it allows TLS versions that RFC 8996 retired'],
  ['tls-min-v1.1', 'it allows TLS versions that RFC 8996 retired'],
  ['tls-max-v1.2', 'it disables TLS 1.3'],
  ['inspect', 'a debugger can read every query'],
  ['heapsnapshot', 'it writes every name that is kept to a file'],
  ['heap-prof', 'it writes what the process does to a file'],
  ['openssl-legacy-provider', 'it brings retired ciphers back'],
  ['openssl-shared-config', 'it lets a file of OpenSSL weaken TLS'],
  ['openssl-config', 'it lets a file of OpenSSL weaken TLS'],
  ['insecure-http-parser', 'it accepts malformed HTTP'],
  ['security-revert', 'it brings back faults of Node that were fixed'],
  ['experimental-config-file', 'it lets a file set any of these options'],
  ['experimental-default-config-file', 'it lets a file set any of these options'],
]

function flagsOf(argv: readonly string[]): readonly { readonly name: string; readonly why: string }[] {
  return argv.flatMap((argument) => {
    if (!argument.startsWith('--')) return []
    // Node accepts --inspect_brk for --inspect-brk.
    const name = (argument.split('=', 1)[0] ?? '').replaceAll('_', '-')
    const row = FLAGS.find(([prefix]) => name.startsWith(`--${prefix}`))
    return row === undefined ? [] : [{ name: `--${row[0]}`, why: row[1] }]
  })
}

/**
 * Splits NODE_OPTIONS as Node does: at spaces. Double quotes group words, and inside them a
 * backslash escapes the next character.
 */
function tokens(options: string): readonly string[] {
  const found = options.match(/(?:"(?:\\.|[^"\\])*"?|[^\s"])+/g) ?? []
  return found.map((token) => token.replace(/"((?:\\.|[^"\\])*)"?/g, (_, inner: string) => inner.replace(/\\(.)/g, '$1')))
}
