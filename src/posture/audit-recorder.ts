import type { AuditEvent, AuditLog } from './audit-log.ts'
import { SIGNAL_NAMES, type Verdict } from './verdict.ts'

/** Writes down what changed between one judgement and the next: states, signals, rules. */
export interface AuditRecorder {
  judged(verdict: Verdict): void
  /** A new configuration is in force. */
  reloaded(): void
  stopped(): void
}

/** A recorder into `log`. The first judgement is compared with nothing known. Entries hold words of ours and no others: no detail, no name of a resolver. */
export function auditRecorder(log: AuditLog, version: string): AuditRecorder {
  const known = new Map<string, string>()
  const changes = (what: string, of: string, now: string): readonly AuditEvent[] => {
    const key = `${what === 'violation' ? 'rule' : what} ${of}`
    const was = known.get(key) ?? 'unknown'
    known.set(key, now)
    return was === now ? [] : [{ what, detail: { ...(of === '' ? {} : { of }), from: was, to: now } }]
  }
  log.append({ what: 'start', detail: { version } })
  return {
    judged(verdict) {
      const found = [
        ...changes('state', '', verdict.state),
        ...SIGNAL_NAMES.flatMap((name) => changes('signal', name, verdict.signals[name].state)),
        ...verdict.rules.flatMap(({ rule, verdict: said }) =>
          changes(said === 'not-met' ? 'violation' : 'rule', rule, said === 'cannot-tell' ? 'unknown' : said),
        ),
      ]
      if (found.length > 0) log.append(...found)
      else log.retry()
    },
    reloaded: () => log.append({ what: 'reload', detail: {} }),
    stopped: () => log.append({ what: 'stop', detail: {} }),
  }
}
