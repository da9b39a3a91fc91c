import type { Clock, Random } from '../../clock.ts'
import type { SocketAddress } from '../../config/listen-address.ts'
import type { RunCommand } from '../run-command.ts'
import type { Journal, PlannedChange } from './journal.ts'

/** The programs that decide which DNS server a system uses. Each has a file here. */
export type BackendName = 'resolved' | 'networkmanager' | 'resolvconf' | 'file'

/** What a change needs from the host and from the service on it. Replaced in tests. */
export interface TakeoverHost {
  readonly clock: Clock
  readonly random: Random
  /** This program, as the first words of a command line: absolute paths. */
  readonly program: readonly string[]
  readonly run: RunCommand
  /** Starts a program that outlives this process. Never throws. */
  detach(command: string, args: readonly string[]): void
  /** Sends an order to the running service. Undefined: no service accepts orders of this user. */
  order(order: string): Promise<unknown>
  /** The listen addresses of the running service. Empty: it does not run. */
  listens(): readonly SocketAddress[]
  /** The user of the running service. Undefined: it does not run. */
  serviceUid(): number | undefined
  /** The links that always count as VPN, according to the policy in force. */
  vpnInterfaces(): Promise<readonly string[]>
  /**
   * Whether the service gets authenticated answers, according to its status. Undefined: not known
   * yet.
   */
  authenticated(): boolean | undefined
  /** Asks only `server`. Rejects if no reply comes within `limitMs`. */
  ask(server: SocketAddress, query: Uint8Array, over: 'udp' | 'tcp', limitMs: number): Promise<Uint8Array>
  /** Looks up a name with getaddrinfo, as any program does. Resolves when the lookup has ended. */
  lookup(name: string): Promise<void>
  /** Called before each step. Tests end the process there. */
  step(name: string): void
}

/** What a back end would change. */
export interface Plan {
  readonly changes: readonly PlannedChange[]
  /** The commands that follow the changes, as a person would type them. */
  readonly commands: readonly string[]
  /** Sentences about the disadvantages. */
  readonly notes: readonly string[]
}

/**
 * A path that bypasses this service. `via`: a link or a program. `what`: the server that it uses,
 * and for which names.
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
 * One method to make a system use this service. A back end names the files to change and makes
 * their owner read them. The journal changes the files, between `plan` and `apply`, and before
 * `revert`.
 */
export interface Backend {
  readonly name: BackendName
  /**
   * A description of the owner of the DNS settings. Undefined: this back end is not responsible.
   * Changes nothing.
   */
  find(host: TakeoverHost): Promise<string | undefined>
  /**
   * Returns what would be changed. Changes nothing. Throws an EnigmError `state` with the fix if
   * the change is refused.
   */
  plan(host: TakeoverHost, request: PlanRequest): Promise<Plan>
  /**
   * Makes the owner read the files. May be called again at any time. `changed`: the paths that were
   * written, if not all were. Then a running owner is restarted only if these paths require it.
   */
  apply(host: TakeoverHost, journal: Journal, changed?: readonly string[]): Promise<void>
  /**
   * Sentences about settings of the owner that do not send every name to our address. An empty list
   * is no proof; proof.ts proves it with new names.
   */
  verify(host: TakeoverHost, journal: Journal): Promise<readonly string[]>
  /** Makes the owner apply the files without our changes. May be called again at any time. */
  revert(host: TakeoverHost, journal: Journal): Promise<void>
  /** Paths that bypass this service and are not changed. */
  bypasses(host: TakeoverHost, journal: Journal): Promise<readonly Bypass[]>
}

/**
 * A feature that is switched together with the DNS and uses the same journal, proof and undo. It is
 * requested by name, and the journal stores the name. It is reverted before the files are restored.
 */
export interface TakeoverPart {
  readonly name: string
  /** Sentences for `--dry-run`. */
  plan(host: TakeoverHost, request: PlanRequest): Promise<Plan>
  apply(host: TakeoverHost, journal: Journal): Promise<void>
  verify(host: TakeoverHost, journal: Journal): Promise<readonly string[]>
  revert(host: TakeoverHost, journal: Journal): Promise<void>
}
