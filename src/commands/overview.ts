import { systemClock } from '../clock.ts'
import { defaultStatusFile, thisAccount } from '../config/paths.ts'
import { EXIT } from '../exit-codes.ts'
import { closingRule } from '../posture/closing-rule.ts'
import { mostRelevant, readStatus, type StatusReading } from '../posture/reader.ts'
import { isSame } from '../system/process-identity.ts'
import { type HostService, hostService, START_UNITS } from './host-service.ts'
import { thisHost } from './running-service.ts'
import { printable } from './status-screen.ts'

/** The meaning of each state, in the words of the README. */
const SAID = {
  protected: 'authenticated answers arrive',
  degraded: 'answers arrive, but a requirement of the configuration is not met',
  exposed: 'answers come from a server that did not prove its identity, or a cleartext packet was sent',
  offline: 'no trusted resolver is reachable; lookups fail, nothing is sent unencrypted',
} as const

/**
 * Runs the program without a command: prints the state in one line, and the next step in another.
 * Returns the exit code of `status`.
 */
export function overview(): number {
  const service = hostService(thisHost())
  const account = thisAccount()
  const files =
    service.running === undefined ? [defaultStatusFile({ ...account, uid: 0 }), defaultStatusFile(account)] : [service.running.statusFile]
  const witness = { wallMs: systemClock().wallMs(), isSame }
  const reading = mostRelevant([...new Set(files)].map((file) => readStatus(file, witness)))
  const { state, next } = inShort(reading, service)
  process.stdout.write(`${printable(state)}\n${printable(next)}  (every command: enigm-dns --help)\n`)
  return reading?.exitCode ?? EXIT.cannotTell
}

/** Makes the two lines from the status and from how the service is run. Pure. */
export function inShort(reading: StatusReading | undefined, { running, installed, managed }: HostService) {
  const next = (command: string) => `Next: ${command}`
  if (reading?.document !== undefined && reading.judgement === 'current') {
    const { state, signals } = reading.document
    const closed = closingRule(reading.document)
    if (closed !== undefined) return { state: `${state}: ${closed.says}`, next: next('enigm-dns status') }
    const codes = Object.values(signals).flatMap((signal) => signal.reasons.map(({ code }) => code))
    if (codes.includes('not-proven-yet'))
      return { state: 'not proven yet: no query was sent since the start or reload', next: next('enigm-dns query example.com') }
    const said = `${state}: ${SAID[state]}`
    if (state === 'protected' && codes.includes('system-asks-us'))
      return { state: `${said}, and the system uses this service`, next: 'Nothing to do. The evidence: enigm-dns status' }
    if (state === 'protected' && codes.includes('system-asks-elsewhere'))
      return { state: `${said}, but the system uses another DNS server`, next: next('sudo enigm-dns system enable') }
    if (state === 'protected') return { state: said, next: next('enigm-dns status') }
    return { state: said, next: next('enigm-dns doctor') }
  }
  if (reading?.judgement === 'permission-denied' || running !== undefined)
    return { state: 'running; this user cannot read its status, or it is old', next: next('sudo enigm-dns status') }
  if (managed) return { state: 'not running: the next query starts it', next: next(START_UNITS) }
  if (installed) return { state: 'not running', next: next('sudo enigm-dns system enable') }
  return { state: 'not running, and not installed as a service', next: next('sudo enigm-dns service install') }
}
