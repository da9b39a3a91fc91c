import type { Duplex } from 'node:stream'
import { type Place, placeText } from '../../route.ts'
import { HopFault, headFrom } from './hop-reading.ts'
import type { Login } from './hops.ts'

/** Limit of a response head. Proxies send a few hundred octets, and more with an error page. */
const MOST_HEAD_OCTETS = 8192

/**
 * Asks an HTTP proxy on `stream` for a connection to `next` (CONNECT, RFC 9110 section 9.3.6).
 * Rejects with a HopFault. The request holds nothing that identifies this program or this host.
 */
export async function connectByHttp(stream: Duplex, next: Place, login: Login | undefined): Promise<void> {
  const authority = placeText(next)
  const basic = login === undefined ? undefined : Buffer.from(`${login.username}:${login.password}`).toString('base64')
  const lines = [
    `CONNECT ${authority} HTTP/1.1`,
    `Host: ${authority}`,
    ...(basic === undefined ? [] : [`Proxy-Authorization: Basic ${basic}`]),
  ]
  stream.write(`${lines.join('\r\n')}\r\n\r\n`)
  const [, digits] = /^HTTP\/1\.[01] ([2-5]\d\d)(?: |\r|$)/.exec(await headFrom(stream, MOST_HEAD_OCTETS)) ?? []
  const status = Number(digits)
  if (digits === undefined) throw new HopFault('hop-failed', 'does not speak HTTP')
  if (status < 300) return
  const says = `answers with status ${status}`
  if (status === 407)
    throw new HopFault('hop-credentials', login === undefined ? 'requires a user name' : 'refused the user name or the password')
  if (status >= 500) throw new HopFault('next', says)
  throw new HopFault('hop-refused', says)
}
