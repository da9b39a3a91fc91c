import { writeFileSync } from 'node:fs'

/**
 * What a process that sees every name can do for itself. Call it first thing in the main thread, before any file is made. Never throws.
 *
 * - SIGUSR1 no longer opens the inspector: whoever may signal us could read our memory through it. A handler of ours replaces Node's own; until this line has run
 *   (some 40 ms after the start on Node 20) the signal still does it, so the systemd unit and file permissions have to cover that.
 * - A core dump holds no memory: the filter is for the whole process (core(5)) and works with `core_pattern` pipes, which ignore a limit of 0. Node cannot call
 *   setrlimit; `LimitCORE=0` is the unit's part.
 * - Files are ours alone unless their mode is set by hand: umask 077.
 */
export function harden(): void {
  process.on('SIGUSR1', () => {})
  process.umask(0o077)
  if (process.platform !== 'linux') return
  try {
    writeFileSync('/proc/self/coredump_filter', '0')
  } catch {
    // Without /proc, or with a read-only one, it is left to LimitCORE=0.
  }
}
