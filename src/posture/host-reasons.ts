import { counted } from '../config/problems.ts'

export type Severity = 'info' | 'warn' | 'bad'

/**
 * The texts of one reason code. `doc` is its line in docs/status.md. A text that depends on the
 * case is a function of the row's arguments.
 */
export interface ReasonRow<Args> {
  readonly severity: Severity | ((args: Args) => Severity)
  readonly doc: string
  readonly message: string | ((args: Args) => string)
  readonly mend: string | ((args: Args) => string)
}

/** A row of a table of reasons. */
export const row = <Args = void>(of: ReasonRow<Args>): ReasonRow<Args> => of

/** Makes the row of a policy rule that is not met. */
export const rule = (doc: string, mend = 'Change the configuration, or ask the author of the policy to change the rule.') =>
  row<{ rule: string; detail: string }>({
    severity: 'bad',
    doc,
    message: ({ rule, detail }) => `Not met: ${rule}. ${detail}`,
    mend,
  })

/** The fix text of a reason that needs no fix. */
export const NOTHING_TO_FIX = 'Nothing to fix.'
const NETWORK_DOES_NOT_MATTER = 'Nothing to fix: protection does not depend on the network.'
/** The fix text if the system uses another DNS server. */
export const ASK_THIS_SERVICE = 'Make the system use this service alone: docs/system.md says how.'

/** Reasons about the network, and about the DNS servers that the system uses: a part of REASONS. */
export const HOST_REASONS = {
  'network-untrusted': row<{ named: string | undefined }>({
    severity: 'info',
    doc: 'The policy does not name this network. Beside a signed policy, a name in the configuration does not count.',
    message: ({ named }) =>
      named === undefined
        ? 'The policy does not name this network, so it is untrusted.'
        : `The configuration calls this network "${named}". The signed policy does not name it, so it is untrusted.`,
    mend: NETWORK_DOES_NOT_MATTER,
  }),
  'network-named': row<{ named: string }>({
    severity: 'info',
    doc: 'The policy names this network. A network can be imitated, so this only adds rules.',
    message: ({ named }) => `The policy calls this network "${named}". A network can be imitated, so this only adds rules.`,
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
    doc: 'The system uses this service. A test query through the system arrived at the listener of this service.',
    message: ({ ageMin }) =>
      `The system uses this service: a test query arrived at its listener ${ageMin === 0 ? 'less than a minute' : `${ageMin} min`} ago.`,
    mend: NOTHING_TO_FIX,
  }),
  'system-asks-elsewhere': row<{ by: string; partly: boolean }>({
    severity: 'warn',
    doc: 'The system is configured to use another DNS server.',
    message: ({ by, partly }) => `${by} makes the system use ${partly ? 'another DNS server as well' : 'another DNS server'}.`,
    mend: ASK_THIS_SERVICE,
  }),
  'system-taken-over': row<{ by: string; repair: string }>({
    severity: 'warn',
    doc: 'The system was set up to use this service, but another program changed it to another DNS server.',
    message: ({ by, repair }) => `The system no longer uses this service alone, because of ${by}. ${repair}`,
    mend: 'Stop that program from changing the DNS of the system, then run: enigm-dns system enable',
  }),
  'system-bypasses': row<string>({
    severity: 'warn',
    doc: 'Links of this host have their own name servers, and some queries go to these and bypass this service.',
    message: (links) => `Some queries bypass this service: ${links}.`,
    mend: 'Remove the name servers or domains of that link where they are set, or set system.vpnDns to "override" for a VPN.',
  }),
  'system-unknown': row<{ by: string; named: boolean }>({
    severity: 'info',
    doc: 'It is not known whether the system uses this service.',
    message: ({ by, named }) =>
      named
        ? `${by} names this service. It is not proven that the system uses it.`
        : `Cannot tell which DNS server the system uses (${by}).`,
    mend: 'Look up a name through the system, for example: getent hosts example.com',
  }),
  'canary-lost': row<{ by: string }>({
    severity: 'warn',
    doc: 'A test query through the system did not arrive at the listener of this service.',
    message: ({ by }) => `${by} names this service, but a test query through the system did not arrive at its listener.`,
    mend: 'Find what answers instead (nsswitch.conf, nscd, another service on port 53).',
  }),
  bypassed: row<{ flows: number }>({
    severity: 'warn',
    doc: 'A program on this host sends DNS queries to other name servers over port 53.',
    message: ({ flows }) =>
      `A program on this host sends to port 53 of other servers and bypasses this service: at least ${counted(flows, 'flow')} since the start.`,
    mend: 'Find the program (ss -uap dport = :53) and make it use the system resolver, or block outgoing port 53.',
  }),
} as const satisfies Readonly<Record<string, ReasonRow<never>>>
