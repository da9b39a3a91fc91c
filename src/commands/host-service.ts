import { isSystemd, unitState } from '../system/systemctl.ts'
import { SERVICE_UNIT, SOCKET_UNIT, STUB_SOCKET_UNIT } from '../system/units.ts'
import { defaultService, type Host, isOne, type RunningService } from './running-service.ts'

/** How the service of this host is run, for commands that show the next step. */
export interface HostService {
  /** A running service, the first of several. */
  readonly running: RunningService | undefined
  /** Whether the units are installed. */
  readonly installed: boolean
  /** Whether systemd started the running service, or listens for it. */
  readonly managed: boolean
}

/** Looks for a running service, and asks systemd, if there is one, for the units. */
export function hostService(host: Host): HostService {
  const found = defaultService(host)
  const running = isOne(found) ? found : found[0]
  if (!isSystemd()) return { running, installed: false, managed: false }
  const [service, socket] = [unitState(SERVICE_UNIT), unitState(SOCKET_UNIT)]
  const installed = service.file !== ''
  const ours = running === undefined ? socket.active === 'active' || service.pid !== 0 : service.pid === running.pid
  return { running, installed, managed: installed && ours }
}

/**
 * The command that stops the units: if a socket remained, the next query would start the service.
 */
export const STOP_UNITS = `sudo systemctl stop ${SOCKET_UNIT} ${STUB_SOCKET_UNIT} ${SERVICE_UNIT}`
export const START_UNITS = `sudo systemctl start ${SERVICE_UNIT}`
