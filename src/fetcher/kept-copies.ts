import { createHash } from 'node:crypto'
import { join } from 'node:path'
import * as v from 'valibot'
import { filesIn } from '../files/captured.ts'
import { readPrivateJson, writePrivateJson } from '../files/json.ts'
import { createNew, makeDirectory, putInPlace, remove, temporaryOf, unusablePath } from '../files/writing.ts'

const about = v.object({
  version: v.literal(1),
  /** The address that it came from: another one in the configuration makes the copy worthless. */
  url: v.string(),
  etag: v.optional(v.string()),
  lastModified: v.optional(v.string()),
  /** Of the content, in hexadecimal. */
  sha256: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/)),
  octets: v.number(),
  /** When it was last fetched or found unchanged, by the wall clock. */
  checkedAtMs: v.number(),
  /** The signature that came with it. */
  signature: v.optional(v.string()),
})

/** What is known about the kept copy of a source. */
export type KeptAbout = v.InferOutput<typeof about>

/**
 * A source that is being fetched (see `KeptCopies.begin`): its content goes to a file of its own
 * until it is accepted.
 */
export interface Incoming {
  /** Where the content is, from `end` on. */
  readonly path: string
  write(part: Uint8Array): Promise<void>
  /** The content is complete. Resolves to its SHA-256 in hexadecimal. */
  end(): Promise<string>
  /**
   * Makes it the kept copy, in one step, and resolves to its path. The earlier copy is removed.
   * Rejects with an EnigmError `state`.
   */
  keep(known: Omit<KeptAbout, 'version' | 'sha256' | 'octets'>): Promise<string>
  /** Removes it; the earlier copy stays. May be called at any time. */
  drop(): Promise<void>
}

/**
 * The last good copy of each source, in a directory of ours (0700). A copy is a file named for its
 * content, and a small document that names it: a kill at any moment leaves the old copy or the new
 * one. `id`: letters, digits, `-` and `_` only.
 */
export class KeptCopies {
  readonly #directory: string

  /** Nothing is made before the first `begin`. */
  constructor(directory: string) {
    this.#directory = directory
  }

  /** What is known about the copy of a source; undefined: there is none from this address. */
  about(id: string, url: string): KeptAbout | undefined {
    const known = readPrivateJson(this.#documentOf(id), about)
    return known?.url === url ? known : undefined
  }

  /** The file of a copy. */
  path(id: string, { sha256 }: Pick<KeptAbout, 'sha256'>): string {
    return join(this.#directory, `${id}.${sha256.slice(0, 16)}.copy`)
  }

  /** Records that the source was asked again and has not changed. */
  unchanged(id: string, known: KeptAbout, checkedAtMs: number): void {
    writePrivateJson(this.#documentOf(id), { ...known, checkedAtMs })
  }

  /** Begins a new copy. Rejects with an EnigmError `state` if no file can be made. */
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

  /** Removes the copies of every source that is not in `ids`, and what a killed process left. */
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
