import type { Config } from './schema.ts'

/** Settings that are read once, when the service starts: path in the configuration, and its value as text. */
const READ_ONCE: readonly (readonly [path: string, of: (config: Config) => unknown])[] = [
  ['cache.maxBytes', ({ cache }) => cache.maxBytes],
  ['workers', ({ workers }) => workers],
  ['udp', ({ udp }) => udp],
  ['heartbeatS', ({ heartbeatS }) => heartbeatS],
  ['statusFile', ({ statusFile }) => statusFile],
  ['stateDir', ({ stateDir }) => stateDir],
  ['page.listen', ({ page }) => page?.listen],
  ['policy.audit', ({ policy }) => policy?.audit],
]

/** The paths of the settings that differ between the configuration that the service was started with and `next`, and that a reload does not put in force. */
export function restartOnly(started: Config, next: Config): readonly string[] {
  return READ_ONCE.filter(([, of]) => of(started) !== of(next)).map(([path]) => path)
}

/** `next` with what a reload cannot change as it was at the start: what is in force. */
export function inForceAfterReload(started: Config, next: Config): Config {
  const { workers, udp, heartbeatS, statusFile, stateDir } = started
  return { ...next, workers, udp, heartbeatS, statusFile, stateDir, cache: { ...next.cache, maxBytes: started.cache.maxBytes } }
}
