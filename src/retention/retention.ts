import { createHash } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { AnswerCache } from '../cache/answer-cache.ts'
import type { Clock, Timer } from '../clock.ts'
import type { Loaded as LoadedConfig } from '../config/load.ts'
import { asEnigmError, systemCode } from '../errors.ts'
import { privateDirectory } from '../files/writing.ts'
import { type FileSeal, readSealed, writeSealed } from '../system/sealed-file.ts'
import { isCredential, type KeyPlace, keyFile, secretKey } from '../system/secret-key.ts'
import { type BootInstant, loadSaved, MAX_FILE_OCTETS, type SavedLabel, savedChunks } from './saved-cache.ts'

/** The most that a crash loses. */
const SAVE_EVERY_MS = 5 * 60_000
const FILE_NAME = 'cache.sealed'
const PURPOSE = 'enigm-dns saved cache 1'

/** The part of a configuration that concerns answers kept beyond the process. */
export type RetentionSetup = Pick<LoadedConfig, 'resolvers'> & {
  readonly config: Pick<
    LoadedConfig['config'],
    'cache' | 'stateDir' | 'statusFile' | 'usageProfile' | 'transports' | 'policy' | 'use' | 'forward' | 'views' | 'rebinding' | 'dns64'
  >
}

export interface RetentionOptions {
  readonly cache: AnswerCache
  readonly clock: Clock
  readonly boot: string | undefined
  /** $CREDENTIALS_DIRECTORY. */
  readonly credentials: string | undefined
  readonly warn: (message: string) => void
  readonly setup: RetentionSetup
}

/**
 * Saves the answer cache beyond the process, if configured, and forgets it. Operations run one
 * after another; none rejects.
 */
export interface Retention {
  /**
   * Loads what an earlier run saved, in parallel with other work, and then saves every few minutes.
   * With `off`, removes what an earlier setting left.
   */
  start(): Promise<void>
  /** Takes the setup of an accepted reload. */
  adopt(setup: RetentionSetup): Promise<void>
  /** The wall clock was set: drops answers whose age was computed from it. */
  clockMoved(): void
  /** Removes saved files and their key. Resolves to the removed paths. */
  forget(): Promise<readonly string[]>
  /** Saves for the last time. */
  stop(): Promise<void>
}

/** The settings that determine the paths of saved caches and their key. */
export interface SavedPlaces {
  readonly config: Pick<LoadedConfig['config'], 'stateDir' | 'statusFile'>
}

/** Where a saved cache may be under a setup, for any value of `persist`. */
export function savedFiles({ config }: SavedPlaces): Readonly<Record<'runtime' | 'disk', string>> {
  return { runtime: join(dirname(config.statusFile), FILE_NAME), disk: join(config.stateDir, FILE_NAME) }
}

/** The key with which saved caches are encrypted. */
export function savedKey({ config }: SavedPlaces, credentials: string | undefined): KeyPlace {
  return { stateDir: config.stateDir, name: 'cache', credentials }
}

/**
 * Removes saved caches and their key; resolves to the paths that existed. A key from the service
 * manager stays, because it is not ours.
 */
export async function removeSaved(setup: SavedPlaces, credentials: string | undefined): Promise<readonly string[]> {
  const place = savedKey(setup, credentials)
  const { runtime, disk } = savedFiles(setup)
  const gone: string[] = []
  for (const path of [runtime, disk, ...(isCredential(place) ? [] : [keyFile(place)])]) if (await removeIfThere(path)) gone.push(path)
  return gone
}

async function removeIfThere(path: string): Promise<boolean> {
  try {
    await rm(path)
    return true
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(systemCode(error) ?? '')) return false
    throw error
  }
}

/** How many answers and TLS sessions were forgotten, and the removed files. */
export interface Forgotten {
  readonly entries: number
  readonly sessions: number
  readonly files: readonly string[]
}

