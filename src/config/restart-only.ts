import { isDeepStrictEqual } from 'node:util'
import { type Config, EFFECTS, type SettingPath } from './settings.ts'

const PATHS = Object.keys(EFFECTS) as readonly SettingPath[]

/**
 * The paths of the settings in which `next`, read from the files, differs from the configuration
 * that a reload would put in force after `inForce`.
 */
export function restartOnly(inForce: Config, next: Config): readonly SettingPath[] {
  return PATHS.filter((path) => waits(path, inForce, next))
}

/**
 * The configuration in force after a reload: `next`, but settings that wait for the next start keep
 * their values of `inForce`.
 */
export function inForceAfterReload(inForce: Config, next: Config): Config {
  return restartOnly(inForce, next).reduce((config, path) => withValue(config, path, keptValue(inForce, path)), next)
}

function waits(path: SettingPath, inForce: Config, next: Config): boolean {
  const [before, after] = [valueAt(inForce, path), valueAt(next, path)]
  if (EFFECTS[path] === 'start') return !isDeepStrictEqual(before, after)
  return EFFECTS[path] === 'stop-at-start' && !isOff(before) && isOff(after)
}

/** A setting that was required and was switched off stays on, but is no longer required. */
function keptValue(inForce: Config, path: SettingPath): unknown {
  return EFFECTS[path] === 'stop-at-start' ? 'on' : valueAt(inForce, path)
}

const isOff = (value: unknown) => value === undefined || value === 'off'

function valueAt(config: Config, path: SettingPath): unknown {
  const [name, key] = parts(path)
  const value = config[name]
  return key === undefined ? value : (value as Readonly<Record<string, unknown>> | undefined)?.[key]
}

/** A group without remaining settings is left out (`page` if no page is served). */
function withValue(config: Config, path: SettingPath, value: unknown): Config {
  const [name, key] = parts(path)
  if (key === undefined) return { ...config, [name]: value }
  const settings = Object.entries({ ...(config[name] as object | undefined), [key]: value }).filter(([, one]) => one !== undefined)
  const { [name]: _old, ...rest } = config
  return (settings.length === 0 ? rest : { ...rest, [name]: Object.fromEntries(settings) }) as Config
}

function parts(path: SettingPath): readonly [name: keyof Config, key: string | undefined] {
  const [name, key] = path.split('.')
  return [name as keyof Config, key]
}
