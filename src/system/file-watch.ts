import { createHash } from 'node:crypto'
import { type FSWatcher, readFileSync, realpathSync, statSync, watch } from 'node:fs'
import { basename, dirname } from 'node:path'
import type { Clock, Timer } from '../clock.ts'

/** A change is reported after this time, because editors write several times in a row. */
const SETTLE_MS = 500
/** Files are checked at this interval if the kernel cannot watch them or has no watches left. */
const POLL_MS = 5000
/** Limit for a comparison by content. A larger file is compared by size and time. */
const MAX_OCTETS = 1_048_576

export interface FileWatch {
  /**
   * Watches these files from now on. Their present content is not a change. `readAtMs`: when they
   * were read (wall clock), if this was earlier. A file that changed after that counts as changed.
   */
  files(paths: readonly string[], readAtMs?: number): void
  stop(): void
}

/**
 * Calls `changed` once when the content of a watched file has changed: it was written in place,
 * replaced by a rename, reached through another link, or deleted. Directories are watched and not
 * files, because after a rename the watch of a file stays with the old file. It does not keep the
 * process alive.
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
        // A null name means unknown. A link to a directory on the path may have any name.
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

/** The kernel's clock for file times advances in steps of up to 10 ms. */
const STEP_MS = 10

function changedSince(path: string, wallMs: number): boolean {
  try {
    return statSync(path).ctimeMs > wallMs - STEP_MS
  } catch {
    return false
  }
}

/** The path, and the target to which it resolves. */
function placesOf(path: string): readonly string[] {
  try {
    const real = realpathSync(path)
    return real === path ? [path] : [path, real]
  } catch {
    return [path]
  }
}

/**
 * Whether a name is a link. Kubernetes, for example, replaces a link to the directory of the files.
 */
function isLink(directory: string, name: string): boolean {
  try {
    return realpathSync(`${directory}/${name}`) !== `${realpathSync(directory)}/${name}`
  } catch {
    return false
  }
}

/** A text that changes with the content of the files. A touch does not change it. */
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
