import { existsSync } from 'node:fs'
import type { Clock } from '../../clock.ts'
import type { Emit } from '../../events.ts'
import { PUBLIC_STATE } from './places.ts'
import type { TakeoverWatch } from './watch.ts'

/**
 * Loads the watch over the system's DNS when there is something to watch. Until then a beat costs
 * one stat. `beat` is called at each heartbeat, and resolves when the watch has begun. `look`
 * checks now, and resolves when the result is reported.
 */
export function takeoverBeat(clock: Clock, emit: Emit): { beat(): Promise<void>; look(): Promise<void>; stop(): void } {
  let watch: TakeoverWatch | undefined
  let stopped = false
  const begun = async () => {
    if (stopped || (watch === undefined && !existsSync(PUBLIC_STATE))) return undefined
    if (watch === undefined) {
      const [{ watchTakeover }, { runCommand }] = await Promise.all([import('./watch.ts'), import('../run-command.ts')])
      watch ??= watchTakeover({ clock, emit, run: runCommand })
    }
    return stopped ? undefined : watch
  }
  return {
    beat: async () => (await begun())?.beat(),
    look: async () => (await begun())?.look(),
    stop() {
      stopped = true
      watch?.stop()
    },
  }
}
