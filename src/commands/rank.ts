import type { Loaded } from '../config/load.ts'
import type { TrustedResolver } from '../config/trusted-set.ts'
import { readOpt, withPaddedOpt } from '../dns/edns.ts'
import { presentMessage, type ShownMessage } from '../dns/presentation.ts'
import { keptCopy } from '../dns/response.ts'
import { asEnigmError } from '../errors.ts'
import { createLink } from '../link/create-link.ts'
import { DialPace } from '../link/dial/dial-pace.ts'
import { tlsSessions } from '../link/dial/sessions.ts'
import type { Carried, Transport } from '../resolve.ts'
import { TRANSPORTS } from '../transports.ts'
import { loadQuic, transportsOf, whyNoTransport } from '../trusted-resolvers.ts'
import { probeOf } from '../upstream/classification.ts'
import { dialOf, type ReachTools } from './reach.ts'
import { questionFor } from './set-lookup.ts'

/** The measurement of one resolver. Fields of steps that were not reached are absent. */
export interface Ranked {
  readonly resolver: string
  readonly operator: string
  readonly transport: Transport | null
  readonly ok: boolean
  /** An ErrorCode, or a clause if no transport can be used. */
  readonly fault?: string
  readonly handshakeMs?: number
  readonly p50Ms?: number
  readonly p99Ms?: number
  /** Whether every reply was padded. */
  readonly padded?: boolean
  /**
   * Measured, not claimed. `validates`: the reply for the name with valid signatures has AD, and
   * that for the name with invalid signatures is SERVFAIL.
   */
  readonly dnssec?: 'validates' | 'does not' | 'cannot tell'
  /** Whether the reply for the name with invalid signatures had an extended error (RFC 8914). */
  readonly ede?: boolean
  /** Its claims about itself (RESINFO, RFC 9606). Null: it makes none. */
  readonly resinfo?: Readonly<Record<string, string>> | null
}

/** The two names that show whether a resolver validates. */
export interface SignedNames {
  /** A name with valid signatures. */
  readonly signed: string
  /** A name with invalid signatures. */
  readonly broken: string
}

/** Number of measured round trips for each resolver. */
const SAMPLES = 15
/** Pause between two queries to one resolver, to limit the load on it. */
const PAUSE_MS = 50
const AT_ONCE = 8
const TIMEOUT_MS = 4000
/** The type RESINFO (RFC 9606). */
const RESINFO = 'TYPE261'

/**
 * Measures the resolvers of `loaded`, at most 8 at a time. After each one it calls `done` with the
 * number measured so far. Never rejects because of the network.
 */
export async function rankAll(
  loaded: Loaded,
  names: SignedNames,
  tools: ReachTools,
  done: (count: number) => void,
): Promise<readonly Ranked[]> {
  const { resolvers } = loaded
  const found: Ranked[] = []
  const left = resolvers.values()
  const worker = async (): Promise<void> => {
    for (const resolver of left) {
      found.push(await rankOne(resolver, loaded, names, tools))
      done(found.length)
    }
  }
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, resolvers.length) }, worker))
  // Fastest first; resolvers that do not answer come last.
  return found.toSorted((a, b) => Number(b.ok) - Number(a.ok) || (a.p50Ms ?? 0) - (b.p50Ms ?? 0))
}

async function rankOne(resolver: TrustedResolver, loaded: Loaded, names: SignedNames, tools: ReachTools): Promise<Ranked> {
  const [transport] = transportsOf(resolver, loaded.config)
  const way = { resolver: resolver.id, operator: resolver.operator ?? resolver.id, transport: transport ?? null }
  if (transport === undefined) return { ...way, ok: false, fault: whyNoTransport(resolver, loaded.config) }
  let asker: Asker | undefined
  try {
    asker = openAsker(resolver, transport, loaded, tools)
    const { padsReplies } = TRANSPORTS[transport]
    const timed = await roundTrips(asker, probeOf(resolver), padsReplies, tools)
    const { dnssec, ede } = await askValidation(asker, names)
    const resinfo = await askResinfo(asker, resolver.authenticationDomainName)
    return {
      ...way,
      ok: true,
      ...timed,
      dnssec,
      ede,
      resinfo,
      ...(asker.handshakeMs === undefined ? {} : { handshakeMs: asker.handshakeMs }),
    }
  } catch (error) {
    return { ...way, ok: false, fault: asEnigmError(error).code }
  } finally {
    await asker?.close()
  }
}

interface Asker {
  readonly handshakeMs: number | undefined
  ask(query: Uint8Array, dnssecOk: boolean): Promise<Carried>
  close(): Promise<void>
}

/**
 * Makes a link like that of the service. The first query opens its connection. Only an
 * authenticated resolver is measured.
 */
