/** performance.now() at its beginning and end. */
export interface Stop {
  readonly fromMs: number
  readonly toMs: number
}

const EVERY_MS = 100
const LEAST_MS = 1500

/**
 * Times at which this very process did not run for more than a second and a half: somebody stopped
 * it, and what was under way then says nothing of the daemon, which was stopped too.
 */
export function watchForStops(): { readonly stops: readonly Stop[]; end(): void } {
  const stops: Stop[] = []
  let lastMs = performance.now()
  const look = () => {
    const nowMs = performance.now()
    if (nowMs - lastMs > LEAST_MS) stops.push({ fromMs: lastMs, toMs: nowMs })
    lastMs = nowMs
  }
  const timer = setInterval(look, EVERY_MS)
  return {
    stops,
    end() {
      clearInterval(timer)
      look() // what ended because of the stop may run before the timer does
    },
  }
}
