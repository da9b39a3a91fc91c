import { spawnSync } from 'node:child_process'
import { arch, availableParallelism, cpus, loadavg, release, totalmem, type } from 'node:os'
import { isPinned } from './children.ts'
import { ROOT } from './compiled.ts'

/** Where a run was made. */
export interface Machine {
  readonly cpu: string
  readonly cores: number
  readonly memoryGb: number
  readonly kernel: string
  readonly node: string
  readonly openssl: string
  readonly pinned: boolean
  /**
   * Of the minute before the run: above 0.5, somebody else was working and the figures are noisy.
   */
  readonly loadBefore: number
  /** The sources' commit, with a + where the work tree differs. */
  readonly commit: string
}

/** Reads it; call before the run loads the machine. */
export function thisMachine(): Machine {
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    memoryGb: Math.round(totalmem() / 2 ** 30),
    kernel: `${type()} ${release()} ${arch()}`,
    node: process.version,
    openssl: process.versions.openssl ?? 'unknown',
    pinned: isPinned,
    loadBefore: loadavg()[0] ?? 0,
    commit: commit(),
  }
}

function commit(): string {
  const git = (...args: readonly string[]) => spawnSync('git', ['-C', ROOT, ...args], { encoding: 'utf8' }).stdout?.trim() ?? ''
  const head = git('rev-parse', '--short=12', 'HEAD')
  return head === '' ? 'unknown' : head + (git('status', '--porcelain', '--', 'src') === '' ? '' : '+')
}
