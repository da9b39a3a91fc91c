/** performance.now() at its beginning and end. */
export interface Stop {
  readonly fromMs: number
  readonly toMs: number
}

/** Times at which this very process did not run for more than a second and a half: somebody stopped it, and what was under way then says nothing of the daemon, which was stopped too. */
export function watchForStops(): { readonly stops: readonly Stop[]; end(): void } {
  const stops: Stop[] = []
  let lastMs = performance.now()
  const timer = setInterval(() => {
    const nowMs = performance.now()
    if (nowMs - lastMs > 1500) stops.push({ fromMs: lastMs, toMs: nowMs })
    lastMs = nowMs
  }, 100)
  return { stops, end: () => clearInterval(timer) }
}
