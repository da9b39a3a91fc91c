import { basename } from 'node:path'
import * as v from 'valibot'
import { minisignKey } from '../files/minisign.ts'
import { aheadOf, proven, seenTimes } from '../files/signed.ts'
import { type CollectProblem, documentOf } from './documents.ts'
import { readGuarded } from './file-safety.ts'
import { signatureOf } from './kept-lists.ts'
import { both, type Policy, policySchema, rulesAt, tightened } from './policy.ts'
import { relaxing } from './policy-contradictions.ts'
import { problemsOf, quoted } from './problems.ts'

/** The file and the key of an organisation's policy. The path is absolute. */
export interface PolicySource {
  readonly file: string
  readonly minisignKey: string
}

/** A policy with a valid signature, and the time of its signature. */
export interface SignedPolicy {
  readonly policy: Policy
  readonly signedS: number | undefined
}

/**
 * Reads a signed policy. Undefined: it cannot be read or is not valid, or its signature is wrong,
 * made with another key, or older than an earlier one. The problems are collected, so the
 * configuration is refused.
 */
export async function signedPolicy(
  { file, minisignKey: keyText }: PolicySource,
  stateDir: string,
  collect: CollectProblem,
): Promise<SignedPolicy | undefined> {
  const reading = await readGuarded(file)
  const raw = documentOf(file, reading, collect, true, 'write the rules, as in {"minimumUsageProfile": "strict"}')
  const key = minisignKey(keyText)
  const seen = seenTimes(stateDir)
  if (raw === undefined || key === undefined) return undefined
  const refuse = (message: string) => void collect({ file, path: '', message })
  if (typeof seen === 'string') {
    refuse(`cannot be compared with earlier ones, because ${seen}`)
    return undefined
  }
  const signed = {
    // Not the text: it has no byte order mark.
    data: reading.octets ?? Buffer.alloc(0),
    signature: signatureOf(`${file}.minisig`),
    key,
    fileName: basename(file),
    source: SOURCE_NAME,
  }
  const found = proven(signed, seen)
  if (found.refused !== undefined) {
    refuse(`${found.refused}; the policy must be the one that was signed`)
    return undefined
  }
  const parsed = v.safeParse(policySchema, raw, { abortPipeEarly: true })
  if (parsed.success) return { policy: parsed.output, signedS: found.timestampS }
  for (const problem of problemsOf(file, parsed.issues)) collect(problem)
  return undefined
}

/** The name under which the signing time of the policy is remembered (`SeenTimes`). */
const SOURCE_NAME = 'policyFrom'

/**
 * Remembers the signing time of the policy in force. Older policies are refused from now on.
 * Returns a clause if this failed.
 */
export function rememberPolicy(
  { minisignKey: keyText }: PolicySource,
  signedS: number | undefined,
  stateDir: string,
  wallMs: number,
): string | undefined {
  const key = minisignKey(keyText)
  if (key === undefined || signedS === undefined) return undefined
  const ahead = aheadOf(signedS, wallMs)
  if (ahead !== undefined) return `is not remembered: it ${ahead}`
  const seen = seenTimes(stateDir)
  if (typeof seen === 'string') return `could not be remembered: ${seen}`
  return seen.accept(key, SOURCE_NAME, signedS) ? undefined : `could not be remembered in ${stateDir}`
}

/** The policy of a configuration. `audit` is undefined if the file does not have it. */
export type LocalPolicy = Omit<Policy, 'audit'> & { readonly audit: Policy['audit'] | undefined }

/**
 * Adds the rules of the configuration to those of an organisation. A rule that would weaken the
 * signed policy is a problem at its path in the configuration, because it would have no effect.
 */
export function addedPolicy(signed: Policy, local: LocalPolicy | undefined, problem: (path: string, message: string) => void): Policy {
  if (local === undefined) return signed
  const { networks = [], vpnInterfaces, audit, allowCleartext, unsignedNetworks: _none, ...rules } = local
  const base = rulesAt(signed, undefined)
  for (const { path, message } of relaxing(base, rules, 'policy', weaker)) problem(path, message)
  const known = new Set((signed.networks ?? []).map(({ name }) => name))
  for (const [i, { name }] of networks.entries())
    if (known.has(name))
      problem(`policy.networks[${i}].name`, `${quoted(name)} is the name of a network in the signed policy; choose another name`)
  for (const name of vpnInterfaces ?? [])
    if (!(signed.vpnInterfaces ?? []).includes(name))
      problem('policy.vpnInterfaces', `${quoted(name)} does not count as a VPN in the signed policy; remove it`)
  // A policy that names no zone allows none.
  for (const zone of allowCleartext ?? [])
    if (!(signed.allowCleartext ?? []).includes(zone))
      problem('policy.allowCleartext', `${quoted(zone)} may not be asked without encryption by the signed policy; remove it`)
  if (audit !== undefined && AUDIT.indexOf(audit) < AUDIT.indexOf(signed.audit))
    problem('policy.audit', `is weaker than the signed policy (${signed.audit}); remove it`)
  // The organisation's networks come first, because the first network that matches counts.
  const all = [...(signed.networks ?? []), ...networks]
  // Zones beside a signed policy without this rule are refused above; an empty list is stricter.
  const cleartext = allowCleartext?.length === 0 ? [] : signed.allowCleartext && both(signed.allowCleartext, allowCleartext)
  return {
    ...tightened(base, rules),
    ...(cleartext === undefined ? {} : { allowCleartext: cleartext }),
    audit: audit !== undefined && AUDIT.indexOf(audit) > AUDIT.indexOf(signed.audit) ? audit : signed.audit,
    ...(signed.vpnInterfaces === undefined ? {} : { vpnInterfaces: vpnInterfaces ?? signed.vpnInterfaces }),
    ...(all.length === 0 ? {} : { networks: all }),
    ...(networks.length === 0 ? {} : { unsignedNetworks: networks.map(({ name }) => name) }),
  }
}

const weaker = (_key: string, was: string) => `is weaker than the signed policy (${was}), which a configuration may only tighten; remove it`

const AUDIT: readonly Policy['audit'][] = ['off', 'on', 'required']
