import { counted } from '../config/problems.ts'
import type { ErrorCode, HopCode } from '../errors.ts'
import type { Transport } from '../resolve.ts'
import { TRANSPORTS } from '../transports.ts'
import { ASK_THIS_SERVICE, HOST_REASONS, NOTHING_TO_FIX, type ReasonRow, row, rule, type Severity } from './host-reasons.ts'
import { PATH_REASONS, PATH_RULES } from './path-reasons.ts'
import { SERVICE_REASONS } from './service-reasons.ts'
import type { SplitZone } from './state.ts'

/** One finding for a person, and its fix (`mend`). `code` is stable; the sentences may change. */
export interface Reason {
  readonly code: ReasonCode
  readonly severity: Severity
  readonly message: string
  readonly mend: string
}

const CHECK_FOR_INTERCEPTION =
  'Check the clock and the trusted set. If both are right, something on this network intercepts the connection.'
const HOP_FAULTS: Readonly<Record<HopCode, string>> = {
  'hop-unreachable': 'cannot be reached',
  'hop-refused': 'refuses to connect to the next host',
  'hop-credentials': 'refuses the user name or the password',
  'hop-untrusted': 'did not prove its identity',
  'hop-failed': 'does not work as a proxy',
}
const HOP_FIXES: Readonly<Record<HopCode, string>> = {
  'hop-unreachable': 'Start it, or correct its address in "proxies". The service retries by itself.',
  'hop-refused': 'Allow the address and port of the resolver in the rules of the proxy.',
  'hop-credentials': 'Correct username and passwordFile of the proxy. For Tor, allow SOCKS user names.',
  'hop-untrusted': 'Check "tls" of the proxy. If it is right, something intercepts the connection.',
  'hop-failed': 'Check type, address and "tls" of the proxy: enigm-dns check',
}
const START_THE_VPN = 'Start the VPN. Check that it carries every address of the trusted set.'

/**
 * Makes the row for a resolver that was refused because of its identity. If this is why no resolver
 * answers (`decides`), the reason is `bad` and comes before `all-failing`.
 */
const refused = (doc: string, showed: string, mend = CHECK_FOR_INTERCEPTION) =>
  row<{ id: string; transport: Transport; decides: boolean }>({
    severity: ({ decides }) => (decides ? 'bad' : 'warn'),
    doc,
    message: ({ id, transport }) => `${id} over ${TRANSPORTS[transport].label} showed ${showed}; it was refused.`,
    mend,
  })

/** Makes the row that names all rules with the same verdict. */
const rulesWithVerdict = (doc: string, label: string, mend: string) =>
  row<readonly string[]>({ severity: 'info', doc, message: (names) => `${label}: ${names.join(', ')}.`, mend })

const vpnReason = (severity: Severity, doc: string, mend: string) =>
  row<{ detail: string; required: boolean }>({
    severity: ({ required }) => (required ? 'bad' : severity),
    doc,
    message: ({ detail, required }) => `${detail}${required ? ' Lookups fail.' : ''}`,
    mend,
  })

/**
 * All reasons. Codes are for programs and never change their meaning. `doc` is written to
 * docs/status.md. In a redacted document every reason is one of these codes, or `other`, without
 * its sentences. The severity decides the state of the signal; the state of the whole comes from
 * other data (`topState` in signals.ts). Reasons of equal severity are shown in the order of this
 * table: a cause comes before its consequences, and a finding that needs a person comes before one
 * that recovers by itself.
 */
