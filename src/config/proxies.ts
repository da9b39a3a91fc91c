import * as v from 'valibot'
import { isOnion, MOST_HOPS, type ProxyKind, parsePlace } from '../route.ts'
import { isMulticastOrBroadcast, isUnspecified } from './cidr.ts'
import { authenticationName, checked, closed, described, distinct, spkiPin, text, word } from './fields.ts'
import { listenProblem, parseListen } from './listen-address.ts'
import { withoutNobody } from './operators.ts'
import { quoted } from './problems.ts'

/** The proxies that a route may pass, as keys of the configuration, and their names in `via`. */

const KINDS = ['socks5', 'http-connect'] as const satisfies readonly ProxyKind[]

/** Common wrong values of "type", with the fix. */
const OTHER_KINDS: Readonly<Record<string, string>> = {
  tor: '; for Tor write "socks5", and "isolate": "operator"',
  socks: '; write "socks5"',
  socks5h: '; write "socks5": the proxy always looks names up',
  http: '; write "http-connect"',
  https: '; write "http-connect", and "tls" for TLS to the proxy',
  connect: '; write "http-connect"',
}

const kind = v.picklist(KINDS, ({ input }) => {
  const word = String(input).toLowerCase()
  return `must be one of: ${KINDS.join(', ')}${Object.hasOwn(OTHER_KINDS, word) ? OTHER_KINDS[word] : ''}`
})

const FORM = 'must be ADDRESS:PORT, as in "127.0.0.1:9050"'

/** The error of a proxy's address, as a clause with the fix. Undefined: it is valid. */
function addressProblem(address: string): string | undefined {
  if (address.includes('://')) return `${FORM}; it is not a URL, the kind of proxy is written in "type"`
  if (address.trim() !== address) return `${FORM}; remove the spaces around it`
  const place = parsePlace(address)
  const numeric = parseListen(address)
  if (place !== undefined && isOnion(place.host)) return 'is an onion service, which cannot be a proxy; write the address of the proxy'
  if (numeric === undefined) return place === undefined ? formProblem(address) : undefined
  if (numeric.port === 0) return `${FORM}; a port is a number from 1 to 65535`
  if (isUnspecified(numeric.address)) return 'means every address and is not a host; write the address of the proxy'
  return isMulticastOrBroadcast(numeric.address)
    ? 'is a multicast or broadcast address; write the address of the proxy'
    : listenProblem(address)
}

function formProblem(address: string): string {
  if (/^[\w.-]+$/.test(address) || /^\[[^\]]*\]$/.test(address)) return `${FORM}; the port is missing`
  if ((address.match(/:/g)?.length ?? 0) > 1 && !address.startsWith('['))
    return `${FORM}; an IPv6 address needs brackets, as in "[::1]:9050"`
  return FORM
}

const tls = closed({
  authenticationDomainName: described('The name that its certificate must contain: a host name, or an IP address.', authenticationName),
  caFile: v.exactOptional(
    described(
      'A file of PEM certificates, relative to this file. They are the only roots for this proxy. Absent: the roots that come with Node.',
      text(4096),
    ),
  ),
  spkiPins: v.optional(
    described(
      'Base64 of the SHA-256 of public keys. One of them must match, in addition to the certificate chain.',
      distinct(spkiPin, 32, 0),
    ),
    [],
  ),
})

const intoTls = (key: string, value: string) =>
  `needs TLS to the proxy; move it into "tls", as in "tls": { "authenticationDomainName": "proxy.example", "${key}": ${value} }`

const MISPLACED: Readonly<Record<string, string>> = {
  spkiPins: intoTls('spkiPins', '["..."]'),
  caFile: intoTls('caFile', '"ca.pem"'),
  authenticationDomainName: 'needs TLS to the proxy; move it into "tls"',
  password: 'is never written here; write it into a file of mode 0600 and name that file in "passwordFile"',
  user: 'is not a known key; write "username"',
  host: 'is not a known key; write "address": "ADDRESS:PORT"',
  port: 'is not a known key; write "address": "ADDRESS:PORT"',
}

