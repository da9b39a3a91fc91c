import type { Clock } from '../clock.ts'
import { loadConfig } from '../config/load.ts'
import type { Config } from '../config/settings.ts'
import { asEnigmError, isBug } from '../errors.ts'
import { EXIT, type ExitCode } from '../exit-codes.ts'
import { readStatus } from '../posture/reader.ts'
import { ANSWER_LIMIT_MS, sendCommand, socketProblem } from '../system/control-client.ts'
import { controlPath } from '../system/control-socket.ts'
import { isSame, isSuspended } from '../system/process-identity.ts'
import { acceptsCommands, defaultService, type Host, isOne, nameOf, type RunningService, serviceOf } from './running-service.ts'

/** The output and the exit of a command that sends an order. */
export interface OrderWorld {
  readonly err: { write(text: string): unknown }
  readonly exit: (code: number) => void
}

/**
 * Ends a command with the exit code of `order`. If `order` rejects, prints the message as one line
 * on stderr and exits with the code for wrong usage. A bug of this program is rethrown.
 */
export async function exitAfter({ err, exit }: OrderWorld, order: () => Promise<number>): Promise<void> {
  try {
    exit(await order())
  } catch (error) {
    const fault = asEnigmError(error)
    if (isBug(fault.code)) throw error
    err.write(`${fault.message}\n`)
    exit(EXIT.usage)
  }
}

/**
 * The receiver of an order: a running service, or the process that listens next to a status file.
 */
export interface Addressee {
  readonly statusFile: string
  readonly service: RunningService | undefined
}

/** Why an order reached no service. */
export interface Unreached {
  /**
   * `runs`: a service runs and does not obey; `none`: proven that none runs; `unknown`: cannot
   * tell.
   */
  readonly verdict: 'runs' | 'none' | 'unknown'
  /** The reason, as a clause. */
  readonly why: string
  /** It takes orders from its own user and root only: this user cannot run the command. */
  readonly refusesUser?: true
}

/** The exit code of a command whose order reached no service. */
export function exitOfUnreached({ verdict }: Unreached): ExitCode {
  return verdict === 'none' ? EXIT.notAsWished : EXIT.cannotTell
}

/**
 * Finds the receiver of an order: the service with that configuration; without one, the running
 * service. An invalid configuration file does not block an order to the service that was started
 * with it. Rejects with an EnigmError `config` if the receiver depends on a configuration that
 * cannot be read.
 */
export async function addressee(config: string | undefined, host: Host): Promise<Addressee | Unreached> {
  if (config !== undefined) {
    const service = serviceOf(config, host)
    if (service !== undefined) return { service, statusFile: service.statusFile }
    const { statusFile } = (await loadConfig(config)).config
    return { statusFile, service: host.services().find((one) => one.statusFile === statusFile) }
  }
  const found = defaultService(host, true)
  if (!isOne(found))
    return { verdict: 'unknown', why: `several services run: ${found.map(nameOf).join(', ')}; name the configuration of one (--config)` }
  if (found !== undefined) return { service: found, statusFile: found.statusFile }
  return { service: undefined, statusFile: (await loadConfig()).config.statusFile }
}

/**
 * Services of this network namespace that use the state directory or a listen address of this
 * configuration.
 */
export function related(config: Pick<Config, 'stateDir' | 'listen'>, host: Host): readonly RunningService[] {
  const here = host.namespace()
  return host.services().filter(({ namespace, stateDir, listen }) => {
    if (stateDir === config.stateDir) return true
    return (namespace === undefined || namespace === here) && listen.some((place) => config.listen.includes(place))
  })
}

/**
 * Finds out why no service answered there. `named`: a person named the configuration, so one status
 * file can prove that its service has stopped. Without a name, an old file at a default place
 * proves nothing: a service may write elsewhere.
 */
export function whyUnreached({ statusFile, service }: Addressee, named: boolean, host: Host, clock: Clock): Unreached {
  if (service !== undefined) return unwilling(service.pid, acceptsCommands(service, host), statusFile)
  const here = atPlace(statusFile, clock)
  if (here !== undefined && (named || here.verdict !== 'none')) return here
  for (const file of named ? [] : host.statusFiles) {
    const elsewhere = file === statusFile ? undefined : atPlace(file, clock)
    if (elsewhere !== undefined && elsewhere.verdict !== 'none') return elsewhere
  }
  return anywhere(statusFile, host)
}

function unwilling(pid: number, ours: boolean, statusFile: string): Unreached {
  const runs = (why: string): Unreached => ({ verdict: 'runs', why: `the daemon (process ${pid}) runs but ${why}` })
  const socket = controlPath(statusFile)
  const problem = socketProblem(socket)
  if (!ours || problem === 'not ours')
    return { ...runs('does not accept commands from this user: run this as the same user or root, or stop it'), refusesUser: true }
  if (problem === 'missing') return runs(`has no control socket (${socket}): its log says why; to stop it: kill ${pid}`)
  if (isSuspended(pid))
    return runs(`is suspended (SIGSTOP), so it answers nothing: kill -CONT ${pid}, or as the last resort kill -9 ${pid}`)
  return runs(`did not answer within ${ANSWER_LIMIT_MS / 1000} s: try again, or as the last resort kill -9 ${pid}`)
}

/**
 * Whether anything answers at the control socket. Send it before an order that may take long, so
 * that nobody waits for a process that hangs.
 */
export async function answersOrders({ statusFile }: Addressee, clock: Clock): Promise<boolean> {
  return (await sendCommand(controlPath(statusFile), 'answers', clock)) !== undefined
}

/** What the status file shows about its writer; undefined: there is no file. */
function atPlace(statusFile: string, clock: Clock): Unreached | undefined {
  const { document, judgement } = readStatus(statusFile, { wallMs: clock.wallMs(), isSame })
  if (judgement === 'not-found') return undefined
  if (judgement === 'permission-denied')
    return { verdict: 'unknown', why: `cannot tell whether a daemon runs: this user cannot read ${statusFile}` }
  if (document === undefined)
    return { verdict: 'unknown', why: `cannot tell whether a daemon runs: ${statusFile} is not a status file of this version` }
  const same = isSame(document.pid, document.processStart)
  if (same === true) return unwilling(document.pid, true, statusFile)
  if (same === false) return { verdict: 'none', why: `no daemon runs with the status file ${statusFile}` }
  return {
    verdict: 'unknown',
    why: `cannot tell whether a daemon runs: process ${document.pid} may have written ${statusFile}`,
  }
}

/**
 * The result if the status file is missing. That alone proves nothing: a service may write
 * elsewhere, or belong to another user.
 */
function anywhere(statusFile: string, host: Host): Unreached {
  const others = host.services()
  const likely = host.likely()
  const unknown = (why: string): Unreached => ({ verdict: 'unknown', why: `cannot tell whether this daemon runs: ${why}` })
  if (others.length > 0) return unknown(`${others.map(nameOf).join(', ')} runs with another status file; name its configuration (--config)`)
  if (likely === undefined) return unknown('this user cannot see the processes of other users')
  if (likely.length > 0) return unknown(`process ${likely.join(', ')} looks like a daemon; run this as its user, with its configuration`)
  return { verdict: 'none', why: `no daemon runs with the status file ${statusFile}` }
}
