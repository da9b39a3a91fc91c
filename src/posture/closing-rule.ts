import type { StatusDocument } from './document.ts'

/**
 * The rules of a policy that let no query through while they are not met (`failClosed`), in their
 * order there, and what each requires.
 */
export const CLOSING = {
  vpn: 'a VPN on every way to a resolver',
  separation: 'that no operator knows both your address and the names',
  audit: 'an audit log that can be written',
} as const

/** The rule because of which the policy lets no query through, with a sentence about it. */
export interface ClosingRule {
  readonly rule: keyof typeof CLOSING
  readonly says: string
}

/**
 * The rule because of which no resolver is asked, according to a status document. Undefined: if
 * lookups fail, the policy is not the cause.
 */
export function closingRule({ state, policy }: Pick<StatusDocument, 'state' | 'policy'>): ClosingRule | undefined {
  if (state !== 'offline' || policy === undefined) return undefined
  const unmet = policy.rules.filter(({ verdict }) => verdict !== 'met').map(({ rule }) => rule)
  const found = (Object.keys(CLOSING) as (keyof typeof CLOSING)[]).find((rule) => unmet.includes(rule))
  return found === undefined
    ? undefined
    : { rule: found, says: `The policy allows no queries now: it requires ${CLOSING[found]}. Lookups fail.` }
}
