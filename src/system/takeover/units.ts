import { UNITS } from '../units.ts'
import type { TakeoverHost } from './backend.ts'
import type { UnitState } from './journal.ts'

/** The state of a systemd unit. */
export interface Unit {
  readonly loaded: boolean
  readonly active: boolean
  readonly masked: boolean
  readonly enabled: boolean
}

/** Whether systemd runs this host (sd_booted(3)). */
export async function hasSystemd(host: Pick<TakeoverHost, 'run'>): Promise<boolean> {
  const said = await host.run('systemctl', ['show', '--property=Version'], { limitMs: 5000 })
  return said.code === 0 && /^Version=\S/m.test(said.stdout)
}

/** Reads the state of a unit. Without systemd no unit is loaded. */
export async function unitOf(host: Pick<TakeoverHost, 'run'>, name: string): Promise<Unit> {
  const said = await host.run('systemctl', ['show', '--property=LoadState,ActiveState,UnitFileState', name], { limitMs: 5000 })
  const value = (key: string) => new RegExp(`^${key}=(.*)$`, 'm').exec(said.stdout)?.[1] ?? ''
  return {
    loaded: value('LoadState') === 'loaded',
    active: ['active', 'reloading', 'activating'].includes(value('ActiveState')),
    masked: value('LoadState') === 'masked',
    enabled: /^enabled/.test(value('UnitFileState')),
  }
}

/** Whether a unit is active. */
export async function isActive(host: Pick<TakeoverHost, 'run'>, name: string): Promise<boolean> {
  return (await unitOf(host, name)).active
}

/** The installed units of this service with their present state. */
export async function ourUnits(host: Pick<TakeoverHost, 'run'>): Promise<readonly UnitState[]> {
  const states = await Promise.all(UNITS.map(async (name) => ({ name, ...(await unitOf(host, name)) })))
  return states.filter(({ loaded }) => loaded).map(({ name, enabled, active }) => ({ name, enabled, active }))
}

/** Starts the units, now and at each boot. Returns systemd's error. Undefined: no error. */
export async function startUnits(host: TakeoverHost, units: readonly UnitState[]): Promise<string | undefined> {
  const idle = units.filter(({ enabled, active }) => !enabled || !active).map(({ name }) => name)
  if (idle.length === 0) return undefined
  await host.run('systemctl', ['reset-failed', ...idle])
  const said = await host.run('systemctl', ['enable', '--now', '--quiet', ...idle], { limitMs: 15_000 })
  return said.code === 0 ? undefined : said.stderr.trim()
}

/**
 * Restores the former state of the units. `now`: false at boot, when nothing is started or stopped.
 */
export async function restoreUnits(host: TakeoverHost, units: readonly UnitState[], now: boolean): Promise<void> {
  const off = units.filter(({ enabled }) => !enabled).map(({ name }) => name)
  const idle = units.filter(({ active }) => !active).map(({ name }) => name)
  if (off.length > 0) await host.run('systemctl', ['disable', '--quiet', ...off])
  // The socket is stopped first, because it could start the service again.
  if (now && idle.length > 0) await host.run('systemctl', ['stop', ...idle], { limitMs: 15_000 })
}
