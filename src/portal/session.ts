import { isIP } from 'node:net'
import { PlainClient } from '../cleartext/plain-client.ts'
import type { PlainManner } from '../cleartext/plain-exchange.ts'
import type { Clock, Random, Timer } from '../clock.ts'
import { isLoopback, isMulticastOrBroadcast, isUnspecified, unmapped } from '../config/cidr.ts'
import type { SocketAddress } from '../config/listen-address.ts'
import { nameFromText } from '../dns/name.ts'
import { putU16 } from '../dns/octets.ts'
import { RecordCursor, TYPE } from '../dns/records.ts'
import { synthesise } from '../dns/response.ts'
import { asEnigmError, EnigmError } from '../errors.ts'
import type { Emit } from '../events.ts'
import type { Outcome } from '../job.ts'
import type { Answer, Query, Question } from '../resolve.ts'
import type { PortalAnswers } from './portal-switch.ts'
import { type ProbeReply, probe } from './probe.ts'

/**
 * The names that systems, browsers and desktops query to find a login page, and one that people
 * open for that. Each is used for nothing else: a name with other services is not in the list.
 */
export const PROBE_NAMES: readonly string[] = [
  'captive.apple.com', // macOS, iOS
  'connectivitycheck.gstatic.com', // Android, ChromeOS
  'connectivitycheck.android.com',
  'detectportal.firefox.com',
  'www.msftconnecttest.com', // Windows
  'ipv6.msftconnecttest.com',
  'www.msftncsi.com',
  'ipv6.msftncsi.com',
  'dns.msftncsi.com',
  'nmcheck.gnome.org', // GNOME
  'networkcheck.kde.org', // KDE
  'network-test.debian.org', // NetworkManager, by distribution
  'connectivity-check.ubuntu.com',
  'ping.archlinux.org',
  'conncheck.opensuse.org',
  'connectivitycheck.platform.hicloud.com', // Huawei
  'connect.rom.miui.com', // Xiaomi
  'neverssl.com', // opened by people by hand
]
/** The probes of this session, to learn where the login page is and when traffic passes. */
const PROBES = ['http://connectivitycheck.gstatic.com/generate_204', 'http://detectportal.firefox.com/success.txt'] as const

/** Limit of hosts from redirects, besides the platforms' names. */
const MOST_HOSTS = 3
const MOST_HOPS = 4
const ROUND_MS = 3000
const LOOKUP_MS = 3000
/** How long a lookup is remembered: the longest time that a client keeps it. */
const REMEMBERED_MS = 5000
/** As a stub without EDNS asks: one packet for each resolver, and a second one for a single one. */
export const SIMPLE_STUB: PlainManner = {
  thorough: false,
  mostPackets: 2,
  retryMs: 1500,
  // An answer of the network's own resolver is kept no longer by a client.
  clamp: { minTtlS: 0, maxTtlS: 5 },
  says: {
    silent: "The network's own resolver did not answer in time.",
    unreachable: "The network's own resolver cannot be reached.",
    closed: 'The login page is not looked for any more.',
  },
}
/** Limit of clients' questions in progress. */
const MOST_UNDER_WAY = 64
/** Limit of the length of a page address that is shown to a person. */
const MOST_CHARACTERS = 2000
/** Names that no network can provide, even if a redirect names them. */
const NEVER = /(^|\.)(localhost|invalid|onion|arpa)$/
/** The source of this answer, for readers of extended errors (RFC 8914 section 4.1). */
const EDE = { code: 0, text: 'captive-portal' } as const

/** The address of the login page, to be shown to a person. */
export interface PortalPage {
  readonly portal: 'page'
  readonly url: string
}

