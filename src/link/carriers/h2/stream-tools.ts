import type { Clock } from '../../../clock.ts'
import type { Watcher } from '../carrier.ts'
import type { Outbox } from './outbox.ts'
import type { Patience } from './patience.ts'
import type { Sender } from './sender.ts'

/** What the streams of a connection work with, and how they speak to it. */
export interface StreamTools {
  readonly clock: Clock
  readonly watcher: Watcher
  readonly patience: Patience
  readonly out: Outbox
  readonly sender: Sender
  readonly lastStreamId: number
  /** The peer is there: a response begun or finished, a PING answered. */
  heard(): void
  /** The peer gave the connection up. */
  ended(): void
  /** A stream is gone, maybe the last. */
  rest(): void
}
