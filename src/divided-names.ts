import type { Clock, Random } from './clock.ts'
import type { Loaded } from './config/load.ts'
import { operatorKeys } from './config/operators.ts'
import { asEnigmError } from './errors.ts'
import { type KeyPlace, secretKey } from './system/secret-key.ts'
import type { Split } from './upstream/split.ts'

interface Parts {
  readonly clock: Clock
  /** The secret of this device; see `deviceKey`. */
  readonly splitKey: () => Uint8Array
}

/**
 * How the configuration divides names among operators; undefined: it does not. The list of suffixes
 * is loaded only then. Rejects with an EnigmError.
 */
export function dividedNames({ config, resolvers }: Loaded, { clock, splitKey }: Parts): Promise<Split> | undefined {
  const { split: by } = config
  if (by === 'none') return undefined
  const key = splitKey()
  const operators = operatorKeys(resolvers)
  const loading = Promise.all([import('./upstream/split.ts'), import('./upstream/sites.ts')]).then(
    ([{ Split }, { siteOf }]) => new Split({ by, key, operators, clock, siteOf }),
  )
  // Each query that waits for it learns that it failed.
  loading.catch(() => {})
  return loading
}

/** The place of the key by which sites are divided. */
export function splitKeyPlace(config: { readonly stateDir: string }, credentials: string | undefined): KeyPlace {
  return { stateDir: config.stateDir, name: 'split', credentials }
}

/**
 * The key of this device, made at the first use. If it cannot be kept, a key for this run alone is
 * used, with a warning: names must resolve.
 */
export function deviceKey(place: KeyPlace, random: Random, warn: (message: string) => void): Uint8Array {
  try {
    return secretKey(place)
  } catch (error) {
    warn(`split: sites are divided for this run alone, and come to other operators at the next start: ${asEnigmError(error).message}`)
    return random.bytes(32)
  }
}