export interface PortalSessionParts {
  readonly clock: Clock
  readonly random: Random
  readonly emit: Emit
  /** The reason why the policy lets no query through now; undefined: it lets them through. */
  readonly refusal: () => EnigmError | undefined
  readonly isForwarded: (question: Question) => boolean
  readonly resolvers: readonly SocketAddress[]
  /**
   * `Clock.nowMs` time. Nothing is sent at or after this time, even if timers were stopped
   * meanwhile.
   */
  readonly untilMs: number
  readonly found: (page: PortalPage) => void
  /** Called when the network lets traffic through, or when a question came after the end. */
  readonly over: (why: 'passed' | 'time') => void
}

/**
 * One session: answers clients' questions for the platforms' probe names and for at most three
 * hosts from redirects, and sends the probes itself until they pass.
 */
export class PortalSession implements PortalAnswers {
  /** Cleartext DNS packets sent. */
  packets = 0
  readonly #parts: PortalSessionParts
  readonly #names = new Set(PROBE_NAMES.map((name) => keyOf(nameFromText(name))))
  readonly #hosts = new Set<string>()
  readonly #followed = new Set<string>()
  readonly #shown = new Set<string>()
  readonly #remembered = new Map<string, { readonly addresses: readonly string[]; readonly untilMs: number }>()
  readonly #resolver: PlainClient
  readonly #aborted = new AbortController()
  #wake: (() => void) | undefined
  #pause: Timer | undefined
  #closed = false

  constructor(parts: PortalSessionParts) {
    this.#parts = parts
    const { clock, random, resolvers } = parts
    this.#resolver = new PlainClient({ clock, random, resolvers, manner: SIMPLE_STUB, mayLeave: () => this.#mayLeave() })
  }

  takes(question: Question): boolean {
    return this.#names.has(keyOf(question.lower.subarray(0, -4))) && !this.#parts.isForwarded(question)
  }

