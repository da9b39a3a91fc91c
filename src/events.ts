import type { ErrorCode } from './errors.ts'
import type { Protection, Transport } from './resolve.ts'

/**
 * The reports of links, upstreams and the daemon: a closed union, never a query name, never a
 * client address.
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
      /** The hop of the route that failed. */
      readonly hop?: string
    }
  | ({ readonly type: 'link.mismatch'; readonly resolver: string; readonly transport: Transport } & Counted)
  | ({
      readonly type: 'upstream.answered'
      readonly resolver: string
      readonly transport: Transport
      /** The value of one of them. */
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
       * A real query failed in this way, and its name may be the cause. A probe decides whether the
       * resolver is: until one fails it does not count.
       */
      readonly unproven?: true
      /**
       * How long the exchange had lasted. Without it one failure counts against the resolver even
       * if it answered others meanwhile.
       */
      readonly afterMs?: number
    } & Counted)
  /** The network changed or is gone: connections and TLS sessions of the last one are dropped. */
  | { readonly type: 'network.changed'; readonly online: boolean }
  /** The machine slept, or the process was stopped. */
  | { readonly type: 'woke'; readonly awayMs: number }
  /** The wall clock was set. */
  | { readonly type: 'clock.moved'; readonly byMs: number }
  /**
   * Whether covers flow on a shaped link and look like real queries; if not, why: then its profile
   * is not in force. `slower` and `larger`: real replies are so, for any name that covers ask.
   */
  | {
      readonly type: 'shaping.covers'
      readonly resolver: string
      readonly transport: Transport
      readonly covers: 'flowing' | 'claim' | 'refused' | 'used-up' | 'slower' | 'larger'
    }
  /** Whether something keeps a shaped link busy at regular intervals. Never what. */
  | { readonly type: 'shaping.beacon'; readonly resolver: string; readonly transport: Transport; readonly found: boolean }
  /** A watcher sees queries, at most until this time; undefined: no longer. */
  | { readonly type: 'trace'; readonly untilWallMs: number | undefined }
  /**
   * A person allows queries to the network's own resolver for its login page, at most until this
   * time; undefined: no longer.
   */
  | { readonly type: 'portal'; readonly untilWallMs: number | undefined }
  /** A cleartext DNS packet is about to be sent. */
  | ({ readonly type: 'cleartext'; readonly cause: 'captive-portal' | 'split-dns' | 'dnscrypt-certificate' } & Counted)
  /** Whether a forward zone leads back to this service: its server asks us. */
  | { readonly type: 'forward.loop'; readonly zone: string; readonly found: boolean }
  | Observation
  | { readonly type: 'service.started' }
  | { readonly type: 'service.stopping' }
  | { readonly type: 'reload.refused'; readonly message: string }
  /** Settings of the configuration, by path, that take effect only at the next start. */
  | { readonly type: 'reload.waiting'; readonly settings: readonly string[] }
  | { readonly type: 'fault'; readonly where: string }

/** Events that occur with every query may be reported once per turn, for all that were equal. */
interface Counted {
  /** How many; default 1. */
  readonly count?: number
}

/**
 * Periodic observations of the daemon about its host. No address, no name of a network except the
 * one in the policy, and no interface name except of links that are asked past this service.
 */
export type Observation =
  /**
   * `named`: the policy's name for this network; undefined: it has none. `told`: whether the
   * network can be identified at all.
   */
  | { readonly type: 'seen.network'; readonly told: boolean; readonly named: string | undefined }
  /**
   * How many pinned addresses are reached from a VPN interface, from another one, from one of
   * unknown kind, and not at all.
   */
  | { readonly type: 'seen.vpn'; readonly vpn: number; readonly other: number; readonly unknown: number; readonly unreachable: number }
  /**
   * Which DNS servers the system's own configuration names. `by`: the file or service with that
   * configuration.
   */
  | { readonly type: 'seen.system'; readonly asks: 'us' | 'elsewhere' | 'partly' | 'unknown'; readonly by: string }
  /**
   * Whether a query through the system came back to our own listener; `not-sent`: a configured name
   * server is not on this host.
   */
  | { readonly type: 'seen.canary'; readonly outcome: 'returned' | 'lost' | 'not-sent' }
  /**
   * Whether the system still asks this service, where `system enable` had it do so; `off`: not any
   * more. `by`: who decides, or who took over. `bypasses`: links that are asked past this service,
   * for which names; they have the names of interfaces.
   */
  | {
      readonly type: 'seen.takeover'
      /** `left`: nothing repairs it, because no systemd runs. */
      readonly state: 'held' | 'taken' | 'given-up' | 'left' | 'off'
      readonly by: string
      readonly bypasses: readonly { readonly link: string; readonly names: string; readonly vpn: boolean }[]
    }
  /** Flows of other programs to port 53 elsewhere, new since the last check. */
  | { readonly type: 'seen.bypass'; readonly flows: number; readonly through: readonly ('sockets' | 'conntrack')[] }
  /**
   * The signed lists of resolvers, and what they would change in resolvers in use. `old`: the
   * latest one was refused or could not be fetched, and an earlier one is kept.
   */
  | {
      readonly type: 'seen.sources'
      readonly sources: readonly {
        readonly id: string
        readonly state: 'current' | 'old' | 'none'
        readonly why?: string
        readonly entries?: number
        readonly signedS?: number
        /** `applied`: it is in force without a person (`"updates": "apply"`). */
        readonly changes: readonly {
          readonly id: string
          readonly what: readonly string[]
          readonly from: string
          readonly to: string
          readonly applied?: true
        }[]
      }[]
    }
  /** The state of the audit log after an attempt to write. */
  | { readonly type: 'audit'; readonly state: 'writing' | 'unwritable'; readonly entries: number; readonly lost: number }
  /**
   * Lists that are not in force (`missing`), or whose latest content is not: their ids, each with a
   * clause that names no name of a list.
   */
  | { readonly type: 'lists'; readonly faults: readonly { readonly id: string; readonly missing: boolean; readonly why: string }[] }
  /** The status file is not signed. */
  | { readonly type: 'unsigned'; readonly why: string }
  /**
   * Starts of the service before this one in this boot, and whether the last run ended normally.
   */
  | { readonly type: 'restarts'; readonly count: number; readonly clean: boolean }

/**
 * Takes an event; cheap, synchronous, never throws. `atMs`: the present time (`Clock.nowMs`), if it
 * is known.
 */
export type Emit = (event: Event, atMs?: number) => void
