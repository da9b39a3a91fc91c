import { createHash } from 'node:crypto'
import { type FSWatcher, readFileSync, realpathSync, statSync, watch } from 'node:fs'
import { basename, dirname } from 'node:path'
import type { Clock, Timer } from '../clock.ts'

/** An editor or a package manager writes several times in a row. */
const SETTLE_MS = 500
/** Where the kernel has no watch left to give, or the file lies where it cannot watch. */
const POLL_MS = 5000
/**
 * No file that is watched is larger (config/jsonc.ts); a larger one counts by its size and time.
 */
const MAX_OCTETS = 1_048_576

export interface FileWatch {
  /**
   * Watches these from now on; what they hold at this moment is no change. `readAtMs`: when they
   * were read, wall clock, where that was before: one that was changed since then counts as
   * changed.
   */
  files(paths: readonly string[], readAtMs?: number): void
  stop(): void
}

/**
 * Calls `changed` once after the content of a watched file is another one than before: written in
 * place, replaced by a rename, reached through another link, or deleted. Directories are watched,
 * not files, since a rename leaves a file's watch behind with the old one. Keeps nothing alive.
 */
export function watchFiles(o: { readonly clock: Clock; readonly changed: () => void }): FileWatch {
  let watchers: FSWatcher[] = []
  let paths: readonly string[] = []
  let seen = ''
  let timer: Timer | undefined

  const look = () => {
    timer = undefined
    const now = fingerprint(paths)
    if (now !== seen) {
      seen = now
      listen()
      o.changed()
    }
    if (watchers.length === 0 && paths.length > 0) later(POLL_MS)
  }
  const later = (ms: number) => {
    timer?.cancel()
    timer = o.clock.setTimer(ms, look)
  }
  const close = () => {
    for (const watcher of watchers) watcher.close()
    watchers = []
  }
  const listen = () => {
    close()
    const names = new Set(paths.flatMap(placesOf).map((path) => basename(path)))
    try {
      for (const directory of new Set(paths.flatMap(placesOf).map(dirname))) {
        // A name of null says that it is not known; and a link to a directory on the way may carry
        // any name.
        const watcher = watch(directory, { persistent: false }, (_event, name) => {
          if (name === null || names.has(name) || isLink(directory, name)) later(SETTLE_MS)
        })
        watcher.on('error', () => {
          close()
          later(POLL_MS)
        })
        watchers.push(watcher)
      }
    } catch {
      close()
      later(POLL_MS)
    }
  }
  return {
    files(next, readAtMs) {
      paths = next
      seen = fingerprint(paths)
      listen()
      if (readAtMs === undefined || !paths.some((path) => changedSince(path, readAtMs))) return
      seen = ''
      later(SETTLE_MS)
    },
    stop() {
      paths = []
      timer?.cancel()
      close()
    },
  }
}

/** The kernel's clock for files moves in steps of up to 10 ms. */
const STEP_MS = 10

function changedSince(path: string, wallMs: number): boolean {
  try {
    return statSync(path).ctimeMs > wallMs - STEP_MS
  } catch {
    return false
  }
}

/** The path, and where it leads. */
function placesOf(path: string): readonly string[] {
  try {
    const real = realpathSync(path)
    return real === path ? [path] : [path, real]
  } catch {
    return [path]
  }
}

/** Kubernetes and the like exchange a link to the directory that holds the files. */
function isLink(directory: string, name: string): boolean {
  try {
    return realpathSync(`${directory}/${name}`) !== `${realpathSync(directory)}/${name}`
  } catch {
    return false
  }
}

/** By content: a touch, or a save without a change, is none. */
function fingerprint(paths: readonly string[]): string {
  const hash = createHash('sha256')
  for (const path of paths) {
    hash.update(`${path}\0`)
    try {
      const found = statSync(path)
      const { size, mtimeMs, mode } = found
      hash.update(`${mode} `)
      if (size > MAX_OCTETS || !found.isFile()) hash.update(`${size} ${mtimeMs}`)
      else hash.update(readFileSync(path))
    } catch {
      hash.update('absent')
    }
  }
  return hash.digest('hex')
}
