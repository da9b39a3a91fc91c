import type { ReasonCode } from '../posture/reasons.ts'
import { SERVICE_UNIT } from '../system/units.ts'
import type { Remark } from './diagnosis.ts'
import { type HostService, START_UNITS } from './host-service.ts'

const INSTALL = 'sudo enigm-dns service install'
const ENABLE = 'sudo enigm-dns system enable'
const CHECK = 'enigm-dns check'

/** The one command that helps, by the reason that the service reports. */
const BY_REASON: Partial<Record<ReasonCode, string>> = {
  'portal-suspected': 'enigm-dns portal',
  'reload-refused': CHECK,
  'query-trace': 'sudo enigm-dns reload',
  'system-asks-elsewhere': ENABLE,
  'network-unknown': 'ip route',
  'clock-suspect': 'sudo timedatectl set-ntp true',
  'audit-gap': 'sudo enigm-dns audit verify',
}

/** The status of another version may contain a reason that this version does not know. */
const forReason: Readonly<Record<string, string | undefined>> = BY_REASON

/**
 * The one command for the first of `remarks`, which are ordered worst first. Undefined if there is
 * no problem.
 */
export function nextCommand(remarks: readonly Remark[], service: HostService): string | undefined {
  const [first] = remarks
  if (first === undefined || first.state === 'ok') return undefined
  return commandFor(first, service)
}

function commandFor({ layer, state, code, message, mend }: Remark, service: HostService): string {
  const { running, installed } = service
  const resumed = /kill -CONT \d+$/.exec(mend)?.[0]
  const known =
    mend.includes(' to allowFrom ') || mend.includes('(enigm-dns check ') ? CHECK : resumed === undefined ? undefined : `sudo ${resumed}`
  switch (layer) {
    case 'nsswitch':
      return "sudo sed -i '/^hosts:/s/$/ dns/' /etc/nsswitch.conf"
    case 'resolv.conf':
      if (state === 'unknown') return 'enigm-dns system status'
      return installed || running !== undefined ? ENABLE : `${INSTALL} && ${ENABLE}`
    case 'listener':
    case 'service':
      if (state === 'unknown') return 'sudo enigm-dns doctor'
      if (known !== undefined) return known
      if (running !== undefined) return restartOf(service)
      return installed ? START_UNITS : `${INSTALL} --now`
    case 'policy':
      if (code === 'restart-needed' || code === 'internal-fault') return restartOf(service)
      return (code === undefined ? undefined : forReason[code]) ?? 'enigm-dns status'
    case 'clock':
      return 'sudo timedatectl set-ntp true'
    case 'network':
      return 'ip route'
    case 'links':
      return /cannot read|--offline/.test(message) ? 'sudo enigm-dns doctor' : CHECK
    case 'certificates':
      return CHECK
  }
}

/** A service that a person started is stopped, and started again as before. */
function restartOf({ managed, supervisor }: HostService): string {
  if (supervisor !== undefined) return supervisor.restart
  return managed ? `sudo systemctl restart ${SERVICE_UNIT}` : 'sudo enigm-dns stop'
}
