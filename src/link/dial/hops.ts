import type { Random } from '../../clock.ts'
import type { Loaded } from '../../config/load.ts'
import { EnigmError } from '../../errors.ts'
import { type Hop, operatorKey, routeOf } from '../../route.ts'

/** The user name and password for a proxy (RFC 1929, RFC 7617). */
export interface Login {
  readonly username: string
  readonly password: string
}

/** One proxy of a route, with all that is needed to dial it. */
export interface DialHop {
  readonly hop: Hop
  /** PEM of the only trusted roots for TLS to the proxy. Undefined: the roots bundled with Node. */
  readonly ca: string | undefined
  /** See `Endpoint.spkiPins`. */
  readonly spkiPins: readonly string[]
  /** Called for each connection. Absent: the proxy gets no user name. */
  readonly login?: () => Login
}

/** Octets of random credentials. So many that no two are ever equal. */
const LOGIN_OCTETS = 16

/**
 * The SOCKS credentials that keep operators apart. Tor shares a circuit only between connections
 * with equal credentials (IsolateSOCKSAuth). So each operator has its own credentials, and `renew`
 * replaces all of them. A new circuit may still use the same exit relay.
 */
export class Isolation {
  readonly #random: Random
  readonly #logins = new Map<string, Login>()

  constructor(random: Random) {
    this.#random = random
  }

  /** The credentials of an operator at a proxy. */
  loginOf(proxy: string, operator: string): Login {
    const key = JSON.stringify([proxy, operatorKey(operator)])
    const known = this.#logins.get(key)
    if (known !== undefined) return known
    const drawn = () => Buffer.from(this.#random.bytes(LOGIN_OCTETS)).toString('hex')
    const login = { username: drawn(), password: drawn() }
    this.#logins.set(key, login)
    return login
  }

  /**
   * Forgets all credentials, so that later connections do not share a circuit with earlier ones.
   */
  renew(): void {
    this.#logins.clear()
  }
}

interface ToResolver {
  readonly id: string
  readonly operator?: string | undefined
  readonly via?: readonly string[] | undefined
}

/** The proxies to a resolver, with all that is needed to dial them. */
export function dialHops(
  resolver: ToResolver,
  { config, proxyFiles = {} }: Pick<Loaded, 'config' | 'proxyFiles'>,
  isolation: Isolation,
): readonly DialHop[] {
  return routeOf(resolver, config).hops.map((hop) => {
    const { username, tls } = config.proxies[hop.name] ?? {}
    const { password, ca } = proxyFiles[hop.name] ?? {}
    const login = (): Login => {
      if (hop.credentials === 'per-operator') return isolation.loginOf(hop.name, resolver.operator ?? resolver.id)
      if (username === undefined || password === undefined) throw new EnigmError('internal', 'a proxy without its password')
      return { username, password: password.reveal() }
    }
    return { hop, ca, spkiPins: tls?.spkiPins ?? [], ...(hop.credentials === 'none' ? {} : { login }) }
  })
}

/** The factor by which the time limits of a dial grow on a route. A direct path has 1. */
export function slownessOf(route: readonly DialHop[]): number {
  // A circuit of Tor takes seconds to build, and Tor itself builds another if one fails.
  return route.some(({ hop }) => hop.credentials === 'per-operator') ? 6 : 1 + route.length / 2
}

/** The name of a hop in error messages. */
export const calledHop = ({ hop }: DialHop): string => `the proxy "${hop.name}"`
