import { createRequire } from 'node:module'
import { endianness } from 'node:os'

type Call = (...args: readonly (number | Buffer | null)[]) => number

/** What is used of the package koffi, which calls C without a compiler. */
export interface Koffi {
  address(buffer: Buffer): bigint
  errno(): number
  /** A function of the C library, by its declaration. */
  c(declaration: string): Call
}

/** What `use` makes of koffi over the C library; undefined where it throws, koffi (an optional dependency) does not load, or this is no little-endian Linux. */
export function withKoffi<T>(use: (koffi: Koffi) => T): T | undefined {
  if (process.platform !== 'linux' || endianness() !== 'LE') return undefined
  try {
    const koffi = createRequire(import.meta.url)('koffi') as Pick<Koffi, 'address' | 'errno'> & {
      load(path: string | null): { func(declaration: string): Call }
    }
    // `null` is the program itself: musl and glibc alike.
    const libc = koffi.load(null)
    return use({ address: (buffer) => koffi.address(buffer), errno: () => koffi.errno(), c: (declaration) => libc.func(declaration) })
  } catch {
    return undefined
  }
}