/** Nothing is read or written before `start`. */
export function createRetention(o: RetentionOptions): Retention {
  const { cache, clock } = o
  const warned = new Set<string>()
  let { setup } = o
  let busy: Promise<unknown> = Promise.resolve()
  let timer: Timer | undefined
  let stopped = false
  let loadedByWall = false

  /** Each warning is written once, because saving is retried every few minutes. */
  const warn = (message: string) => {
    if (!warned.has(message)) o.warn(message)
    warned.add(message)
  }
  /** Runs one task after another; an error is logged, and the resolver continues. */
  const queued = <T>(work: () => Promise<T>, otherwise: T): Promise<T> => {
    const result = busy.then(work).catch((error: unknown) => {
      warn(`the cache is not kept: ${asEnigmError(error).message}`)
      return otherwise
    })
    busy = result
    return result
  }
  const instant = (): BootInstant => ({ boot: o.boot, bootMs: clock.nowMs(), wallMs: clock.wallMs() })
  const label = (): SavedLabel => ({ fingerprint: fingerprintOf(setup), moment: instant() })
  const seal = (): FileSeal => ({ secret: secretKey(savedKey(setup, o.credentials)), purpose: PURPOSE })
  const staleMaxMs = () => setup.config.cache.staleMaxS * 1000
  const file = (): string | undefined => {
    const { persist } = setup.config.cache
    return persist === 'off' ? undefined : savedFiles(setup)[persist]
  }

  cache.awaitsSaved = file() !== undefined

  const save = async () => {
    const path = file()
    if (path === undefined) return
    if (setup.config.cache.persist === 'disk') privateDirectory(dirname(path))
    await writeSealed(path, seal(), savedChunks(cache, label(), staleMaxMs()))
  }
  const load = async () => {
    const path = file()
    if (path === undefined) return
    const why = await loadSaved(readSealed(path, seal(), MAX_FILE_OCTETS), cache, label(), staleMaxMs()).then(
      (loaded) => {
        if (loaded.outcome === 'loaded') loadedByWall = loaded.by === 'wall'
        if (loaded.outcome === 'damaged') return `${path} is damaged`
        return loaded.outcome === 'foreign' ? `${path} was saved under another configuration, or its age cannot be told` : undefined
      },
      (error: unknown) => asEnigmError(error).message,
    )
    if (why === undefined) return
    await rm(path, { force: true })
    warn(`the saved cache was deleted: ${why}`)
  }
  /** Files left by another setting are a record of queries. */
  const tidy = async () => {
    const keep = file()
    for (const path of Object.values(savedFiles(setup))) if (path !== keep) await rm(path, { force: true })
    if (keep === undefined) await removeSaved(setup, o.credentials)
  }
  const schedule = () => {
    timer?.cancel()
    if (stopped || file() === undefined) return
    timer = clock.setTimer(SAVE_EVERY_MS, () => void queued(save, undefined).then(schedule))
  }

  return {
    async start() {
      await queued(tidy, undefined)
      await queued(load, undefined)
      cache.awaitsSaved = false
      schedule()
    },
    async adopt(next) {
      const before = setup
      setup = next
      loadedByWall = false
      await queued(async () => {
        const old = before.config.cache.persist === 'off' ? undefined : savedFiles(before)[before.config.cache.persist]
        if (old !== undefined && old !== file()) await rm(old, { force: true })
        await tidy()
      }, undefined)
      schedule()
    },
    clockMoved() {
      if (loadedByWall) cache.clear()
      loadedByWall = false
    },
    forget: () => queued(() => removeSaved(setup, o.credentials), []),
    async stop() {
      stopped = true
      timer?.cancel()
      await queued(save, undefined)
    },
  }
}

/** A hash of everything that decides what an answer is and how long it is kept. */
function fingerprintOf({ resolvers, config }: RetentionSetup): string {
  const { minTtlS, maxTtlS } = config.cache
  // Views are known by their numbers, and names by who answers them.
  const { usageProfile, transports, policy, use, forward, views, rebinding, dns64 } = config
  const conditions = { resolvers, usageProfile, transports, policy, use, forward, views, rebinding, dns64, minTtlS, maxTtlS }
  return createHash('sha256').update(JSON.stringify(conditions)).digest('hex')
}
