import { isLinkLocal6, isLoopback } from '../config/cidr.ts'
import type { Loaded } from '../config/load.ts'
import { counted } from '../config/problems.ts'
import { type ErrorCode, inDoubt, isErrorCode, looksBlocked } from '../errors.ts'
import { closingRule } from '../posture/closing-rule.ts'
import type { StatusReading } from '../posture/reader.ts'
import type { Transport } from '../resolve.ts'
import type { Connectivity } from '../system/network-view.ts'
import type { SystemResolver } from '../system/system-resolver.ts'
import { TRANSPORTS } from '../transports.ts'
import { dialledAddresses } from '../trusted-resolvers.ts'
import { hopsText, PROBE_EXAMPLE } from './check-screen.ts'
import type { Finding } from './reach.ts'

/** The layers that a lookup passes, from the application down. */
export const LAYERS = ['nsswitch', 'resolv.conf', 'listener', 'service', 'policy', 'clock', 'network', 'links', 'certificates'] as const
export type Layer = (typeof LAYERS)[number]

/** One result of a check. `mend` is empty if there is nothing to fix. */
export interface Remark {
  readonly layer: Layer
  readonly state: 'ok' | 'warn' | 'bad' | 'unknown'
  readonly message: string
  readonly mend: string
  /** The command for a reason that the service reports. */
  readonly code?: string
}

/** The collected facts; undefined: not checked (`--offline`). */
export interface Symptoms {
  /** Undefined: this user may not read the configuration of the service. */
  readonly loaded: Loaded | undefined
  /** Why the configuration cannot be read, as a sentence. */
  readonly unreadable: string | undefined
  /** A fault that this command finds in the file of a running service, as a sentence. */
  readonly invalid?: string | undefined
  readonly connectivity: Connectivity
  readonly system: SystemResolver
  /** The reaction of each listener to a query for a name that never leaves this host. */
  readonly listeners: readonly ListenerFinding[]
  readonly status: StatusReading
  /** The process of the service, if it is suspended (SIGSTOP). */
  readonly suspended?: number | undefined
  readonly links: readonly Finding[] | undefined
  readonly wallMs: number
}

/** The reaction of one listener. */
export interface ListenerFinding {
  readonly at: string
  readonly over: 'udp' | 'tcp'
  /** A sentence. Undefined: it answers. */
  readonly fault: string | undefined
  /** Undefined: probably no service runs. */
  readonly mend?: string | undefined
}

/** A certificate that expires within this number of days is reported. */
const SOON_DAYS = 7
/** The date of the first version of this program: an earlier wall clock is wrong. */
const EARLIEST_WALL_MS = Date.UTC(2026, 0, 1)
/** The minimum MTU of IPv6 (RFC 8200 section 5). */
const LEAST_MTU = 1280

const remark = (layer: Layer, state: Remark['state'], message: string, mend = ''): Remark => ({ layer, state, message, mend })

/**
 * Returns the problems, worst first and then from the application down, followed by what is in
 * order. Pure.
 */
export function diagnose(s: Symptoms): readonly Remark[] {
  const rank = { bad: 0, warn: 1, unknown: 2, ok: 3 } as const
  const all = [
    nsswitch(s.connectivity),
    resolvConf(s.system),
    ...listeners(s),
    service(s),
    ...configFile(s),
    policy(s.status),
    clockRemark(s),
    ...network(s),
    ...links(s),
    ...certificates(s),
  ]
  return all.toSorted((a, b) => rank[a.state] - rank[b.state] || LAYERS.indexOf(a.layer) - LAYERS.indexOf(b.layer))
}

function nsswitch({ hosts }: Connectivity): Remark {
  if (hosts === undefined) return remark('nsswitch', 'ok', 'There is no nsswitch.conf: the C library reads resolv.conf.')
  const line = `hosts: ${hosts.join(' ')}`
  if (!hosts.some((word) => word === 'dns' || word === 'resolve'))
    return remark('nsswitch', 'bad', `Programs never use DNS (${line}).`, 'Add dns to the hosts line of /etc/nsswitch.conf.')
  return remark(
    'nsswitch',
    'ok',
    `Programs use ${hosts.includes('resolve') ? 'systemd-resolved' : 'the servers in resolv.conf'} (${line}).`,
  )
}

function resolvConf({ asks, by }: SystemResolver): Remark {
  const mend = 'Make the system use this service: sudo enigm-dns system enable (docs/system.md).'
  if (asks === 'us') return remark('resolv.conf', 'ok', `The system uses this service (${by}).`)
  if (asks === 'unknown')
    return remark(
      'resolv.conf',
      'unknown',
      `Cannot tell which DNS server the system uses (${by}).`,
      'Check whether the local name server that it names uses this service.',
    )
  if (asks === 'partly') return remark('resolv.conf', 'warn', `The system uses this service and others as well (${by}).`, mend)
  return remark('resolv.conf', 'bad', `The system uses another DNS server (${by}): those queries are not protected.`, mend)
}

