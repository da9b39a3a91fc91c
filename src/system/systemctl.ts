import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'

/** What a command of systemd said, and its exit code; 127: there is no such command. */
export interface Said {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** A stop may take 10 s, and others wait for it. */
const LIMIT_MS = 60_000

/** Runs systemctl and waits for it. Never throws. */
export function systemctl(...args: readonly string[]): Said {
  const { status, stdout, stderr } = spawnSync('systemctl', args, { encoding: 'utf8', timeout: LIMIT_MS, env: plainEnvironment() })
  return { code: status ?? 127, stdout: stdout ?? '', stderr: stderr ?? '' }
}

/** Its output is read here, so it must not page, colour or translate it. */
function plainEnvironment(): NodeJS.ProcessEnv {
  return { ...process.env, SYSTEMD_PAGER: '', SYSTEMD_COLORS: '0', LC_ALL: 'C.UTF-8' }
}

/** Whether systemd is what runs this system (sd_booted(3)). */
export function isSystemd(): boolean {
  return existsSync('/run/systemd/system')
}

/** What systemd knows of a unit; each text is empty where it knows nothing. */
export interface UnitState {
  /** `active`, `activating`, `inactive`, `failed` and others. */
  readonly active: string
  /** `enabled`, `disabled` and others. */
  readonly enabled: string
  /** The file that it came from. */
  readonly file: string
  /** 0: no process. */
  readonly pid: number
}

/** The state of a unit by its name; all empty where systemd does not answer. */
export function unitState(unit: string): UnitState {
  const { stdout } = systemctl('show', '-p', 'ActiveState,UnitFileState,FragmentPath,MainPID', unit)
  const of = (key: string) => new RegExp(`^${key}=(.*)$`, 'm').exec(stdout)?.[1] ?? ''
  return { active: of('ActiveState'), enabled: of('UnitFileState'), file: of('FragmentPath'), pid: Number(of('MainPID')) || 0 }
}
