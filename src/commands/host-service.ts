import { type Supervisor, supervisorOf } from '../system/supervisor.ts'
import { isSystemd, unitState } from '../system/systemctl.ts'
import { SERVICE_UNIT, SOCKET_UNIT, STUB_SOCKET_UNIT } from '../system/units.ts'
import { defaultService, type Host, isOne, type RunningService } from './running-service.ts'

/** How the service of this host is run, for commands that show the next step. */
export interface HostService extends ServiceManager {
  /** The running service; if several run, the first one. */
  readonly running: RunningService | undefined
}

/** Who starts and stops a service. */
export interface ServiceManager {
  /** Whether the units are installed. */
  readonly installed: boolean
  /** Whether systemd started the running service, or listens for it. */
  readonly managed: boolean
  /** Another program that starts the running service again; absent: there is none. */
  readonly supervisor?: Supervisor
}

/**
 * Finds out how the service of this host is run: looks for a running service, and asks systemd for
 * the units.
 */
export function hostService(host: Host): HostService {
  const found = defaultService(host)
  const running = isOne(found) ? found : found[0]
  return { running, ...managerOf(running) }
}

/** Who manages that service; undefined: the one that does not run, but which a query may start. */
export function managerOf(running: RunningService | undefined): ServiceManager {
  const supervisor = running === undefined ? undefined : supervisorOf(running.pid)
  const other = supervisor === undefined ? {} : { supervisor }
  if (!isSystemd()) return { installed: false, managed: false, ...other }
  const [service, socket] = [unitState(SERVICE_UNIT), unitState(SOCKET_UNIT)]
  const installed = service.file !== ''
  const ours = running === undefined ? socket.active === 'active' || service.pid !== 0 : service.pid === running.pid
  return { installed, managed: installed && ours, ...other }
}

/**
 * The command that stops the units. It includes the sockets, because the next query to a socket
 * would start the service.
 */
export const STOP_UNITS = `sudo systemctl stop ${SOCKET_UNIT} ${STUB_SOCKET_UNIT} ${SERVICE_UNIT}`
export const START_UNITS = `sudo systemctl start ${SERVICE_UNIT}`
