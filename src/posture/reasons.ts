import type { ErrorCode } from '../errors.ts'
import type { Transport } from '../resolve.ts'
import { TRANSPORTS } from '../transports.ts'

export type Severity = 'info' | 'warn' | 'bad'

/**
 * One thing a person should know, and what would mend it. `code` is stable; the sentences are not.
 */
export interface Reason {
  readonly code: ReasonCode
  readonly severity: Severity
  readonly message: string
  readonly mend: string
}

/**
 * What there is to say about one code. `doc` is its line in docs/status.md; what depends on the
 * case takes the row's arguments.
 */
interface ReasonRow<Args> {
  readonly severity: Severity | ((args: Args) => Severity)
  readonly doc: string
  readonly message: string | ((args: Args) => string)
  readonly mend: string | ((args: Args) => string)
}

const row = <Args = void>(of: ReasonRow<Args>): ReasonRow<Args> => of

const NOTHING_TO_FIX = 'Nothing to fix.'
const NETWORK_DOES_NOT_MATTER = 'Nothing to fix: protection does not depend on the network.'
const ASK_THIS_SERVICE = 'Have the system ask this service alone: docs/system.md says how.'
const CHECK_FOR_INTERCEPTION = 'Check the clock and the trusted set. If both are right, something on this network intercepts.'
const START_THE_VPN = 'Start the VPN. Check that it carries every address of the trusted set.'

/**
 * A peer that was refused for who it is. Where that is why nothing answers it is as bad as that,
 * and stands before it.
 */
const refused = (doc: string, showed: string, mend = CHECK_FOR_INTERCEPTION) =>
  row<{ id: string; transport: Transport; decides: boolean }>({
    severity: ({ decides }) => (decides ? 'bad' : 'warn'),
    doc,
    message: ({ id, transport }) => `${id} over ${TRANSPORTS[transport].label} showed ${showed}; it was refused.`,
    mend,
  })

/** A rule of the policy that is not met. */
const rule = (doc: string, mend = 'Change the configuration, or ask the author of the policy to change the rule.') =>
  row<{ rule: string; detail: string }>({
    severity: 'bad',
    doc,
    message: ({ rule, detail }) => `Not met: ${rule}. ${detail}`,
    mend,
  })

/** Rules of one verdict, in one line. */
const rules = (doc: string, label: string, mend: string) =>
  row<readonly string[]>({ severity: 'info', doc, message: (names) => `${label}: ${names.join(', ')}.`, mend })

const vpnReason = (severity: Severity, doc: string, mend: string) =>
  row<{ detail: string; required: boolean }>({
    severity: ({ required }) => (required ? 'bad' : severity),
    doc,
    message: ({ detail, required }) => `${detail}${required ? ' Queries fail closed.' : ''}`,
    mend,
  })

/**
 * Every reason there is, once: the code is for programs and never changes its meaning, `doc` makes
 * docs/status.md. The list is closed, so that a redacted document can
 * hold codes and nothing that somebody made up. Among reasons that are equally bad those that stand
 * first here come first: the cause before what follows from it, what
 * a person must do before what mends itself.
 */
