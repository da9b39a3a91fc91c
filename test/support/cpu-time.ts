/**
 * Milliseconds of CPU that `work` takes at its best of `tries`: a bound on an algorithm, which
 * another process on the machine must not decide.
 */
export function bestCpuMs(work: () => void, tries = 5): number {
  let best = Number.POSITIVE_INFINITY
  for (let i = 0; i < tries; i++) {
    const before = process.cpuUsage()
    work()
    const { user, system } = process.cpuUsage(before)
    best = Math.min(best, (user + system) / 1000)
  }
  return best
}
