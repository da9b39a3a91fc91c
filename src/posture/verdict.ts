import type { Moment } from './moment.ts'
import type { Reason } from './reasons.ts'

export type SignalState = 'ok' | 'warn' | 'bad' | 'unknown' | 'off'
export type TopState = 'protected' | 'degraded' | 'exposed' | 'offline'
/** The five signals of the trust centre. */
export const SIGNAL_NAMES = ['secureNameResolution', 'protectedNetwork', 'policyCompliance', 'vpn', 'service'] as const
export type SignalName = (typeof SIGNAL_NAMES)[number]
/** `since` is when the signal took this state (ISO 8601, wall time). */
export interface Signal {
  readonly state: SignalState
  readonly since: string
  readonly reasons: readonly Reason[]
}
export type Signals = Readonly<Record<SignalName, Signal>>

/** What the reducer cannot know: the time, whether shaping holds, how late the heartbeat was. */
export interface Circumstances {
  readonly now: Moment
  readonly shaping: { readonly profile: string; readonly inForce: 'yes' | 'no' | 'unknown'; readonly why?: string | undefined }
  readonly heartbeatLateMs: number
}
export interface Verdict {
  readonly state: TopState
  readonly signals: Signals
}
