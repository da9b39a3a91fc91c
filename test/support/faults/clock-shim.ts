import { spawnSync } from 'node:child_process'
import { closeSync, existsSync, mkdtempSync, openSync, rmSync, writeFileSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { pathOf } from '../real/tools.ts'

const NS_PER_MS = 1_000_000n

/** Clocks of a child process that can be moved while it runs. */
export interface ClockShim {
  /** Put into the child's environment. */
  readonly env: Readonly<Record<string, string>>
  /**
   * From now on the child's wall clock is off by `wallMs`, its boot time by `bootMs`. A suspend of
   * N ms adds N to both.
   */
  shift(wallMs: number, bootMs: number): void
  close(): void
}

/** Compiles and lays it out; undefined where there is no compiler, or the system is no Linux. */
export function clockShim(): ClockShim | undefined {
  const cc = pathOf('cc')
  if (cc === undefined || !existsSync('/proc/uptime')) return undefined
  const dir = mkdtempSync(join(tmpdir(), 'enigm-dns-clock-'))
  const library = join(dir, 'clock-shim.so')
  const built = spawnSync(cc, ['-O2', '-shared', '-fPIC', '-o', library, source()], { encoding: 'utf8' })
  if (built.status !== 0) throw new Error(`the clock shim does not compile: ${built.stderr}`)
  const file = join(dir, 'shift')
  writeFileSync(file, new Uint8Array(16))
  const fd = openSync(file, 'r+')
  return {
    env: { LD_PRELOAD: library, CLOCK_SHIM_FILE: file },
    shift(wallMs, bootMs) {
      const both = Buffer.alloc(16)
      both.writeBigInt64LE(BigInt(Math.round(wallMs)) * NS_PER_MS, 0)
      both.writeBigInt64LE(BigInt(Math.round(bootMs)) * NS_PER_MS, 8)
      writeSync(fd, both, 0, 16, 0)
    },
    close() {
      closeSync(fd)
      rmSync(dir, { recursive: true, force: true })
    },
  }
}

/** The C source lies beside this file, and beside its source when this is build/. */
function source(): string {
  const here = join(dirname(fileURLToPath(import.meta.url)), 'clock-shim.c')
  return existsSync(here) ? here : here.replace(/([/\\])build([/\\])(?!.*[/\\]build[/\\])/, '$1')
}