function listeners(s: Symptoms): readonly Remark[] {
  return s.listeners.map(({ at, over, fault, mend }) => {
    const where = `${at} over ${over.toUpperCase()}`
    if (fault === undefined) return remark('listener', 'ok', `${where} answers.`)
    return remark(
      'listener',
      'bad',
      `${where} does not answer: ${fault}`,
      mend ?? 'Start the service (sudo systemctl start enigm-dns, or enigm-dns run), or read its log (journalctl -u enigm-dns -e).',
    )
  })
}

function service({ status: { judgement, message, path }, suspended }: Symptoms): Remark {
  if (judgement === 'current') return remark('service', 'ok', `The status file is current (${path}).`)
  if (judgement === 'permission-denied')
    return remark('service', 'unknown', `${message} (${path})`, 'Run this as root, or as a member of the group of that file.')
  if (suspended !== undefined)
    return remark('service', 'bad', `${message} Process ${suspended} is suspended (SIGSTOP).`, `Let it continue: kill -CONT ${suspended}`)
  return remark('service', 'bad', message, 'Start the service, or name its file: enigm-dns status --file FILE.')
}

/** Only the service knows whether it accepted the file: it may run with another Node. */
function configFile({ invalid, status: { document, judgement } }: Symptoms): readonly Remark[] {
  if (invalid === undefined) return []
  const correct = 'Correct the file (enigm-dns check shows each fault), then run: enigm-dns reload'
  if (document === undefined || judgement !== 'current')
    return [remark('service', 'bad', `The configuration file is not valid: ${invalid}`, correct)]
  if (document.signals.service.reasons.some(({ code }) => code === 'reload-refused'))
    return [
      remark('service', 'bad', `The configuration file is not valid, and the service keeps its earlier settings: ${invalid}`, correct),
    ]
  const message = `This command cannot use the configuration file, but the service reports no refused reload: ${invalid}`
  return [
    remark(
      'service',
      'warn',
      message,
      `If the service runs with another Node than this command (${process.version}), run this with that Node. Otherwise: ${correct}`,
    ),
  ]
}

const RULES = 'See policy.rules in enigm-dns status --json: the rule that is not met says why.'

/**
 * The worst reason that the running service itself reports. A hop that fails is the cause of
 * failing resolvers, so it is named instead of them.
 */
function policy({ document, judgement }: StatusReading): Remark {
  if (document === undefined || judgement !== 'current') return remark('policy', 'unknown', 'Cannot tell without a current status.')
  const reasons = Object.values(document.signals).flatMap((signal) => signal.reasons)
  const closing = closingRule(document)
  const cause = document.signals.policyCompliance.reasons.find(({ code }) => closing !== undefined && code === `rule-${closing.rule}`)
  // While the policy lets no query through, resolvers that do not answer are not the cause.
  if (closing !== undefined && cause === undefined) return remark('policy', 'bad', `The service says: ${closing.says}`, RULES)
  const hop = reasons.find(({ code, severity }) => code === 'hop-down' && severity === 'bad')
  const worst = cause ?? hop ?? reasons.find((r) => r.severity === 'bad') ?? reasons.find((r) => r.severity === 'warn')
  if (worst === undefined) return remark('policy', 'ok', `The service says: ${document.state}.`)
  return {
    ...remark('policy', worst.severity === 'bad' ? 'bad' : 'warn', `The service says: ${worst.message}`, worst.mend),
    code: worst.code,
  }
}

/**
 * The error code of a finding, as a list; empty if there is none, or if the fault is a response
 * code.
 */
const codesOf = ({ fault }: Finding): readonly ErrorCode[] => (fault !== undefined && isErrorCode(fault) ? [fault] : [])

/** Whether the wall clock is plausible, by its value and by the certificates of resolvers. */
export function clockRemark({ wallMs, links }: Pick<Symptoms, 'wallMs' | 'links'>): Remark {
  const date = new Date(wallMs).toISOString().slice(0, 10)
  const doubts = links?.flatMap((finding) => codesOf(finding).map(inDoubt)) ?? []
  const byCertificate = doubts.includes('dates') || doubts.includes('clock')
  if (wallMs < EARLIEST_WALL_MS)
    return remark('clock', 'bad', `The clock is wrong: it says ${date}.`, 'Set the clock; until then certificates cannot be verified.')
  if (byCertificate)
    return remark(
      'clock',
      'warn',
      `A certificate is not valid on ${date}: the certificate or this clock is wrong.`,
      'Compare the clock with another one.',
    )
  return remark('clock', 'ok', `The clock says ${date}.`)
}

const NOT_NEEDED = 'No default route is needed: this host dials no address beyond itself and its links.'

