/** The format of a list. `auto`: the format is recognised line by line; an RPZ by its SOA. */
export type ListFormat = 'auto' | 'hosts' | 'domains' | 'adblock' | 'rpz'

/**
 * What a rule covers: only the name, the name and all names below it (`tree`), or only the names
 * below it.
 */
export type Scope = 'name' | 'tree' | 'below'

/** The answer to a blocked name. `nodata`: the name exists without records; only in an RPZ. */
export type BlockedReply = 'null-address' | 'nxdomain' | 'refused' | 'nodata'

/** What a rule does, without the name to which it applies. */
export interface RuleKind {
  readonly allows: boolean
  /** `$important`: it beats rules of both directions that are not important. */
  readonly important: boolean
  /** The reply that an RPZ demands; undefined: the reply of the list. */
  readonly reply: BlockedReply | undefined
  /**
   * Names below the name of the rule, in wire form, to which the rule does not apply
   * (`$denyallow`).
   */
  readonly except: readonly Uint8Array[]
}

export const BLOCK: RuleKind = { allows: false, important: false, reply: undefined, except: [] }
export const ALLOW: RuleKind = { ...BLOCK, allows: true }

/** Receives the rules of a list. All octets that it gets are valid only until the call returns. */
export interface RuleTaker {
  /** `name` is in wire form and lower-case. */
  name(name: Uint8Array, scope: Scope, kind: RuleKind): void
  /** A block of addresses in answers: 4 or 16 octets, of which the first `prefix` bits count. */
  addresses(octets: Uint8Array, prefix: number, kind: RuleKind): void
  /** The same for a block of addresses of clients, whatever they ask. */
  clients(octets: Uint8Array, prefix: number, kind: RuleKind): void
  /** A line, or a part of it, that is not used; `detail`: the modifier. */
  skip(reason: SkipReason, detail?: string): void
}

/** Reasons why a line is not used. Each text follows "3 lines are not used: they". */
export const SKIP_REASONS = {
  'not-a-name': 'contain no host name',
  pattern: 'are patterns for web addresses, which a resolver does not see',
  cosmetic: 'hide parts of web pages',
  regexp: 'are regular expressions, which are not supported',
  modifier: 'have a modifier that a resolver cannot apply',
  'other-address': 'assign a real address instead of blocking; move them to a file of "hosts"',
  'too-long': 'are longer than 4096 octets',
  'whole-domain': 'would block a whole top-level domain, such as com, or a large part of all addresses',
  'too-many-kinds': 'exceed the number of different exceptions',
  'rpz-nsdname': 'depend on the name of a name server (rpz-nsdname), which a stub does not see',
  'rpz-nsip': 'depend on the address of a name server (rpz-nsip), which a stub does not see',
  'too-many-clients': 'exceed the number of rules about clients (rpz-client-ip), which is 65536 for all lists',
  'rpz-data': 'hold data of their own; write such records in "answers"',
  'rpz-tcp-only': 'demand TCP (rpz-tcp-only), which is not supported',
  'rpz-outside': 'lie outside the zone of their file',
} as const

export type SkipReason = keyof typeof SKIP_REASONS
