/** The facts of a group for the key exchange of TLS. */
interface GroupFacts {
  /** The name that OpenSSL uses in a list. */
  readonly openssl: string
  /** It resists a future quantum computer, and its hello does not fit in one packet. */
  readonly hybrid: boolean
}

/** The groups that may be offered; names as in the trusted set and in the status. */
const GROUPS = {
  X25519MLKEM768: { openssl: 'X25519MLKEM768', hybrid: true },
  SecP256r1MLKEM768: { openssl: 'SecP256r1MLKEM768', hybrid: true },
  SecP384r1MLKEM1024: { openssl: 'SecP384r1MLKEM1024', hybrid: true },
  X25519: { openssl: 'X25519', hybrid: false },
  'P-256': { openssl: 'P-256', hybrid: false },
  'P-384': { openssl: 'P-384', hybrid: false },
  'P-521': { openssl: 'P-521', hybrid: false },
} as const satisfies Readonly<Record<string, GroupFacts>>

export type TlsGroup = keyof typeof GROUPS

/** Other names of the same groups: those of IANA and of OpenSSL. */
const ALIASES: Readonly<Record<string, TlsGroup>> = {
  x25519: 'X25519',
  secp256r1: 'P-256',
  prime256v1: 'P-256',
  secp384r1: 'P-384',
  secp521r1: 'P-521',
}

/** All of them, the preferred one first. */
export const TLS_GROUP_NAMES = Object.keys(GROUPS) as [TlsGroup, ...TlsGroup[]]

/** The group that `text` names, in any usual spelling; undefined: it names none of them. */
export function tlsGroupOf(text: string): TlsGroup | undefined {
  return Object.hasOwn(GROUPS, text) ? (text as TlsGroup) : Object.hasOwn(ALIASES, text) ? ALIASES[text] : undefined
}

/** Whether a group resists a future quantum computer. */
export function isHybrid(group: TlsGroup): boolean {
  return GROUPS[group].hybrid
}

/** Whether this OpenSSL may have hybrid groups: they came with 3.5 (Node 24). */
export function mayHaveHybrids({ openssl }: Pick<NodeJS.ProcessVersions, 'openssl'> = process.versions): boolean {
  const [major = 0, minor = 0] = openssl.split('.').map(Number)
  return major > 3 || (major === 3 && minor >= 5)
}

/** What this Node lacks if it has none of `groups`, as a clause. Undefined: it may have one. */
export function missingGroups(
  groups: readonly TlsGroup[],
  versions: Pick<NodeJS.ProcessVersions, 'node' | 'openssl'> = process.versions,
): string | undefined {
  if (mayHaveHybrids(versions) || !groups.every(isHybrid)) return undefined
  return `Node ${versions.node} has OpenSSL ${versions.openssl}, which has no such group; use Node 24 or later`
}

/** The name of a group in a list of OpenSSL. */
export function opensslNameOf(group: TlsGroup): string {
  return GROUPS[group].openssl
}
