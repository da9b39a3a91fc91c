import { textOf } from '../files/reading.ts'
import { unitState } from './systemctl.ts'
import { SERVICE_UNIT } from './units.ts'

/**
 * A program other than our own systemd unit that runs the service, and the command lines for what a
 * person wants. A stop past it does not last: it starts the service again.
 */
export interface Supervisor {
  readonly name: 'systemd' | 'OpenRC' | 'runit'
  readonly stop: string
  readonly restart: string
  readonly logs: string
}

/** What is read of the host; tests replace it. */
export interface SupervisorSources {
  /** The text of a file; undefined if it cannot be read. */
  readonly read: (path: string) => string | undefined
  /** The main process of a systemd unit; 0: none. */
  readonly mainPid: (unit: string) => number
}

const HOST: SupervisorSources = { read: textOf, mainPid: (unit) => unitState(unit).pid }

/**
 * The supervisor of a process, by its parent (runit, OpenRC) or its control group (systemd).
 * Undefined: there is none, it is our own unit, or the system does not tell. Never throws.
 */
export function supervisorOf(pid: number, { read, mainPid }: SupervisorSources = HOST): Supervisor | undefined {
  const parent = /^PPid:\t(\d+)$/m.exec(read(`/proc/${pid}/status`) ?? '')?.[1]
  const [program = '', name = ''] = (parent === undefined ? '' : (read(`/proc/${parent}/cmdline`) ?? '')).split('\0')
  const known = SUPERVISORS[program.slice(program.lastIndexOf('/') + 1)]
  if (known !== undefined && isPlain(name)) return known(name)
  const unit = /^0::\/system\.slice\/(?:\S+\/)?([^/\s]+\.service)$/m.exec(read(`/proc/${pid}/cgroup`) ?? '')?.[1]
  // The programs that a unit starts, as a shell of sshd does, lie in its group too.
  if (unit === undefined || unit === SERVICE_UNIT || !isPlain(unit) || mainPid(unit) !== pid) return undefined
  return { name: 'systemd', ...lines(unit, 'systemctl', 'VERB NAME'), logs: `sudo journalctl -u ${unit} -e` }
}

/** The name goes into a command line that a person copies. */
const isPlain = (name: string) => /^[\w@.:/-]+$/.test(name) && !name.startsWith('-')

const lines = (name: string, program: string, order: string) => {
  const line = (verb: string) => `sudo ${program} ${order.replace('VERB', verb).replace('NAME', name)}`
  return { stop: line('stop'), restart: line('restart') }
}

/** By the name of the program that is the parent; its first word names the service. */
const SUPERVISORS: Readonly<Record<string, ((name: string) => Supervisor) | undefined>> = {
  runsv: (name) => ({ name: 'runit', ...lines(name, 'sv', 'VERB NAME'), logs: 'sudo tail -n 50 /var/log/enigm-dns/current' }),
  'supervise-daemon': (name) => ({
    name: 'OpenRC',
    ...lines(name, 'rc-service', 'NAME VERB'),
    logs: 'sudo tail -n 50 /var/log/enigm-dns.log',
  }),
}
