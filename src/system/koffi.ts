import { existsSync, realpathSync } from 'node:fs'
import { createRequire } from 'node:module'
import { endianness } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { programDirectory } from '../config/paths.ts'

type Call = (...args: readonly (number | Buffer | null)[]) => number

/** The used part of the package koffi, which calls C functions without a compiler. */
export interface Koffi {
  /** The address of a buffer's memory, or of what a pointer points to. */
  address(memory: unknown): bigint
  errno(): number
  /** Makes a function of the C library from its declaration. */
  c(declaration: string): Call
  /** The same for functions with pointers, texts and 64-bit numbers. */
  call(declaration: string): (...args: readonly unknown[]) => unknown
}

/**
 * Calls `use` with koffi and the C library. Undefined: `use` threw, koffi (an optional dependency)
 * does not load, or this is not little-endian Linux.
 */
export function withKoffi<T>(use: (koffi: Koffi) => T): T | undefined {
  if (process.platform !== 'linux' || endianness() !== 'LE') return undefined
  try {
    const directory = koffiDirectory()
    if (directory === undefined) return undefined
    const koffi = createRequire(import.meta.url)(directory) as Pick<Koffi, 'address' | 'errno'> & {
      load(path: string | null): { func(declaration: string): Call & ((...args: readonly unknown[]) => unknown) }
    }
    // `null` means the program itself, with musl and with glibc.
    const libc = koffi.load(null)
    return use({
      address: (memory) => koffi.address(memory),
      errno: () => koffi.errno(),
      c: (declaration) => libc.func(declaration),
      call: (declaration) => libc.func(declaration),
    })
  } catch {
    return undefined
  }
}

/**
 * The directory in which koffi was installed with this program. Undefined: it was not. Node would
 * also search the node_modules of every directory above, NODE_PATH and $HOME/.node_modules, where
 * other users may write. koffi searches its binary in the same way, so the binary must be in the
 * same directory.
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
