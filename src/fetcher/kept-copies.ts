import { createHash } from 'node:crypto'
import { join } from 'node:path'
import * as v from 'valibot'
import { filesIn } from '../files/captured.ts'
import { readPrivateJson, writePrivateJson } from '../files/json.ts'
import { createNew, makeDirectory, putInPlace, remove, temporaryOf, unusablePath } from '../files/writing.ts'

const about = v.object({
  version: v.literal(1),
  /** The URL of the source. If the configuration has another one, the copy is not used. */
  url: v.string(),
  etag: v.optional(v.string()),
  lastModified: v.optional(v.string()),
  /** SHA-256 of the content, in hexadecimal. */
  sha256: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/)),
  octets: v.number(),
  /** When it was last fetched or found unchanged: wall clock, ms since 1970. */
  checkedAtMs: v.number(),
  /** The text of its minisign signature. */
  signature: v.optional(v.string()),
})

/** The document about the kept copy of a source. */
export type KeptAbout = v.InferOutput<typeof about>

/**
 * A source that is being fetched (see `KeptCopies.begin`). Its content goes to a separate file
 * until it is accepted.
 */
export interface Incoming {
  /** The file with the content; complete when `end` has resolved. */
  readonly path: string
  write(part: Uint8Array): Promise<void>
  /** Call when the content is complete. Resolves to its SHA-256 in hexadecimal. */
  end(): Promise<string>
  /**
   * Makes the content the kept copy in one step, and removes the old copy. Resolves to the new
   * path. Rejects with an EnigmError `state`.
   */
  keep(known: Omit<KeptAbout, 'version' | 'sha256' | 'octets'>): Promise<string>
  /** Removes the file; the old copy stays. May be called at any time. */
  drop(): Promise<void>
}

/**
 * Keeps the last good copy of each source, in a private directory (mode 0700). A copy is a file
 * whose name contains the hash of its content, and a small document with that hash. So after a
 * crash at any instant, the old or the new copy is in force. An `id` has only letters, digits, `-`
 * and `_`.
 */
export class KeptCopies {
  readonly #directory: string

  /** The directory is created by the first `begin`. */
  constructor(directory: string) {
    this.#directory = directory
  }

  /** The document about the copy of a source; undefined: there is no copy from this URL. */
  about(id: string, url: string): KeptAbout | undefined {
    const known = readPrivateJson(this.#documentOf(id), about)
    return known?.url === url ? known : undefined
  }

  /** The path of a copy. */
  path(id: string, { sha256 }: Pick<KeptAbout, 'sha256'>): string {
    return join(this.#directory, `${id}.${sha256.slice(0, 16)}.copy`)
  }

  /** Records that the source was checked and has not changed. */
  unchanged(id: string, known: KeptAbout, checkedAtMs: number): void {
    writePrivateJson(this.#documentOf(id), { ...known, checkedAtMs })
  }

  /** Begins a new copy. Rejects with an EnigmError `state` if the file cannot be created. */
  async begin(id: string): Promise<Incoming> {
    const path = temporaryOf(join(this.#directory, `${id}.new`))
    const hash = createHash('sha256')
    let octets = 0
    try {
      makeDirectory(this.#directory, 0o700)
      remove(path)
      const handle = await createNew(path, 0o600)
      let sha256 = ''
      return {
        path,
        async write(part) {
          octets += part.length
          hash.update(part)
          await handle.appendFile(part)
        },
        async end() {
          await handle.sync()
          await handle.close()
          sha256 = hash.digest('hex')
          return sha256
        },
        keep: (known) => this.#adopt(id, path, { version: 1, ...known, sha256, octets }),
        async drop() {
          await handle.close().catch(() => {})
          remove(path)
        },
      }
    } catch (error) {
      throw unusablePath(this.#directory, error)
    }
  }

  /**
   * Removes the copies of sources that are not in `ids`, and temporary files of a killed process.
   */
  keepOnly(ids: ReadonlySet<string>): void {
    for (const name of filesIn(this.#directory)) {
      const id = /^([\w-]+)\.(json|[0-9a-f]{16}\.copy|new\.\d+\.tmp)$/.exec(name)
      if (id !== null && (!ids.has(id[1] ?? '') || name.endsWith('.tmp'))) remove(join(this.#directory, name))
    }
  }

  #documentOf(id: string): string {
    return join(this.#directory, `${id}.json`)
  }

  async #adopt(id: string, from: string, known: KeptAbout): Promise<string> {
    const path = this.path(id, known)
    try {
      await putInPlace(from, path)
      if (!writePrivateJson(this.#documentOf(id), known)) throw new Error('the document cannot be written')
    } catch (error) {
      throw unusablePath(this.#directory, error)
    }
    const old = new RegExp(`^${id}\\.[0-9a-f]{16}\\.copy$`)
    for (const name of filesIn(this.#directory)) {
      const other = join(this.#directory, name)
      if (old.test(name) && other !== path) remove(other)
    }
    return path
  }
}
