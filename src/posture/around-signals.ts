import type { Moment } from './moment.ts'
import { vpnAsked, vpnPaths } from './policy.ts'
import { type Reason, worstFirst } from './reasons.ts'
import type { State } from './state.ts'
import type { SignalState } from './verdict.ts'

interface Draft {
  readonly state: SignalState
  readonly reasons: readonly Reason[]
}

/** Whether this network is one that the policy names, and whether the system asks this service at all. Untrusted unless named. */
export function protectedNetwork({ around }: State, now: Moment): Draft | undefined {
  const { network, system } = around
  if (network === undefined && system === undefined) return undefined
  const reasons = [...networkReasons(around), ...systemReasons(around, now), ...bypassReasons(around)]
  const state = reasons.some((r) => r.severity !== 'info') ? 'warn' : network?.named !== undefined ? 'ok' : 'unknown'
  return { state, reasons: worstFirst(reasons) }
}

function networkReasons({ network }: State['around']): readonly Reason[] {
  if (network?.told !== true) {
    const message = 'It cannot be told which network this is; it is taken as untrusted.'
    return [{ code: 'network-unknown', severity: 'info', message, mend: 'Nothing to mend: protection does not rest on the network.' }]
  }
  if (network.named === undefined) {
    const message = 'This network is none that the policy names: it is untrusted, as any other.'
    return [{ code: 'network-untrusted', severity: 'info', message, mend: 'Nothing to mend: protection does not rest on the network.' }]
  }
  const message = `The policy calls this network "${network.named}". A network can be imitated, so that only adds rules.`
  return [{ code: 'network-named', severity: 'info', message, mend: 'Nothing to mend.' }]
}

function systemReasons({ system, canary }: State['around'], now: Moment): readonly Reason[] {
  if (system === undefined) return []
  const use = 'Have the system ask this service alone: see "Point the system at it" in the README.'
  if (system.asks === 'elsewhere' || system.asks === 'partly') {
    const message = `${system.by} has the system ask ${system.asks === 'partly' ? 'somebody else, too' : 'somebody else'}.`
    return [{ code: 'system-asks-elsewhere', severity: 'warn', message, mend: use }]
  }
  if (canary?.outcome === 'returned') {
    const minutes = Math.floor((now.ms - canary.at.ms) / 60_000)
    const message = `The system asks this service: a query of ${minutes === 0 ? 'less than a minute' : `${minutes} min`} ago came back through its listener.`
    return [{ code: 'system-asks-us', severity: 'info', message, mend: 'Nothing to mend.' }]
  }
  if (system.asks === 'us' && canary?.outcome === 'lost') {
    const message = `${system.by} names this service, but a query through the system did not come back through its listener.`
    return [
      {
        code: 'canary-lost',
        severity: 'warn',
        message,
        mend: 'See what else answers there (nsswitch.conf, nscd, another service on port 53).',
      },
    ]
  }
  const message =
    system.asks === 'us'
      ? `${system.by} names this service; that it is asked is not proven.`
      : `Whom the system asks cannot be told (${system.by}).`
  return [{ code: 'system-unknown', severity: 'info', message, mend: 'Ask a name through the system, as in: getent hosts example.com' }]
}

function bypassReasons({ bypass }: State['around']): readonly Reason[] {
  if (bypass === undefined || bypass.flows === 0) return []
  const message = `Something on this host sends to port 53 elsewhere, past this service: at least ${bypass.flows} flows since the start.`
  return [
    {
      code: 'bypassed',
      severity: 'warn',
      message,
      mend: 'Find the program (ss -uap dport = :53), and have it ask the system; or block port 53 outward.',
    },
  ]
}

/** Off unless the policy speaks of a VPN. */
export function vpnSignal(state: State): Draft | undefined {
  const asked = vpnAsked(state)
  if (asked === 'off') return undefined
  const { verdict, detail } = vpnPaths(state)
  const closed = asked === 'required' ? ' Queries fail closed.' : ''
  const mend = 'Start the VPN, and see that it carries every address of the trusted set.'
  if (verdict === 'met') {
    return { state: 'ok', reasons: [{ code: 'vpn-present', severity: 'info', message: detail, mend: 'Nothing to mend.' }] }
  }
  if (verdict === 'cannot-tell') {
    return {
      state: 'unknown',
      reasons: [{ code: 'vpn-unknown', severity: asked === 'required' ? 'bad' : 'info', message: `${detail}${closed}`, mend }],
    }
  }
  const severity = asked === 'required' ? 'bad' : 'warn'
  return { state: severity, reasons: [{ code: 'vpn-absent', severity, message: `${detail}${closed}`, mend }] }
}
