import { isIP } from 'node:net'
import type { Duplex } from 'node:stream'
import { addressOctets } from '../../config/cidr.ts'
import type { Place } from '../../route.ts'
import { HopFault, octetsFrom } from './hop-reading.ts'
import type { Login } from './hops.ts'

/** RFC 1928 and RFC 1929. */
const VERSION = 5
const NO_AUTHENTICATION = 0
const BY_PASSWORD = 2
const NONE_ACCEPTABLE = 0xff
const LOGIN_VERSION = 1
const CONNECT = 1
const IPV4 = 1
const NAME = 3
const IPV6 = 4

/**
 * The reply codes about the next host (RFC 1928 section 6): network unreachable, host unreachable,
 * connection refused, time exceeded. Tor sends the last one if a circuit fails. Codes from 0xf0 are
 * Tor's, about an onion service (proposal 304).
 */
const ABOUT_NEXT: ReadonlySet<number> = new Set([3, 4, 5, 6])
const REPLIES: readonly string[] = [
  'succeeded',
  'general failure',
  'not allowed by its rules',
  'network unreachable',
  'host unreachable',
  'connection refused',
  'time exceeded',
  'command not supported',
  'address type not supported',
]
const NOT_ALLOWED = 2
const REFUSED = 5

/**
 * Asks a SOCKS5 proxy on `stream` for a connection to `next`. Rejects with a HopFault. `isolated`:
 * the proxy must keep operators apart, so only the login method is offered.
 */
export async function connectBySocks5(stream: Duplex, next: Place, login: Login | undefined, isolated: boolean): Promise<void> {
  const methods = login === undefined ? [NO_AUTHENTICATION] : isolated ? [BY_PASSWORD] : [BY_PASSWORD, NO_AUTHENTICATION]
  stream.write(Uint8Array.of(VERSION, methods.length, ...methods))
  const [version = 0, method = 0] = await octetsFrom(stream, 2)
  if (version !== VERSION) throw new HopFault('hop-failed', 'does not speak SOCKS5')
  if (method === NONE_ACCEPTABLE)
    throw new HopFault('hop-credentials', login === undefined ? 'requires a user name' : 'accepts no user name')
  if (!methods.includes(method)) throw new HopFault('hop-failed', 'chose a method that was not offered')
  if (method === BY_PASSWORD && login !== undefined) await logIn(stream, login)
  stream.write(Buffer.concat([Uint8Array.of(VERSION, CONNECT, 0), addressOf(next)]))
  const [replyVersion, reply = 1, , type] = await octetsFrom(stream, 4)
  if (replyVersion !== VERSION) throw new HopFault('hop-failed', 'sent a malformed reply')
  if (reply !== 0) throw refusal(reply)
  const length = type === IPV4 ? 4 : type === IPV6 ? 16 : type === NAME ? ((await octetsFrom(stream, 1))[0] ?? 0) : undefined
  if (length === undefined) throw new HopFault('hop-failed', 'sent a malformed reply')
  await octetsFrom(stream, length + 2)
}

async function logIn(stream: Duplex, { username, password }: Login): Promise<void> {
  const [name, secret] = [Buffer.from(username), Buffer.from(password)]
  stream.write(Buffer.concat([Uint8Array.of(LOGIN_VERSION, name.length), name, Uint8Array.of(secret.length), secret]))
  const [, status] = await octetsFrom(stream, 2)
  if (status !== 0) throw new HopFault('hop-credentials', 'refused the user name or the password')
}

function addressOf({ host, port }: Place): Buffer {
  const version = isIP(host)
  const head = version === 0 ? Uint8Array.of(NAME, host.length) : Uint8Array.of(version === 4 ? IPV4 : IPV6)
  return Buffer.concat([head, version === 0 ? Buffer.from(host, 'latin1') : addressOctets(host), Uint8Array.of(port >> 8, port & 0xff)])
}

function refusal(reply: number): HopFault {
  const says = `answers: ${REPLIES[reply] ?? `code ${reply}`}`
  if (ABOUT_NEXT.has(reply) || reply >= 0xf0) return new HopFault('next', says, reply === REFUSED ? 'connect-refused' : 'connect-failed')
  return new HopFault(reply === NOT_ALLOWED ? 'hop-refused' : 'hop-failed', says)
}
