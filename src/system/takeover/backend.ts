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
  /** The listen addresses of the running service; empty if it does not run. */
  listens(): readonly SocketAddress[]
  /** The user of the running service; undefined: it does not run. */
  serviceUid(): number | undefined
  /** Links that count as VPN, whatever their kind, according to the policy in force. */
  vpnInterfaces(): Promise<readonly string[]>
  /**
   * Whether the service gets authenticated answers, according to its status; undefined: not known
   * yet.
   */
  authenticated(): boolean | undefined
  /** Asks only `server`; rejects if no reply comes within `limitMs`. */
  ask(server: SocketAddress, query: Uint8Array, over: 'udp' | 'tcp', limitMs: number): Promise<Uint8Array>
  /** Looks up a name as any program does, with getaddrinfo; resolves when that has ended. */
  lookup(name: string): Promise<void>
  /** Called before each step before which a kill may come. */
  step(name: string): void
}

/** The plan of a back end. */
export interface Plan {
  readonly changes: readonly PlannedChange[]
  /** Commands after the changes, in the form in which a person would type them. */
  readonly commands: readonly string[]
  /** Sentences on the disadvantages. */
  readonly notes: readonly string[]
}

/**
 * A path that bypasses this service. `via`: a link or a program; `what`: the server that is asked
 * there, and the names.
 */
export interface Bypass {
  readonly via: string
  readonly what: string
}

/** The input of `plan`. */
export interface PlanRequest {
  /** The listen address of the service, with port 53. */
  readonly address: string
  readonly vpnDns: 'leave' | 'override'
}

/**
 * One way to make a system use this service. The journal changes the files, between `plan` and
 * `apply` and before `revert`: a back end names them, and makes their owner read them.
 */
export interface Backend {
  readonly name: BackendName
  /**
   * A description of the owner, if this back end is responsible; undefined if it is not. Changes
   * nothing.
   */
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
  /** Makes the owner apply the files without our changes. May be called again at any time. */
  revert(host: TakeoverHost, journal: Journal): Promise<void>
  /** Paths that bypass this service and are not changed. */
  bypasses(host: TakeoverHost, journal: Journal): Promise<readonly Bypass[]>
}

/**
 * A feature that is switched together with the DNS and shares its journal, proof and undo. It is
 * requested by name; the journal stores the name. It is reverted before the files are restored.
 */
export interface TakeoverPart {
  readonly name: string
  /** Sentences for `--dry-run`. */
  plan(host: TakeoverHost, request: PlanRequest): Promise<Plan>
  apply(host: TakeoverHost, journal: Journal): Promise<void>
  verify(host: TakeoverHost, journal: Journal): Promise<readonly string[]>
  revert(host: TakeoverHost, journal: Journal): Promise<void>
}
