import { newFile, newLink } from '../../files/captured.ts'
import type { TakeoverHost } from './backend.ts'
import type { PlannedChange } from './journal.ts'
import { PENDING, REPAIR_WANTED } from './places.ts'

/** The directory of the administrator's units. */
export const UNIT_DIRECTORY = '/etc/systemd/system'
export const REPAIR_PATH_UNIT = 'enigm-dns-repair.path'

/**
 * The units that belong to a change of the system's DNS, as files of its journal. One undoes an
 * unfinished change at boot. The others repair the change when the daemon asks for it.
 */
export function ownUnits({ program }: Pick<TakeoverHost, 'program'>): readonly PlannedChange[] {
  const command = program.map(quoted).join(' ')
  const units = {
    'enigm-dns-recover.service': recover(command),
    'enigm-dns-repair.service': repair(command),
    [REPAIR_PATH_UNIT]: PATH_UNIT,
  }
  const wanted = { 'sysinit.target.wants': 'enigm-dns-recover.service', 'multi-user.target.wants': REPAIR_PATH_UNIT }
  return [
    ...Object.entries(units).map(([name, text]) => ({ path: `${UNIT_DIRECTORY}/${name}`, ours: newFile(text) })),
    ...Object.entries(wanted).map(([target, name]) => ({
      path: `${UNIT_DIRECTORY}/${target}/${name}`,
      ours: newLink(`${UNIT_DIRECTORY}/${name}`),
    })),
  ]
}

/**
 * Whether systemd waits for requests to repair. It does if it ran when these files were written.
 */
export function hasRepairUnit(files: readonly { readonly path: string }[]): boolean {
  return files.some(({ path }) => path === `${UNIT_DIRECTORY}/${REPAIR_PATH_UNIT}`)
}

/** Quotes a word for a unit. A space ends a word, and % begins a specifier (systemd.service(5)). */
export function quoted(word: string): string {
  const escaped = word.replaceAll('%', '%%').replaceAll('$', '$$$$')
  return /^[\w./@%$+-]+$/.test(escaped) ? escaped : `"${escaped.replace(/[\\"]/g, '\\$&')}"`
}

const recover = (command: string) => `[Unit]
Description=Undo a change of the system's DNS that was not finished
Documentation=man:enigm-dns-system(1)
ConditionPathExists=${PENDING}
DefaultDependencies=no
After=local-fs.target
Before=systemd-resolved.service NetworkManager.service systemd-networkd.service networking.service resolvconf.service network-pre.target sysinit.target
[Service]
Type=oneshot
ExecStart=${command} system recover --boot
[Install]
WantedBy=sysinit.target
`

const repair = (command: string) => `[Unit]
Description=Have the system ask enigm-dns again
Documentation=man:enigm-dns-system(1)
StartLimitIntervalSec=60
StartLimitBurst=20
[Service]
Type=oneshot
ExecStart=${command} system repair
`

/**
 * The path unit. A process that may write the watched file can start the repair, and nothing else.
 */
const PATH_UNIT = `[Unit]
Description=Wait until enigm-dns sees that the system asks somebody else
Documentation=man:enigm-dns-system(1)
[Path]
PathModified=${REPAIR_WANTED}
[Install]
WantedBy=multi-user.target
`