const proxy = v.pipe(
  closed(
    {
      type: described('`socks5` (RFC 1928; also for Tor) or `http-connect` (RFC 9110 section 9.3.6).', kind),
      address: described(
        'Its IP address and port. A name and port only if it is reached through another proxy, which looks the name up.',
        v.pipe(text(300), checked(addressProblem)),
      ),
      username: v.exactOptional(described('The user name for the proxy (RFC 1929, RFC 7617).', text(255))),
      passwordFile: v.exactOptional(
        described('The file with the password in one line, of mode 0600, relative to this file. Required with `username`.', text(4096)),
      ),
      isolate: v.optional(
        described(
          '`operator`: random credentials, new for each operator and network, so that operators share no Tor circuit. `enigm-dns forget` changes them too. `none`: the credentials of `username`, or none.',
          word('operator', 'none'),
        ),
        'none',
      ),
      tls: v.exactOptional(tls),
      operator: v.exactOptional(described('Who runs it. Absent, or "unknown": nobody named it.', text(200))),
      jurisdiction: v.exactOptional(described('The jurisdiction of its operator; a claim.', text(64))),
    },
    (key) => (Object.hasOwn(MISPLACED, key) ? MISPLACED[key] : undefined),
  ),
  v.check(
    ({ type, isolate }) => isolate === 'none' || type === 'socks5',
    'has "isolate": "operator", which needs "type": "socks5"; remove it or change the type',
  ),
  v.check(
    ({ username, isolate }) => isolate === 'none' || username === undefined,
    'has a "username" and "isolate": "operator", which draws a user name for each operator; remove one of them',
  ),
  v.check(
    ({ username, passwordFile }) => username === undefined || passwordFile !== undefined,
    'has a "username" without "passwordFile"; name the file with the password',
  ),
  v.check(
    ({ username, passwordFile }) => passwordFile === undefined || username !== undefined,
    'has a "passwordFile" without "username"; add the user name',
  ),
  v.check(
    ({ type, username }) => type !== 'http-connect' || username?.includes(':') !== true,
    'has a "username" with a colon, which HTTP cannot carry (RFC 7617); use another user name',
  ),
  v.check(({ username }) => Buffer.byteLength(username ?? '') <= 255, 'has a "username" of more than 255 octets; use a shorter one'),
  v.transform(withoutNobody),
)

const name = v.pipe(
  text(63),
  v.regex(/^[A-Za-z0-9][A-Za-z0-9_.-]*$/, 'must consist of letters, digits, dot, hyphen and underscore, and begin with a letter or digit'),
)

const MOST_PROXIES = 64

const NAMED = 'must be an object with a name for each proxy, as in {"tor": {...}}'

/** The schema of the key `proxies`. */
export const proxies = v.pipe(
  named(v.record(name, proxy, NAMED)),
  v.check((all) => Object.keys(all).length <= MOST_PROXIES, `must hold at most ${MOST_PROXIES} proxies`),
)

/** Refuses lists: valibot's record accepts them as objects with the keys 0, 1 ... */
function named<const Schema extends v.GenericSchema>(schema: Schema): Schema {
  const run: Schema['~run'] = (dataset, config) =>
    schema['~run'](Array.isArray(dataset.value) ? { ...dataset, value: undefined } : dataset, config)
  return { ...schema, '~run': run }
}

/** The schema of `via`: the names of proxies on a route, the nearest first. */
export const via = v.pipe(
  v.array(name, ({ input }) => `must be a list of names of proxies${typeof input === 'string' ? `; write [${quoted(input)}]` : ''}`),
  v.maxLength(MOST_HOPS, `must name at most ${MOST_HOPS} proxies; remove some`),
  v.check(
    (names) => new Set(names).size === names.length,
    ({ input }) => `names a proxy twice (${quoted(input.find((one, i) => input.indexOf(one) !== i))}); keep one of them`,
  ),
)

/** One proxy as configured. */
export type ProxyConfig = v.InferOutput<typeof proxy>
