import type { ErrorCode } from './errors.ts'
import type { Protection, Transport } from './resolve.ts'

/**
 * What links, upstreams and the daemon report: a closed union, never a query name, never a client
 * address.
 */
export type Event =
  | {
      readonly type: 'link.up'
      readonly resolver: string
      readonly transport: Transport
      readonly address: string
      readonly protection: Protection
      readonly handshakeMs: number
    }
  | { readonly type: 'link.down'; readonly resolver: string; readonly transport: Transport; readonly code: ErrorCode }
  | {
      readonly type: 'link.failed'
      readonly resolver: string
      readonly transport: Transport
      readonly code: ErrorCode
      readonly detail: string
    }
  | ({ readonly type: 'link.mismatch'; readonly resolver: string; readonly transport: Transport } & Counted)
  | ({
      readonly type: 'upstream.answered'
      readonly resolver: string
      readonly transport: Transport
      /** Of one of them. */
      readonly rttMs: number
      readonly protection: Protection
      readonly paddedReply: boolean
    } & Counted)
  | ({
      readonly type: 'upstream.failed'
      readonly resolver: string
      readonly transport: Transport
      readonly code: ErrorCode
      /**
       * A real query met this, and its name may be to blame. Whether the resolver is, a probe
       * tells: until one fails it does not count.
       */
      readonly unproven?: true
      /**
       * How long the exchange had lasted. Without it one failure counts against the resolver even
       * if it answered others meanwhile.
       */
      readonly afterMs?: number
    } & Counted)
  /** Another network, or none: connections and TLS sessions of the last one are dropped. */
  | { readonly type: 'network.changed'; readonly online: boolean }
  /** The machine slept, or the process was stopped. */
  | { readonly type: 'woke'; readonly awayMs: number }
  /** The wall clock was set. */
  | { readonly type: 'clock.moved'; readonly byMs: number }
  /**
   * Whether covers flow on a shaped link and are like real queries; or why not: then its profile is
   * not in force. `slower` and `larger` are real replies, whatever covers ask for.
   */
  | {
      readonly type: 'shaping.covers'
      readonly resolver: string
      readonly transport: Transport
      readonly covers: 'flowing' | 'claim' | 'refused' | 'used-up' | 'slower' | 'larger'
    }
  /** Somebody is shown what is asked, until then at most; undefined: nobody any more. */
  | { readonly type: 'trace'; readonly untilWallMs: number | undefined }
  /**
   * A person lets the network's own resolver be asked for its login page, until then at most;
   * undefined: over.
   */
  | { readonly type: 'portal'; readonly untilWallMs: number | undefined }
  /** A cleartext DNS packet is about to leave. */
  | ({ readonly type: 'cleartext'; readonly cause: 'captive-portal' } & Counted)
  | Observation
  | { readonly type: 'service.started' }
  | { readonly type: 'service.stopping' }
  | { readonly type: 'reload.refused'; readonly message: string }
  /** Settings of the configuration in force, by path, that take effect at the next start only. */
  | { readonly type: 'reload.waiting'; readonly settings: readonly string[] }
  | { readonly type: 'fault'; readonly where: string }

/** What happens with every query may be reported once a turn, for all that were alike. */
interface Counted {
  /** How many; 1 unless told. */
  readonly count?: number
}

/**
 * What the daemon finds around itself, now and then. No address, no interface name, and no name of
 * a network but the one that the policy gives it.
 */
export type Observation =
  /**
   * `named`: what the policy calls this network; undefined: none that it names. `told`: whether it
   * can be told at all which network this is.
   */
  | { readonly type: 'seen.network'; readonly told: boolean; readonly named: string | undefined }
  /**
   * How many pinned addresses are reached from a VPN interface, from another one, from one of
   * unknown kind, and not at all.
   */
  | { readonly type: 'seen.vpn'; readonly vpn: number; readonly other: number; readonly unknown: number; readonly unreachable: number }
  /** Whom the system's own configuration names. `by`: the file or service that says so. */
  | { readonly type: 'seen.system'; readonly asks: 'us' | 'elsewhere' | 'partly' | 'unknown'; readonly by: string }
  /**
   * Whether a query through the system came back through our own listener; `not-sent`: a configured
   * name server is not of this host.
   */
  | { readonly type: 'seen.canary'; readonly outcome: 'returned' | 'lost' | 'not-sent' }
  /** Flows of others to port 53 elsewhere, new since the last look. */
  | { readonly type: 'seen.bypass'; readonly flows: number; readonly through: readonly ('sockets' | 'conntrack')[] }
  /** The audit log after an attempt to write. */
  | { readonly type: 'audit'; readonly state: 'writing' | 'unwritable'; readonly entries: number; readonly lost: number }
  /** The status file goes unsigned. */
  | { readonly type: 'unsigned'; readonly why: string }
  /**
   * Starts of the service before this one in this boot, and whether the last run ended by itself.
   */
  | { readonly type: 'restarts'; readonly count: number; readonly clean: boolean }

/** Takes an event; cheap, sync, never throws. */
export type Emit = (event: Event) => void
