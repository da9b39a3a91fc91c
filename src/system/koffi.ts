import { existsSync, realpathSync } from 'node:fs'
import { createRequire } from 'node:module'
import { endianness } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { programDirectory } from '../config/paths.ts'

type Call = (...args: readonly (number | Buffer | null)[]) => number

/** What is used of the package koffi, which calls C without a compiler. */
export interface Koffi {
  address(buffer: Buffer): bigint
  errno(): number
  /** A function of the C library, by its declaration. */
  c(declaration: string): Call
}

/**
 * What `use` makes of koffi over the C library; undefined where it throws, koffi (an optional
 * dependency) does not load, or this is no little-endian Linux.
 */
export function withKoffi<T>(use: (koffi: Koffi) => T): T | undefined {
  if (process.platform !== 'linux' || endianness() !== 'LE') return undefined
  try {
    const directory = koffiDirectory()
    if (directory === undefined) return undefined
    const koffi = createRequire(import.meta.url)(directory) as Pick<Koffi, 'address' | 'errno'> & {
      load(path: string | null): { func(declaration: string): Call }
    }
    // `null` is the program itself: musl and glibc alike.
    const libc = koffi.load(null)
    return use({ address: (buffer) => koffi.address(buffer), errno: () => koffi.errno(), c: (declaration) => libc.func(declaration) })
  } catch {
    return undefined
  }
}

/**
 * Where koffi was installed with this program; undefined: it was not. Node itself would go on to
 * the node_modules of every directory above, to NODE_PATH and to $HOME/.node_modules, where others
 * may write. koffi looks for its machine code the same way, so that must lie beside it.
 */
function koffiDirectory(): string | undefined {
  const program = programDirectory()
  if (program === undefined) return undefined
  const beside = basename(dirname(program)) === 'node_modules' ? [dirname(program)] : []
  for (const modules of [join(program, 'node_modules'), ...beside]) {
    if (!existsSync(join(modules, 'koffi'))) continue
    const found = realpathSync(join(modules, 'koffi'))
    const machineCode = join(dirname(found), '@koromix', `koffi-${process.platform}-${process.arch}`, 'index.js')
    return existsSync(machineCode) ? found : undefined
  }
  return undefined
}