export const REASONS = {
  'captive-portal': row<{ untilWallMs: number }>({
    severity: 'bad',
    doc: '`enigm-dns portal` is on: a user with the rights of this service allowed cleartext queries to the resolver of the network for its login page, for a limited time.',
    message: ({ untilWallMs }) =>
      `Queries for the login page go in cleartext to the resolver of the network, until ${new Date(untilWallMs).toISOString()} at most.`,
    mend: 'It ends when the network lets traffic through, when the time is over, or when the command ends (enigm-dns portal).',
  }),
  'split-dns': row<{ zones: readonly SplitZone[]; allowed: boolean }>({
    severity: ({ allowed }) => (allowed ? 'info' : 'bad'),
    doc: 'Names of a forward zone are asked without encryption. The state is `exposed` unless `policy.allowCleartext` names each of these zones. This is not the setting `split`.',
    message: ({ zones }) =>
      `Names go unencrypted to ${zones.map(({ zone, server }) => `${server === 'link' ? 'the servers of this network' : server} (${zone})`).join(', ')}.`,
    mend: ({ allowed }) =>
      allowed
        ? 'Nothing to fix: policy.allowCleartext allows it.'
        : 'Name encrypted resolvers for the zone ("to"). If cleartext is what you want, name the zone in policy.allowCleartext too.',
  }),
  'clock-suspect': row({
    severity: 'bad',
    doc: 'Every resolver was refused for the dates in its certificate: the clock is probably wrong.',
    message: 'Every resolver was refused for the dates in its certificate: the clock is probably wrong.',
    mend: 'Set the clock (date, or a time server configured by its address); verification is never skipped.',
  }),
  'portal-suspected': row({
    severity: 'bad',
    doc: 'Something else answered in place of every resolver and was refused: a login page of the network, or interception.',
    message:
      'Something else answered in place of every resolver and was refused. The cause is a login page of this network, or interception.',
    mend: 'If this network has a login page, run enigm-dns portal, or open the page by its address (often the gateway).',
  }),
  'pin-mismatch': refused(
    'A resolver showed a key that is not among its pins; it was refused.',
    'a key that is not among its pins',
    'Compare the pins with those that the operator publishes. If they match, somebody intercepts the connection.',
  ),
  'certificate-expired': refused('A resolver showed an expired certificate; it was refused.', 'an expired certificate'),
  'certificate-not-yet-valid': refused(
    'A resolver showed a certificate that is not valid yet; it was refused.',
    'a certificate that is not valid yet',
  ),
  'certificate-name': refused('A resolver showed a certificate for another name; it was refused.', 'a certificate for another name'),
  'certificate-untrusted': refused(
    'A resolver showed a certificate that no trusted authority signed; it was refused.',
    'a certificate that no trusted authority signed',
  ),
  'certificate-expires': row<{ id: string; days: number }>({
    severity: 'warn',
    doc: 'The certificate of a resolver expires within 14 days (one that is valid for less than 8 days: in the last third of its life).',
    message: ({ id, days }) =>
      `The certificate of ${id} ${days > 0 ? `expires in ${counted(days, 'day')}` : 'has expired, or the clock of this host is wrong'}.`,
    mend: 'Its operator must renew it. If it is yours, renew it with the same key or with the key of your second pin.',
  }),
  'group-forced': row<readonly string[]>({
    severity: 'warn',
    doc: 'A TLS ClientHello with the post-quantum group X25519MLKEM768 got no answer, so the connection uses a classical group.',
    message: (ids) =>
      `A TLS ClientHello with the post-quantum group X25519MLKEM768 got no answer, so the connection uses a classical group: ${ids.join(', ')}.`,
    mend: 'A device on the path drops long messages, or somebody wants the weaker group. With "tls": {"groups": ["X25519MLKEM768"]} the resolver is used only with that group.',
  }),
  'unauthenticated-answers': row<readonly { id: string; why: ErrorCode }[]>({
    severity: 'bad',
    doc: 'Answers come from a server that did not prove its identity (opportunistic only).',
    message: (who) =>
      `Answers come from a server that did not prove its identity: ${who.map(({ id, why }) => `${id} (${why})`).join(', ')}.`,
    mend: 'Set usageProfile to strict, or correct the trusted set.',
  }),
  'all-failing': row<{ up: boolean }>({
    severity: 'bad',
    doc: 'Every resolver failed. Lookups fail; nothing is sent unencrypted.',
    message: ({ up }) =>
      `No resolver answers${up ? '; one can be reached again, but has not answered yet' : ''}. Lookups fail; nothing is sent unencrypted.`,
    mend: 'Check the network and the clock. The service retries by itself.',
  }),
  'none-answering': row({
    severity: 'bad',
    doc: 'A resolver failed, and no other has answered yet.',
    message: 'The resolver in use fails, and no other has answered yet.',
    mend: 'Wait a few seconds. If this reason remains, check the network.',
  }),
  'shaping-not-in-force': row<{ profile: string; why: string | undefined }>({
    severity: 'warn',
    doc: 'The configured shaping profile is not in force.',
    message: ({ profile, why }) => `The shaping profile ${profile} is configured but not in force${why === undefined ? '' : `: ${why}`}.`,
    mend: 'Use a resolver that pads its replies and accepts cover traffic, or choose another profile.',
  }),
  'shaping-beacon': row<{ profile: string }>({
    severity: 'warn',
    doc: 'A program sends queries at regular intervals and keeps opening sessions of the shaping profile.',
    message: ({ profile }) =>
      `A program sends queries at regular intervals and keeps opening sessions of ${profile}. An observer sees the rhythm, and it costs traffic.`,
    mend: 'Find the program (enigm-dns trace shows names), or choose always-on, which hides the rhythm at about the same cost.',
  }),
  'shaping-over-doh': row<readonly { id: string; why: string }[]>({
    severity: 'info',
    doc: 'Shaped traffic uses DoH, over which the sizes of replies vary.',
    message: (which) =>
      `Shaped traffic uses DoH, over which the sizes of replies vary by a few octets, because numbers in HTTP headers have more or fewer digits: ${which.map(({ id, why }) => `${id} (${why})`).join(', ')}.`,
    mend: 'Use DoT: enable it in transports and for the resolver, and allow port 853 on the network.',
  }),
  'hop-down': row<{ hop: string; code: HopCode; decides: boolean }>({
    severity: ({ decides }) => (decides ? 'bad' : 'warn'),
    doc: 'A proxy on the way to a resolver fails. Nothing is sent around it.',
    message: ({ hop, code }) => `The proxy "${hop}" ${HOP_FAULTS[code]}. Nothing is sent around it.`,
    mend: ({ code }) => HOP_FIXES[code],
  }),
  'resolver-down': row<{ id: string; code: ErrorCode }>({
    severity: 'warn',
    doc: 'One resolver does not answer.',
    message: ({ id, code }) => `${id} does not answer (${code}).`,
    mend: 'The service retries. Check whether the network blocks it.',
  }),
  'not-proven-yet': row<{ closed: boolean }>({
    severity: 'info',
    doc: 'No resolver has answered since the start or the last reload, and none has failed.',
    message: ({ closed }) => (closed ? 'No resolver is asked, because the policy allows no queries.' : 'No resolver has answered yet.'),
    mend: ({ closed }) => (closed ? 'Meet the rule of the policy (policy compliance).' : 'Look up any name: enigm-dns query example.com'),
  }),
  'replies-unpadded': row<readonly string[]>({
    severity: 'info',
    doc: 'Replies come back without padding.',
    message: (ids) => `${ids.join(', ')}: not every reply is padded. Reply sizes reveal information to an observer.`,
    mend: 'Prefer a resolver that pads its replies (RFC 8467).',
  }),
  'proof-old': row<{ minutes: number }>({
    severity: 'info',
    doc: 'The last authenticated answer is more than ten minutes old.',
    message: ({ minutes }) =>
      `The last authenticated answer is ${minutes} min old. It still counts, because not every connection attempt has failed since then.`,
    mend: 'Look up any name; the answer is a new proof.',
  }),
  'profile-opportunistic': row({
    severity: 'info',
    doc: 'The usage profile tolerates unauthenticated resolvers.',
    message: 'The usage profile is opportunistic: unauthenticated resolvers are tolerated.',
    mend: 'Set usageProfile to strict.',
  }),
  ...PATH_REASONS,
  ...SERVICE_REASONS,
  'not-assessed': row<{ message: string }>({
    severity: 'info',
    doc: 'Nothing is configured or known that this signal could check.',
    message: ({ message }) => message,
    mend: NOTHING_TO_FIX,
  }),
  ...HOST_REASONS,
  'vpn-present': row<{ detail: string }>({
    severity: 'info',
    doc: 'Every path to a resolver leaves from a VPN interface.',
    message: ({ detail }) => detail,
    mend: NOTHING_TO_FIX,
  }),
  'vpn-absent': vpnReason('warn', 'A path to a resolver does not leave from a VPN interface.', START_THE_VPN),
  'vpn-unknown': vpnReason('info', 'It is not known whether a VPN is used.', START_THE_VPN),
  'rule-vpn': rule(
    'The policy requires a VPN on the path to every resolver, and there is none. Lookups fail.',
    'Start the VPN and check that it carries IPv6 too, or remove addresses that it does not carry from the trusted set.',
  ),
  'rule-audit': rule(
    'The policy requires an audit log, and it cannot be written. Lookups fail.',
    'Make stateDir writable again (space, mode). The service retries at each heartbeat.',
  ),
  ...PATH_RULES,
  'rule-usage-profile': rule('The usage profile is weaker than the policy requires.'),
  'rule-transports': rule('The policy does not allow a transport that is in use.'),
  'rule-query-padding': rule('Queries are padded less than the policy requires.'),
  'rule-reply-padding': rule(
    'Replies come back unpadded, which the policy does not allow.',
    'Leave those resolvers out of "use", or ask their operators to pad (RFC 8467).',
  ),
  'rule-shaping': rule(
    'The shaping profile that the policy requires is not in force.',
    'See shaping in the status for why it is not in force.',
  ),
  'rule-operators': rule('A resolver belongs to an operator that the policy does not allow.'),
  'rule-jurisdictions': rule('A resolver is in a jurisdiction that the policy does not allow.'),
  'rule-operator-count': rule('Fewer operators answer than the policy requires.', 'Check the network, or name more operators in "use".'),
  'rule-pins': rule('A resolver is not authenticated by a pin.'),
  'rule-claims': rule('An operator states the opposite of what the policy requires.'),
  'rule-cleartext': rule(
    'A zone that the policy does not name is asked without encryption.',
    'Remove the zone from allowCleartext, or name it in policy.allowCleartext.',
  ),
  'rule-system-resolver': rule('The policy requires the system to use this service, and it does not.', ASK_THIS_SERVICE),
  'policy-unknown': rulesWithVerdict(
    'It is not known whether these rules are met.',
    'Cannot tell',
    'Look up any name, or see policy.rules in the status for what is missing.',
  ),
  'policy-claimed': rulesWithVerdict(
    'These rules depend on what operators say about themselves.',
    'Claimed by operators, not proven',
    'These rules cannot be proven on this host.',
  ),
  'policy-met': rulesWithVerdict('These rules of the policy are met.', 'Met', NOTHING_TO_FIX),
} as const satisfies Readonly<Record<string, ReasonRow<never>>>

