import type { Clock } from '../clock.ts'
import { readStatus } from '../posture/reader.ts'
import { isSame } from '../system/process-identity.ts'

/** Why a daemon did not answer an order, as sentences; empty: none runs with this status file. */
export function untoldDaemon(statusFile: string, clock: Clock): readonly string[] {
  const { document, judgement } = readStatus(statusFile, { wallMs: clock.wallMs(), isSame })
  if (judgement === 'permission-denied') return [`whether a daemon runs cannot be told: ${statusFile} may not be read by this user`]
  if (document === undefined || isSame(document.pid, document.processStart) !== true) return []
  return [
    `the daemon (process ${document.pid}) runs and does not take orders from this user: run this as the same user or root, or stop it`,
  ]
}
