/** An instant on both clocks. Boot time counts a suspend and never goes back, but starts anew with each boot. */
export interface BootInstant {
  /** Which boot it is; undefined where the system does not say. */
  readonly boot: string | undefined
  readonly bootMs: number
  readonly wallMs: number
}

/** How long it was between two instants, and by which clock that is known. */
export interface Elapsed {
  readonly ms: number
  readonly by: 'boot' | 'wall'
}

/**
 * The time from `then` to `now`: by boot time within one boot, whatever the wall clock did meanwhile; else by the wall clock. undefined where that cannot be: a
 * clock that went back, or one that makes it less than the time since this boot (a clock not set yet, as without a battery).
 */
export function elapsedBetween(then: BootInstant, now: BootInstant): Elapsed | undefined {
  if (then.boot !== undefined && then.boot === now.boot) {
    const ms = now.bootMs - then.bootMs
    return ms >= 0 ? { ms, by: 'boot' } : undefined
  }
  const ms = now.wallMs - then.wallMs
  return ms >= now.bootMs ? { ms, by: 'wall' } : undefined
}