export type ReasonCode = keyof typeof REASONS
/** The code of a policy rule that is not met. */
export type RuleCode = Extract<ReasonCode, `rule-${string}`>

/** The arguments of the sentences of a reason. */
type ArgsOf<Code extends ReasonCode> = (typeof REASONS)[Code] extends ReasonRow<infer Args> ? Args : never

/** Whether this version knows the code. */
export function isReasonCode(code: string): code is ReasonCode {
  return Object.hasOwn(REASONS, code)
}

/** Makes a reason from its code and the facts of the case. */
export function reason<Code extends ReasonCode>(code: Code, ...[given]: ArgsOf<Code> extends void ? [] : [ArgsOf<Code>]): Reason {
  const args = given as ArgsOf<Code>
  const { severity, message, mend } = REASONS[code] as unknown as ReasonRow<ArgsOf<Code>>
  return {
    code,
    severity: typeof severity === 'function' ? severity(args) : severity,
    message: typeof message === 'function' ? message(args) : message,
    mend: typeof mend === 'function' ? mend(args) : mend,
  }
}

const SEVERITY_RANK: Readonly<Record<Severity, number>> = { bad: 0, warn: 1, info: 2 }
const PLACE: Readonly<Record<string, number>> = Object.fromEntries(Object.keys(REASONS).map((code, place) => [code, place]))
/** Limit of reasons per signal, so that the file stays small. More would not help a reader. */
const MAX_REASONS = 24

/**
 * Sorts reasons, the worst first; equal ones are in the order of the table. At most 24 are kept:
 * each code once, before the same code is repeated for other resolvers.
 */
export function worstFirst(reasons: readonly Reason[]): readonly Reason[] {
  const place = ({ severity, code }: Reason) => SEVERITY_RANK[severity] * 1000 + (PLACE[code] ?? 0)
  const sorted = [...reasons].sort((a, b) => place(a) - place(b))
  if (sorted.length <= MAX_REASONS) return sorted
  const first = sorted.filter(({ code }, i) => sorted.findIndex((other) => other.code === code) === i)
  const more = sorted.filter((one) => !first.includes(one)).slice(0, Math.max(0, MAX_REASONS - first.length))
  return sorted.filter((one) => first.includes(one) || more.includes(one)).slice(0, MAX_REASONS)
}
