import { isDeepStrictEqual } from 'node:util'
import { type Config, EFFECTS, type SettingPath } from './settings.ts'

const PATHS = Object.keys(EFFECTS) as readonly SettingPath[]

/**
 * The paths of the settings of `next` that a reload cannot put in force. `next` was read from the
 * files; `inForce` is the current configuration.
 */
export function restartOnly(inForce: Config, next: Config): readonly SettingPath[] {
  return PATHS.filter((path) => waits(path, inForce, next))
}

/**
 * The configuration in force after a reload. It is `next`, but settings that take effect only at
 * the next start keep the values of `inForce`.
 */
export function inForceAfterReload(inForce: Config, next: Config): Config {
  return restartOnly(inForce, next).reduce((config, path) => withValue(config, path, keptValue(inForce, path)), next)
}

function waits(path: SettingPath, inForce: Config, next: Config): boolean {
  const [before, after] = [valueAt(inForce, path), valueAt(next, path)]
  if (EFFECTS[path] === 'start') return !isDeepStrictEqual(before, after)
  return EFFECTS[path] === 'stop-at-start' && !isOff(before) && isOff(after)
}

/**
 * The value that stays in force. A required setting that is switched off stays on, not required.
 */
function keptValue(inForce: Config, path: SettingPath): unknown {
  return EFFECTS[path] === 'stop-at-start' ? 'on' : valueAt(inForce, path)
}

const isOff = (value: unknown) => value === undefined || value === 'off'

function valueAt(config: Config, path: SettingPath): unknown {
  const [name, key] = parts(path)
  const value = config[name]
  return key === undefined ? value : (value as Readonly<Record<string, unknown>> | undefined)?.[key]
}

/** The configuration with one value changed. A group without settings is removed (`page`). */
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