function network({ connectivity: { ipv4, ipv6, mtu }, loaded, links: found }: Symptoms): readonly Remark[] {
  const remarks: Remark[] = []
  const dialled = loaded?.resolvers.flatMap((resolver) => dialledAddresses(resolver, loaded.config)) ?? []
  const v6Reachable = loaded === undefined || dialled.some((address) => address.includes(':'))
  const isNear = dialled.length > 0 && dialled.every((address) => isLoopback(address) || isLinkLocal6(address))
  if (ipv4 === undefined) remarks.push(remark('network', 'unknown', 'Routes cannot be read on this system.'))
  else if (!ipv4 && ipv6 !== true && found?.some(({ ok }) => ok) === true)
    remarks.push(remark('network', 'ok', 'There is no default route, and none is needed: a resolver is reached without one.'))
  else if (!ipv4 && isNear) remarks.push(remark('network', 'ok', NOT_NEEDED))
  else if (!ipv4 && ipv6 !== true) remarks.push(remark('network', 'bad', 'There is no default route.', 'Connect to a network.'))
  else if (!ipv4 && !v6Reachable)
    remarks.push(
      remark(
        'network',
        'bad',
        'This network has IPv6 only, and no resolver in use has an IPv6 address.',
        'Use resolvers with IPv6 addresses. NAT64 needs an answer from DNS64 first, but addresses here are pinned.',
      ),
    )
  else remarks.push(remark('network', 'ok', `Default routes: ${[ipv4 ? 'IPv4' : '', ipv6 ? 'IPv6' : ''].filter(Boolean).join(' and ')}.`))
  if (mtu !== undefined && mtu < LEAST_MTU)
    remarks.push(
      remark(
        'network',
        'warn',
        `The MTU is ${mtu}: below 1280 IPv6 does not work and handshakes may stall.`,
        'Raise the MTU of the interface.',
      ),
    )
  return remarks
}

function links({ links: found, loaded, unreadable, invalid }: Symptoms): readonly Remark[] {
  if (unreadable !== undefined)
    return [remark('links', 'unknown', `Not tried: ${unreadable}`, 'Run this as root, or as the user of the service.')]
  if (invalid !== undefined) return [remark('links', 'unknown', 'Not tried: this command cannot use the configuration file.')]
  if (found === undefined) return [remark('links', 'unknown', 'Not tried (--offline).')]
  const over = (transport: Transport) => found.filter((f) => f.transport === transport)
  const blocked = (finding: Finding) => codesOf(finding).some(looksBlocked)
  const port = loaded?.resolvers[0]?.transports.dot?.port ?? TRANSPORTS.dot.port
  const remarks = found.map((f) =>
    f.ok
      ? remark(
          'links',
          'ok',
          `${f.resolver} over ${f.transport}: authenticated (${f.authenticatedBy ?? 'ca'}), ${Math.round(f.rttMs ?? 0)} ms${f.refusesRoot ? '; it answers REFUSED for the root' : ''}.`,
          f.refusesRoot ? `Configure a probe in its entry of the trusted set, as in ${PROBE_EXAMPLE}.` : '',
        )
      : remark(
          'links',
          found.some(({ ok }) => ok) ? 'warn' : 'bad',
          `${f.resolver} over ${f.transport}${f.hops === undefined ? '' : `, through ${hopsText(f)}`}: ${f.detail ?? f.fault ?? 'no answer'}.`,
          f.hops?.some(({ is }) => is === 'failed')
            ? 'Start that proxy, or correct it in "proxies" of the configuration. Nothing is sent around it.'
            : 'See the details with enigm-dns check.',
        ),
  )
  if (over('dot').length > 0 && over('dot').every(blocked) && over('doh').some(({ ok }) => ok))
    remarks.push(
      remark(
        'links',
        'warn',
        `Port ${port} seems blocked on this network; DoH gets through.`,
        'No action is needed; "transports": ["doh", "dot"] saves the first attempt.',
      ),
    )
  return remarks
}

function certificates({ links: found }: Symptoms): readonly Remark[] {
  return (found ?? []).flatMap(({ resolver, transport, certificate, pin }) => {
    const where = `${resolver} over ${transport}`
    if (pin === 'differs')
      return [
        remark(
          'certificates',
          'bad',
          `${where}: the key does not match the pin.`,
          'Ask the operator whether its key changed. Until then do not change the pin.',
        ),
      ]
    if (certificate === undefined || certificate.daysLeft > SOON_DAYS) return []
    const days = certificate.daysLeft
    return days < 0
      ? [
          remark(
            'certificates',
            'bad',
            `${where}: the certificate ended on ${certificate.notAfter}.`,
            'Check the clock. If it is right, only the operator can fix this.',
          ),
        ]
      : [remark('certificates', 'warn', `${where}: the certificate ends in ${counted(days, 'day')}.`, 'The operator should renew it.')]
  })
}