  ask({ question }: Query, deadlineMs: number, done: (outcome: Outcome) => void): void {
    const answerOf = (wire: Uint8Array, rcode: number): Answer => ({ wire, rcode, storeS: 'no', ede: EDE, from: 'portal' })
    // Other types that browsers query (HTTPS, SVCB) would only lead them to a port that is not open
    // yet.
    if (question.type !== TYPE.A && question.type !== TYPE.AAAA) {
      done(answerOf(synthesise(question, { rcode: 0 }), 0))
      return
    }
    if (this.#resolver.underWay >= MOST_UNDER_WAY) {
      done(new EnigmError('overloaded', 'Too many questions are under way.'))
      return
    }
    this.#resolver.ask(question, Math.min(deadlineMs, this.#parts.untilMs)).then(
      ({ wire, rcode }) => done(answerOf(wire, rcode)),
      (error: unknown) => done(asEnigmError(error)),
    )
  }

  /** Sends the probes until they pass or `close` is called. Never rejects. */
  async run(): Promise<void> {
    while (!this.#closed) {
      const verdicts = await Promise.all(PROBES.map((url) => this.#look(new URL(url), 0)))
      if (this.#closed) return
      if (verdicts.includes('passed') && !verdicts.includes('captive')) return this.#parts.over('passed')
      await this.#paused()
    }
  }

  /** No packet is sent after this. */
  close(): void {
    this.#closed = true
    this.#aborted.abort()
    this.#resolver.close()
    this.#pause?.cancel()
    this.#wake?.()
    this.#remembered.clear()
  }

  #mayLeave(): boolean {
    const { clock, refusal, untilMs, emit, over } = this.#parts
    if (this.#closed || refusal() !== undefined) return false
    if (clock.nowMs() >= untilMs) {
      over('time')
      return false
    }
    this.packets++
    emit({ type: 'cleartext', cause: 'captive-portal' })
    return true
  }

  #paused(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve
      this.#pause = this.#parts.clock.setTimer(ROUND_MS, resolve)
    })
  }

  /** Requests `url` and follows its redirects. Each host from a redirect is requested once. */
  async #look(url: URL, hops: number): Promise<ProbeReply['verdict']> {
    const reply = await this.#page(url).catch(() => undefined)
    if (reply === undefined || this.#closed) return 'unclear'
    const { verdict, next } = reply
    if (verdict !== 'captive') return verdict
    const admitted = next !== undefined && this.#admits(next)
    this.#show(admitted ? next : url)
    if (admitted && next.protocol === 'http:' && hops < MOST_HOPS && !this.#followed.has(next.host)) {
      this.#followed.add(next.host)
      await this.#look(next, hops + 1)
    }
    return 'captive'
  }

  async #page(url: URL): Promise<ProbeReply | undefined> {
    const host = url.hostname.replace(/^\[|\]$/g, '')
    const addresses = isIP(host) === 0 ? await this.#addressesOf(host) : [host]
    // A network must not make this host request itself.
    const address = addresses.find((one) => !isLoopback(unmapped(one)) && !isUnspecified(unmapped(one)) && !isMulticastOrBroadcast(one))
    if (address === undefined || this.#closed) return undefined
    return probe({ url, address, signal: this.#aborted.signal })
  }

  async #addressesOf(host: string): Promise<readonly string[]> {
    const { clock } = this.#parts
    const known = this.#remembered.get(host)
    if (known !== undefined && clock.nowMs() < known.untilMs) return known.addresses
    let addresses: readonly string[] = []
    for (const type of [TYPE.A, TYPE.AAAA]) {
      if (addresses.length > 0) break
      const question = questionFor(host, type)
      if (!this.takes(question)) return []
      addresses = addressesIn((await this.#resolver.ask(question, clock.nowMs() + LOOKUP_MS)).wire, type)
    }
    this.#remembered.set(host, { addresses, untilMs: clock.nowMs() + REMEMBERED_MS })
    return addresses
  }

  /** Whether a page of that host may be requested: at most three hosts, and addresses. */
  #admits({ hostname }: URL): boolean {
    if (isIP(hostname.replace(/^\[|\]$/g, '')) !== 0) return true
    const question = questionFor(hostname, TYPE.A)
    const key = keyOf(question.lower.subarray(0, -4))
    if (this.#names.has(key)) return true
    if (this.#hosts.size >= MOST_HOSTS || NEVER.test(hostname.replace(/\.$/, '')) || this.#parts.isForwarded(question)) return false
    this.#hosts.add(key)
    this.#names.add(key)
    return true
  }

  /** Shows each page once, compared without its query: that differs between redirects. */
  #show(url: URL): void {
    const page = `${url.origin}${url.pathname}`
    if (this.#shown.has(page) || this.#shown.size > MOST_HOSTS) return
    this.#shown.add(page)
    this.#parts.found({ portal: 'page', url: (url.href.length > MOST_CHARACTERS ? page : url.href).slice(0, MOST_CHARACTERS) })
  }
}

/** A name in wire form and lower case, as a string for a Set. */
function keyOf(name: Uint8Array): string {
  return Buffer.from(name.buffer, name.byteOffset, name.length).toString('latin1')
}

/** Throws `config` if `host` is not a name. */
function questionFor(host: string, type: number): Question {
  const name = nameFromText(host.toLowerCase())
  const lower = new Uint8Array(name.length + 4)
  lower.set(name)
  putU16(lower, name.length, type)
  putU16(lower, name.length + 2, 1)
  return { lower, type, class: 1 }
}

/** The addresses in the answer section; IPv6 addresses in their long form. */
function addressesIn(wire: Uint8Array, type: number): readonly string[] {
  const found: string[] = []
  for (const cursor = new RecordCursor(wire); cursor.next() && cursor.section === 1; ) {
    if (cursor.type !== type) continue
    const octets = Buffer.from(wire.subarray(cursor.rdataAt, cursor.rdataAt + cursor.rdLength))
    found.push(type === TYPE.A ? octets.join('.') : octets.toString('hex').replace(/(.{4})(?!$)/g, '$1:'))
  }
  return found
}