export const REASONS = {
  'captive-portal': row<{ untilWallMs: number }>({
    severity: 'bad',
    doc: "Somebody with the rights of this service lets the network's own resolver be asked in cleartext for its login page, for a limited time.",
    message: ({ untilWallMs }) =>
      `The network's own resolver is asked in cleartext for its login page, until ${new Date(untilWallMs).toISOString()} at most.`,
    mend: 'It ends when the network lets traffic through, with its time, or with the command (enigm-dns portal).',
  }),
  'clock-suspect': row({
    severity: 'bad',
    doc: 'Every resolver was refused for the dates in its certificate: the clock is probably wrong.',
    message: 'Every resolver was refused for the dates in its certificate: the clock is probably wrong.',
    mend: 'Set the clock (date, or a time server configured by its address); verification is never skipped.',
  }),
  'portal-suspected': row({
    severity: 'bad',
    doc: 'Somebody else answered in place of every resolver and was refused: a login page of the network, or interception.',
    message:
      'Somebody else answered in place of every resolver and was refused: a login page of this network does that, and so does interception.',
    mend: 'If this network has a login page: enigm-dns portal; or open it by its address (often the gateway).',
  }),
  'pin-mismatch': refused(
    'A resolver showed a key that is not among its pins; it was refused.',
    'a key that is not among its pins',
    'Compare the pins with what the operator publishes. If they are right, something intercepts.',
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
  'unauthenticated-answers': row<readonly { id: string; why: ErrorCode }[]>({
    severity: 'bad',
    doc: 'Answers come from somebody who did not prove who it is (opportunistic only).',
    message: (who) => `Answers come from somebody who did not prove who it is: ${who.map(({ id, why }) => `${id} (${why})`).join(', ')}.`,
    mend: 'Set usageProfile to strict, or correct the trusted set.',
  }),
  'all-failing': row<{ up: boolean }>({
    severity: 'bad',
    doc: 'No resolver answers; queries fail closed.',
    message: ({ up }) => `No resolver answers${up ? '; one can be reached again, but has not answered yet' : ''}. Queries fail closed.`,
    mend: 'Check the network and the clock. The service retries by itself.',
  }),
  'none-answering': row({
    severity: 'bad',
    doc: 'The resolver in use fails and no other has answered yet.',
    message: 'The resolver in use fails, and no other has answered yet.',
    mend: 'Wait some seconds. If it stays, check the network.',
  }),
  'shaping-not-in-force': row<{ profile: string; why: string | undefined }>({
    severity: 'warn',
    doc: 'The configured shaping profile is not in force.',
    message: ({ profile, why }) => `The shaping profile ${profile} is configured but not in force${why === undefined ? '' : `: ${why}`}.`,
    mend: 'Use a resolver that pads its replies and accepts cover traffic, or choose another profile.',
  }),
  'resolver-down': row<{ id: string; code: ErrorCode }>({
    severity: 'warn',
    doc: 'One resolver does not answer.',
    message: ({ id, code }) => `${id} does not answer (${code}).`,
    mend: 'The service retries. Check whether the network blocks it.',
  }),
  'not-proven-yet': row({
    severity: 'info',
    doc: 'No resolver has answered since the start.',
    message: 'No resolver has answered yet.',
    mend: 'Ask something: enigm-dns query example.com',
  }),
  'replies-unpadded': row<readonly string[]>({
    severity: 'info',
    doc: 'Replies come back without padding.',
    message: (ids) => `${ids.join(', ')}: not every reply is padded. The sizes give information to an observer.`,
    mend: 'Prefer a resolver that pads its replies (RFC 8467).',
  }),
  'proof-old': row<{ minutes: number }>({
    severity: 'info',
    doc: 'The last authenticated answer is more than ten minutes old.',
    message: ({ minutes }) => `The last authenticated answer is ${minutes} min old; it counts only because a link is up or idle.`,
    mend: 'Ask any name; the answer is a new proof.',
  }),
  'profile-opportunistic': row({
    severity: 'info',
    doc: 'The usage profile tolerates unauthenticated resolvers.',
    message: 'The usage profile is opportunistic: unauthenticated resolvers are tolerated.',
    mend: 'Set usageProfile to strict.',
  }),
  starting: row({ severity: 'info', doc: 'The service is starting.', message: 'The service is starting.', mend: 'Wait a moment.' }),
  stopping: row({
    severity: 'bad',
    doc: 'The service is stopping.',
    message: 'The service is stopping.',
    mend: 'Start it: enigm-dns run',
  }),
  stopped: row({ severity: 'bad', doc: 'The service was stopped.', message: 'The service was stopped.', mend: 'Start it: enigm-dns run' }),
  'audit-gap': row<{ state: 'writing' | 'unwritable'; lost: number }>({
    severity: ({ state }) => (state === 'unwritable' ? 'warn' : 'info'),
    doc: 'The audit log cannot be written, or could not: events are missing in it.',
    message: ({ state, lost }) =>
      state === 'unwritable'
        ? `The audit log cannot be written; events missing in it: ${lost}.`
        : `Events missing in the audit log since the start: ${lost}; the gap is noted in it.`,
    mend: ({ state }) =>
      state === 'unwritable'
        ? 'Make stateDir writable again (space, mode). The service retries at each heartbeat.'
        : 'They are lost. See the log of the system for that time.',
  }),
  'status-unsigned': row<{ why: string }>({
    severity: 'info',
    doc: 'The status file is not signed.',
    message: ({ why }) => `The status file is not signed: ${why}.`,
    mend: 'Give the service its own stateDir (0700). Delete a damaged key, and distribute the new public key.',
  }),
  restarted: row<{ count: number }>({
    severity: 'info',
    doc: 'The run before this one crashed or was killed.',
    message: ({ count }) => `The run before this one crashed or was killed. Starts in this boot before this one: ${count}.`,
    mend: 'See the log of the system for why (crash, memory, SIGKILL).',
  }),
  'query-trace': row<{ untilWallMs: number }>({
    severity: 'warn',
    doc: 'Somebody with the rights of this service sees every query, for a limited time.',
    message: ({ untilWallMs }) =>
      `Somebody with the rights of this service sees every query, until ${new Date(untilWallMs).toISOString()} at most.`,
    mend: 'It ends after its time or with the command (enigm-dns trace). A reload ends it at once.',
  }),
  'reload-refused': row<{ message: string }>({
    severity: 'warn',
    doc: 'A reload was refused; the configuration before it is in force.',
    message: ({ message }) => `A reload was refused; the configuration before it is in force: ${message}`,
    mend: 'Correct the file (enigm-dns check), then reload.',
  }),
  'restart-needed': row<readonly string[]>({
    severity: 'warn',
    doc: 'Settings were changed that take effect at the next start only.',
    message: (settings) => `These settings take effect at the next start: ${settings.join(', ')}.`,
    mend: 'Restart the service (enigm-dns stop, then enigm-dns run), or undo the change.',
  }),
  'internal-fault': row<{ where: string }>({
    severity: 'warn',
    doc: 'An internal fault was caught in the last ten minutes.',
    message: ({ where }) => `An internal fault was caught in ${where}.`,
    mend: 'See the log, and report it.',
  }),
  'was-asleep': row<{ lateMs: number }>({
    severity: 'info',
    doc: 'The process was stopped or the machine slept before this heartbeat.',
    message: ({ lateMs }) => `It was stopped or asleep for about ${Math.round(lateMs / 1000)} s before this heartbeat.`,
    mend: NOTHING_TO_FIX,
  }),
  'event-loop-late': row<{ lateMs: number }>({
    severity: 'warn',
    doc: 'The event loop was busy: the heartbeat came late.',
    message: ({ lateMs }) => `The event loop was busy: the heartbeat came ${Math.round(lateMs)} ms late.`,
    mend: 'Give the service more CPU. Report this if the machine was idle.',
  }),
  'not-assessed': row<{ message: string }>({
    severity: 'info',
    doc: 'Nothing is configured that would be judged here.',
    message: ({ message }) => message,
    mend: NOTHING_TO_FIX,
  }),
  'network-untrusted': row({
    severity: 'info',
    doc: 'This network is one that the policy does not name.',
    message: 'The policy does not name this network, so it is untrusted.',
    mend: NETWORK_DOES_NOT_MATTER,
  }),
  'network-named': row<{ named: string }>({
    severity: 'info',
    doc: 'This network is one that the policy names; a network can be imitated, so this only adds rules.',
    message: ({ named }) => `The policy calls this network "${named}". A network can be imitated, so that only adds rules.`,
    mend: NOTHING_TO_FIX,
  }),
  'network-unknown': row({
    severity: 'info',
    doc: 'It is not known which network this is.',
    message: 'It is not known which network this is; it is treated as untrusted.',
    mend: NETWORK_DOES_NOT_MATTER,
  }),
  'system-asks-us': row<{ ageMin: number }>({
    severity: 'info',
    doc: 'The system asks this service: proven by a query that came back through its own listener.',
    message: ({ ageMin }) =>
      `The system asks this service: a query of ${ageMin === 0 ? 'less than a minute' : `${ageMin} min`} ago came back through its listener.`,
    mend: NOTHING_TO_FIX,
  }),
  'system-asks-elsewhere': row<{ by: string; partly: boolean }>({
    severity: 'warn',
    doc: 'The system is configured to ask another DNS server.',
    message: ({ by, partly }) => `${by} makes the system ask ${partly ? 'another DNS server too' : 'another DNS server'}.`,
    mend: ASK_THIS_SERVICE,
  }),
  'system-unknown': row<{ by: string; named: boolean }>({
    severity: 'info',
    doc: 'It is not known whether the system asks this service.',
    message: ({ by, named }) =>
      named
        ? `${by} names this service. It is not proven that the system asks it.`
        : `Cannot tell which DNS server the system uses (${by}).`,
    mend: 'Ask a name through the system, as in: getent hosts example.com',
  }),
  'canary-lost': row<{ by: string }>({
    severity: 'warn',
    doc: 'A query through the system did not come back through the listener of this service.',
    message: ({ by }) => `${by} names this service, but a query through the system did not come back through its listener.`,
    mend: 'See what else answers there (nsswitch.conf, nscd, another service on port 53).',
  }),
  bypassed: row<{ flows: number }>({
    severity: 'warn',
    doc: 'A program on this host asks other name servers over port 53.',
    message: ({ flows }) =>
      `A program on this host sends to port 53 elsewhere, past this service: at least ${flows} flows since the start.`,
    mend: 'Find the program (ss -uap dport = :53) and make it use the system resolver, or block outgoing port 53.',
  }),
  'vpn-present': row<{ detail: string }>({
    severity: 'info',
    doc: 'Every path to a resolver leaves from a VPN interface.',
    message: ({ detail }) => detail,
    mend: NOTHING_TO_FIX,
  }),
  'vpn-absent': vpnReason('warn', 'A path to a resolver does not leave from a VPN interface.', START_THE_VPN),
  'vpn-unknown': vpnReason('info', 'It is not known whether a VPN is used.', START_THE_VPN),
  'rule-vpn': rule(
    'The policy requires a VPN on the way to every resolver, and there is none: queries fail closed.',
    'Start the VPN and check that it carries IPv6 too, or remove addresses that it does not carry from the trusted set.',
  ),
  'rule-audit': rule(
    'The policy requires an audit log, and it cannot be written: queries fail closed.',
    'Make stateDir writable again (space, mode). The service retries at each heartbeat.',
  ),
  'rule-usage-profile': rule('The usage profile is weaker than the policy asks.'),
  'rule-transports': rule('A transport is in use that the policy does not allow.'),
  'rule-query-padding': rule('Queries are padded less than the policy asks.'),
  'rule-reply-padding': rule(
    'Replies come back unpadded, which the policy does not allow.',
    'Leave those resolvers out of "use", or ask their operators to pad (RFC 8467).',
  ),
  'rule-shaping': rule(
    'The shaping profile that the policy asks for is not in force.',
    'See shaping in the status for why it is not in force.',
  ),
  'rule-operators': rule('A resolver belongs to an operator that the policy does not allow.'),
  'rule-jurisdictions': rule('A resolver is in a jurisdiction that the policy does not allow.'),
  'rule-operator-count': rule('Fewer operators answer than the policy asks for.', 'Check the network, or name more operators in "use".'),
  'rule-pins': rule('A resolver is not authenticated by a pin as well.'),
  'rule-claims': rule('An operator states the opposite of what the policy asks for.'),
  'rule-system-resolver': rule('The policy requires the system to ask this service, and it does not.', ASK_THIS_SERVICE),
  'policy-unknown': rules(
    'It is not known whether these rules are met.',
    'Cannot tell',
    'Ask any name, or see policy.rules in the status for what is missing.',
  ),
  'policy-claimed': rules(
    'These rules depend on what operators say about themselves.',
    'Claimed by operators, not proven',
    'Nothing here can prove it.',
  ),
  'policy-met': rules('These rules of the policy are met.', 'Met', NOTHING_TO_FIX),
} as const satisfies Readonly<Record<string, ReasonRow<never>>>

export type ReasonCode = keyof typeof REASONS
/** A rule of the policy that is not met. */
export type RuleCode = Extract<ReasonCode, `rule-${string}`>

/** What the sentences of a reason need to be told. */
type ArgsOf<Code extends ReasonCode> = (typeof REASONS)[Code] extends ReasonRow<infer Args> ? Args : never

/** Whether this version knows the code. */
export function isReasonCode(code: string): code is ReasonCode {
  return Object.hasOwn(REASONS, code)
}

/** The reason of a code, for one case. */
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
/** More than this helps nobody, and the file stays bounded whatever the trusted set holds. */
const MAX_REASONS = 24

/**
 * Worst first, among equals in the order of the table, and no more than fit a report: what is said
 * of many resolvers gives way to what is said once.
 */
export function worstFirst(reasons: readonly Reason[]): readonly Reason[] {
  const place = ({ severity, code }: Reason) => SEVERITY_RANK[severity] * 1000 + (PLACE[code] ?? 0)
  const sorted = [...reasons].sort((a, b) => place(a) - place(b))
  if (sorted.length <= MAX_REASONS) return sorted
  const first = sorted.filter(({ code }, i) => sorted.findIndex((other) => other.code === code) === i)
  const more = sorted.filter((one) => !first.includes(one)).slice(0, Math.max(0, MAX_REASONS - first.length))
  return sorted.filter((one) => first.includes(one) || more.includes(one)).slice(0, MAX_REASONS)
}