function openAsker(resolver: TrustedResolver, transport: Transport, loaded: Loaded, tools: ReachTools): Asker {
  const { clock, random } = tools
  let handshakeMs: number | undefined
  const sessions = tlsSessions(clock)
  const { endpoint } = dialOf(resolver, transport, loaded, sessions, tools)
  const link = createLink({ ...endpoint, usageProfile: 'strict' }, transport, {
    clock,
    random,
    sessions,
    emit(event) {
      if (event.type === 'link.up') handshakeMs ??= event.handshakeMs
    },
    // No dial limits: a person runs this command.
    dialPace: new DialPace(clock, () => undefined),
    quic: loadQuic,
  })
  const { keepalive } = TRANSPORTS[transport]
  return {
    get handshakeMs() {
      return handshakeMs
    },
    ask: (query, dnssecOk) =>
      new Promise((carried, failed) => {
        const request = withPaddedOpt(query, { dnssecOk, block: loaded.config.padding.queryBlock, keepalive })
        const ask = { purpose: 'probe' as const, deadlineMs: clock.nowMs() + TIMEOUT_MS }
        link.send(request, ask, { carried: (reply) => carried(keptCopy(reply)), failed })
      }),
    close: () => link.close(),
  }
}

/** Measures round trips. The first answer is not counted, because it waits for the handshake. */
async function roundTrips(
  asker: Asker,
  probe: Uint8Array,
  padsReplies: boolean,
  { clock }: ReachTools,
): Promise<Pick<Ranked, 'p50Ms' | 'p99Ms' | 'padded'>> {
  await asker.ask(probe, false)
  const times: number[] = []
  let padded = true
  for (let i = 0; i < SAMPLES; i++) {
    // The timer does not keep the process alive; the open connection does.
    await new Promise<void>((resolve) => void clock.setTimer(PAUSE_MS, resolve))
    const { rttMs, wire } = await asker.ask(probe, false)
    times.push(rttMs)
    padded &&= padsReplies || readOpt(wire)?.padded === true
  }
  const sorted = times.toSorted((a, b) => a - b)
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0
  return { p50Ms: at(0.5), p99Ms: at(0.99), padded }
}

async function askValidation(asker: Asker, { signed, broken }: SignedNames): Promise<Required<Pick<Ranked, 'dnssec' | 'ede'>>> {
  const of = async (name: string): Promise<ShownMessage | undefined> => {
    try {
      return presentMessage((await asker.ask(questionFor(name, 'A'), true)).wire)
    } catch {
      return undefined
    }
  }
  const [right, wrong] = [await of(signed), await of(broken)]
  const ede = (wrong?.errors.length ?? 0) > 0
  if (right?.status !== 'NOERROR' || wrong === undefined) return { dnssec: 'cannot tell', ede }
  const hasAd = right.flags.includes('ad')
  const refuses = wrong.status === 'SERVFAIL'
  // Another response code, such as NXDOMAIN, shows nothing about signatures.
  if (!refuses && wrong.status !== 'NOERROR') return { dnssec: 'cannot tell', ede }
  return { dnssec: hasAd && refuses ? 'validates' : 'does not', ede }
}

/** Limits of the claims of a resolver about itself. */
const MAX_KEYS = 16
const MAX_VALUE = 100

async function askResinfo(asker: Asker, name: string): Promise<Readonly<Record<string, string>> | null> {
  try {
    const message = presentMessage((await asker.ask(questionFor(name, RESINFO), false)).wire)
    const [first] = (message?.answers ?? []).filter((record) => record.type === RESINFO || record.type === 'RESINFO')
    return first === undefined ? null : resinfoOf(first.data)
  } catch {
    return null
  }
}

/** Parses the keys of a RESINFO record, from its text or from the octets in RFC 3597 form. */
export function resinfoOf(data: string): Readonly<Record<string, string>> {
  const [, hex] = /^\\# \d+ ([0-9a-fA-F ]+)$/.exec(data) ?? []
  const texts =
    hex === undefined
      ? [...data.matchAll(/"((?:[^"\\]|\\.)*)"/g)].map(([, text = '']) => text)
      : stringsOf(Buffer.from(hex.replaceAll(' ', ''), 'hex'))
  const pairs = texts.slice(0, MAX_KEYS).flatMap((text): [string, string][] => {
    const [, key, value = ''] = /^([a-z0-9-]{1,63})(?:=(.*))?$/.exec(text) ?? []
    return key === undefined ? [] : [[key, value.slice(0, MAX_VALUE)]]
  })
  return Object.fromEntries(pairs)
}

function stringsOf(octets: Buffer): readonly string[] {
  const found: string[] = []
  for (let at = 0; at < octets.length; at += 1 + (octets[at] ?? 0))
    found.push(octets.toString('latin1', at + 1, at + 1 + (octets[at] ?? 0)))
  return found
}
