/** A moment on both clocks: boot time for ages, wall time for people. */
export interface Moment {
  readonly ms: number
  readonly wallMs: number
}
