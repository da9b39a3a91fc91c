import type { Clock, Random } from '../../clock.ts'
import type { SocketAddress } from '../../config/listen-address.ts'
import type { RunCommand } from '../run-command.ts'
import type { Journal, PlannedChange } from './journal.ts'

/** Who decides whom the programs of a system ask; each has a file here. */
export type BackendName = 'resolved' | 'networkmanager' | 'resolvconf' | 'file'

/** What is asked of the host and of the service on it; replaced in tests. */
export interface TakeoverHost {
  readonly clock: Clock
  readonly random: Random
  /** This program, as the first words of a command line: absolute paths. */
  readonly program: readonly string[]
  readonly run: RunCommand
  /** Starts a program that outlives this process. Never throws. */
  detach(command: string, args: readonly string[]): void
  /** An order to the service that runs; undefined where none takes it from this user. */
  order(order: string): Promise<unknown>
  /** Where the service that runs listens; none where it does not run. */
  listens(): readonly SocketAddress[]
  /** The user that the service runs as; undefined: it does not run. */
  serviceUid(): number | undefined
  /** Links that count as VPN whatever their kind, by the policy in force. */
  vpnInterfaces(): Promise<readonly string[]>
  /**
   * Whether the service gets answers from resolvers that prove who they are, by its status;
   * undefined: it has not said yet.
   */
  authenticated(): boolean | undefined
  /** Asks `server` and nobody else; rejects where no reply comes within `limitMs`. */
  ask(server: SocketAddress, query: Uint8Array, over: 'udp' | 'tcp', limitMs: number): Promise<Uint8Array>
  /** Asks for a name as any program does, by getaddrinfo; resolves when that has ended. */
  lookup(name: string): Promise<void>
  /** Called before each step that a kill may come between. */
  step(name: string): void
}

/** What a back end would do. */
export interface Plan {
  readonly changes: readonly PlannedChange[]
  /** Commands that follow the changes, as a person would type them. */
  readonly commands: readonly string[]
  /** Sentences on what this costs. */
  readonly notes: readonly string[]
}

/**
 * A way past this service. `via`: a link, or a program; `what`: who is asked there, and for what.
 */
export interface Bypass {
  readonly via: string
  readonly what: string
}

/** What `plan` is made for. */
export interface PlanRequest {
  /** Where the service listens, on port 53. */
  readonly address: string
  readonly vpnDns: 'leave' | 'override'
}

/**
 * One way to have a system ask this service. Files are changed by the journal, between `plan` and
 * `apply` and before `revert`: a back end says which, and has their owner read them.
 */
export interface Backend {
  readonly name: BackendName
  /** The owner in words, where this one decides; undefined where it does not. Changes nothing. */
  find(host: TakeoverHost): Promise<string | undefined>
  /**
   * What would be changed. Changes nothing. Throws an EnigmError `state`: a refusal, with its fix.
   */
  plan(host: TakeoverHost, request: PlanRequest): Promise<Plan>
  /**
   * Has the owner take what the files say. May be called again at any time. `changed`: the paths
   * that were written for this, where they are not all; then a running owner is disturbed no more
   * than they require.
   */
  apply(host: TakeoverHost, journal: Journal, changed?: readonly string[]): Promise<void>
  /**
   * What contradicts that every name goes to our address, read back from the owner: a sentence
   * each. None is no proof: that is what nonces are for.
   */
  verify(host: TakeoverHost, journal: Journal): Promise<readonly string[]>
  /** Has the owner take what the files say without ours. May be called again at any time. */
  revert(host: TakeoverHost, journal: Journal): Promise<void>
  /** Ways past this service that are left as they are. */
  bypasses(host: TakeoverHost, journal: Journal): Promise<readonly Bypass[]>
}

/**
 * Something that is switched together with the DNS and shares its journal, proof and undo. It is
 * asked for by name; the journal keeps the name. Reverted before the files are put back.
 */
export interface TakeoverPart {
  readonly name: string
  /** Sentences for `--dry-run`. */
  plan(host: TakeoverHost, request: PlanRequest): Promise<Plan>
  apply(host: TakeoverHost, journal: Journal): Promise<void>
  verify(host: TakeoverHost, journal: Journal): Promise<readonly string[]>
  revert(host: TakeoverHost, journal: Journal): Promise<void>
}
