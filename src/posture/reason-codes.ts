/**
 * Every reason there is: the code is for programs and never changes its meaning, the words here are for docs/status.md. The list is closed, so that a redacted
 * document can hold codes and nothing that somebody made up.
 */
export const REASON_CODES = {
  'all-failing': 'No resolver answers; queries fail closed.',
  'none-answering': 'The resolver in use fails and no other has answered yet.',
  'not-proven-yet': 'No resolver has answered since the start.',
  'proof-old': 'The last authenticated answer is more than ten minutes old.',
  'clock-suspect': 'Every resolver was refused for the dates in its certificate: the clock is probably wrong.',
  'portal-suspected': 'Somebody else answered in place of every resolver and was refused: a login page of the network, or interception.',
  'resolver-down': 'One resolver does not answer.',
  'pin-mismatch': 'A resolver showed a key that is not among its pins; it was refused.',
  'certificate-expired': 'A resolver showed an expired certificate; it was refused.',
  'certificate-not-yet-valid': 'A resolver showed a certificate that is not valid yet; it was refused.',
  'certificate-name': 'A resolver showed a certificate for another name; it was refused.',
  'certificate-untrusted': 'A resolver showed a certificate that no trusted authority signed; it was refused.',
  'replies-unpadded': 'Replies come back without padding.',
  'shaping-not-in-force': 'The configured shaping profile is not in force.',
  'unauthenticated-answers': 'Answers come from somebody who did not prove who it is (opportunistic only).',
  'profile-opportunistic': 'The usage profile puts up with unauthenticated resolvers.',
  starting: 'The service is starting.',
  stopping: 'The service is stopping.',
  stopped: 'The service was stopped.',
  'reload-refused': 'A reload was refused; the configuration before it is in force.',
  'restart-needed': 'Settings were changed that take effect at the next start only.',
  'internal-fault': 'An internal fault was caught in the last ten minutes.',
  'was-asleep': 'The process was stopped or the machine slept before this heartbeat.',
  'event-loop-late': 'The event loop was busy: the heartbeat came late.',
  restarted: 'The run before this one did not end by itself.',
  'status-unsigned': 'The status file is not signed.',
  'query-trace': 'Somebody with the rights of this service is shown what is asked, for a limited time.',
  'audit-gap': 'The audit log cannot be written, or could not: events are missing in it.',
  'not-assessed': 'Nothing is configured that would be judged here.',
  'network-untrusted': 'This network is one that the policy does not name.',
  'network-named': 'This network is one that the policy names; a network can be imitated, so this only adds rules.',
  'network-unknown': 'It cannot be told which network this is.',
  'system-asks-us': 'The system asks this service: proven by a query that came back through its own listener.',
  'system-asks-elsewhere': 'The system is configured to ask somebody else.',
  'system-unknown': 'It cannot be told whether the system asks this service.',
  'canary-lost': 'A query through the system did not come back through the own listener.',
  bypassed: 'Something on this host asks name servers elsewhere, over port 53.',
  'vpn-present': 'Every path to a resolver leaves from a VPN interface.',
  'vpn-absent': 'A path to a resolver does not leave from a VPN interface.',
  'vpn-unknown': 'It cannot be told whether a VPN is used.',
  'policy-met': 'These rules of the policy are met.',
  'policy-claimed': 'These rules rest on what operators say of themselves.',
  'policy-unknown': 'Whether these rules are met cannot be told.',
  'rule-usage-profile': 'The usage profile is weaker than the policy asks.',
  'rule-transports': 'A transport is in use that the policy does not allow.',
  'rule-query-padding': 'Queries are padded less than the policy asks.',
  'rule-reply-padding': 'Replies come back unpadded, which the policy does not allow.',
  'rule-shaping': 'The shaping profile that the policy asks for is not in force.',
  'rule-operators': 'A resolver belongs to an operator that the policy does not allow.',
  'rule-jurisdictions': 'A resolver is in a jurisdiction that the policy does not allow.',
  'rule-operator-count': 'Fewer operators answer than the policy asks for.',
  'rule-pins': 'A resolver is not authenticated by a pin as well.',
  'rule-claims': 'An operator says the contrary of what the policy asks for.',
  'rule-vpn': 'The policy requires a VPN on the way to every resolver, and there is none: queries fail closed.',
  'rule-audit': 'The policy requires an audit log, and it cannot be written: queries fail closed.',
  'rule-system-resolver': 'The policy requires the system to ask this service, and it does not.',
} as const satisfies Readonly<Record<string, string>>

export type ReasonCode = keyof typeof REASON_CODES

/** Whether this version knows the code. */
export function isReasonCode(code: string): code is ReasonCode {
  return Object.hasOwn(REASON_CODES, code)
}
