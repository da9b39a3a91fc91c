import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'

/** The output of a systemd command and its exit code. 127: the command does not exist. */
export interface Said {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** Limit for a command. A stop may take 10 s, and other jobs wait for it. */
const LIMIT_MS = 60_000

/** Runs systemctl and waits for it. Never throws. */
export function systemctl(...args: readonly string[]): Said {
  const { status, stdout, stderr } = spawnSync('systemctl', args, { encoding: 'utf8', timeout: LIMIT_MS, env: plainEnvironment() })
  return { code: status ?? 127, stdout: stdout ?? '', stderr: stderr ?? '' }
}

/** The environment for systemctl. Its output is parsed: no pager, no colours, no translation. */
function plainEnvironment(): NodeJS.ProcessEnv {
  return { ...process.env, SYSTEMD_PAGER: '', SYSTEMD_COLORS: '0', LC_ALL: 'C.UTF-8' }
}

/** Whether systemd runs this system (sd_booted(3)). */
export function isSystemd(): boolean {
  return existsSync('/run/systemd/system')
}

/** The state of a unit according to systemd. Unknown texts are empty. */
export interface UnitState {
  /** `active`, `activating`, `inactive`, `failed` and others. */
  readonly active: string
  /** `enabled`, `disabled` and others. */
  readonly enabled: string
  /** The file that defines it. */
  readonly file: string
  /** The main process. 0: none. */
  readonly pid: number
}

/** Reads the state of a unit. All texts are empty if systemd does not answer. */
export function unitState(unit: string): UnitState {
  const { stdout } = systemctl('show', '-p', 'ActiveState,UnitFileState,FragmentPath,MainPID', unit)
  const of = (key: string) => new RegExp(`^${key}=(.*)$`, 'm').exec(stdout)?.[1] ?? ''
  return { active: of('ActiveState'), enabled: of('UnitFileState'), file: of('FragmentPath'), pid: Number(of('MainPID')) || 0 }
}
