import { isDeepStrictEqual } from 'node:util'
import { EnigmError } from '../../errors.ts'
import { isRecord } from '../../files/json.ts'

/** What a command said. `code` is 127 where there is no such command. */
interface CommandResult {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** What is asked of the host; replaced in tests. */
export interface EnforceHost {
  /** Runs a program of the system to its end. Never rejects. */
  run(command: string, args: readonly string[]): Promise<CommandResult>
  /** The user that the service runs as; undefined: it does not run. */
  serviceUid(): number | undefined
}

/** Who may pass beside the service. */
export interface EnforceOptions {
  /** `leave`: what goes through a tunnel is left to the VPN that made it. */
  readonly vpnDns: 'leave' | 'override'
  /** Links that count as VPN whatever their kind, by name; nothing under `override`. */
  readonly vpnInterfaces: readonly string[]
}

/** Our table of nftables: nothing of anybody else's is read or changed. */
const TABLE = { family: 'inet', name: 'enigm_dns' } as const
const CHAIN = 'output'
const PORTS = [53, 853] as const
/** Every rule of ours begins its comment so. */
const MARK = 'enigm-dns: '
/**
 * Device types of linux/if_arp.h: ARPHRD_NONE, which TUN and WireGuard have, and ARPHRD_PPP, as
 * nft writes them.
 */
const TUNNELS = [65534, 'ppp'] as const
const SAME_TYPE: Readonly<Record<string, unknown>> = { none: 65534, '512': 'ppp' }

type Json = Readonly<Record<string, unknown>>

interface Rule {
  readonly comment: string
  readonly expr: readonly Json[]
}

const match = (left: Json, right: unknown): Json => ({ match: { op: '==', left, right } })
const meta = (key: string, right: unknown) => match({ meta: { key } }, right)
const accept: Json = { accept: null }

/** The rules, first to last: who may pass, and what is rejected of the rest. */
function rules(uid: number, { vpnDns, vpnInterfaces }: EnforceOptions): readonly Rule[] {
  const vpn =
    vpnDns === 'override'
      ? []
      : [
          ...TUNNELS.map((type) => ({ comment: `${MARK}VPN, a link of type ${type}`, expr: [meta('oiftype', type), accept] })),
          ...vpnInterfaces.map((name) => ({ comment: `${MARK}VPN, link ${name}`, expr: [meta('oifname', name), accept] })),
        ]
  return [
    { comment: `${MARK}within this host`, expr: [meta('oif', 'lo'), accept] },
    { comment: `${MARK}the service`, expr: [meta('skuid', uid), accept] },
    ...vpn,
    ...PORTS.flatMap((port) => [rejection('udp', port), rejection('tcp', port)]),
  ]
}

/** A program learns at once that nobody is there, and asks the next server that it knows. */
function rejection(protocol: 'udp' | 'tcp', port: number): Rule {
  const reject = protocol === 'udp' ? { type: 'icmpx', expr: 'port-unreachable' } : { type: 'tcp reset' }
  const expr = [match({ payload: { protocol, field: 'dport' } }, port), { counter: counterOf(port) }, { reject }]
  return { comment: `${MARK}${protocol} port ${port}`, expr }
}

const counterOf = (port: number) => `port_${port}`

/**
 * All of it in one transaction: there is no moment with half of the rules. An argument of nft: its
 * `-f -` opens /dev/stdin, which fails for the socket that Node makes of it.
 */
function ruleset(uid: number, o: EnforceOptions): string {
  const { family, name: table } = TABLE
  const chain = { family, table, name: CHAIN, type: 'filter', hook: 'output', prio: 0, policy: 'accept' }
  return JSON.stringify({
    nftables: [
      // One that is not there cannot be deleted.
      { add: { table: TABLE } },
      { delete: { table: TABLE } },
      { add: { table: TABLE } },
      { add: { chain } },
      ...PORTS.map((port) => ({ add: { counter: { family, table, name: counterOf(port) } } })),
      ...rules(uid, o).map((rule) => ({ add: { rule: { family, table, chain: CHAIN, ...rule } } })),
    ],
  })
}

/**
 * What would be done, as commands and sentences. Changes nothing. Rejects with an EnigmError
 * `state` for what refuses it.
 */
export async function planEnforce(
  host: EnforceHost,
  o: EnforceOptions,
): Promise<{ readonly commands: string[]; readonly notes: string[] }> {
  const uid = host.serviceUid()
  if (uid === 0) throw refused('the service runs as root, and every program of root would pass with it: set "user", or use its unit')
  const checked = await host.run('nft', ['-c', '-j', ruleset(uid ?? 1, o)])
  if (checked.code === 127) throw refused('nftables is missing; install it, as with: apt install nftables')
  if (checked.code !== 0) throw refused(`nftables does not take the rules (${oneLine(checked.stderr)})`)
  if ((await foreignTable(host)) === true) throw refused(`a table ${tableText} of somebody else is there: nft list table ${tableText}`)
  const vpn =
    o.vpnDns === 'override'
      ? 'VPNs: no exception, since vpnDns is "override".'
      : `VPNs may: what goes out through a tunnel (TUN, WireGuard, PPP)${o.vpnInterfaces.length === 0 ? '' : ` or ${o.vpnInterfaces.join(', ')}`} is theirs.`
  return {
    commands: [`nft -j RULES (a table ${tableText})`],
    notes: [
      `Rejected at once, and counted by port: what this host's programs send to ports ${PORTS.join(' and ')} elsewhere.`,
      `The service may${uid === undefined ? '' : ` (user ${uid})`}: it asks its resolvers, and those of forward zones.`,
      vpn,
      'Not touched: what other hosts, containers and guests send through this host, and DNS over other ports (HTTPS).',
    ],
  }
}

const tableText = `${TABLE.family} ${TABLE.name}`
const refused = (why: string) => new EnigmError('state', why)
const oneLine = (text: string) => (text.trim().split('\n')[0] ?? '').slice(0, 200)

/** Puts the rules in force, or in force again. Rejects with an EnigmError `state`. */
export async function applyEnforce(host: EnforceHost, o: EnforceOptions): Promise<void> {
  const uid = host.serviceUid()
  if (uid === undefined || uid === 0)
    throw refused(`the service ${uid === 0 ? 'runs as root' : 'does not run'}: nobody could pass by its user`)
  // Counts go on where nothing is wrong.
  if ((await enforceFaults(host, o)).length === 0) return
  const said = await host.run('nft', ['-j', ruleset(uid, o)])
  if (said.code !== 0) throw refused(`nftables does not take the rules (${oneLine(said.stderr)})`)
}

/** What contradicts that the rules are in force, read back from the kernel: a sentence each. */
export async function enforceFaults(host: EnforceHost, o: EnforceOptions): Promise<readonly string[]> {
  const uid = host.serviceUid()
  if (uid === undefined) return ['The service does not run, so that its user cannot be let through.']
  const listed = await listing(host)
  if (listed === undefined) return [`The table ${tableText} of nftables is not there.`]
  const chain = listed.map(({ chain }) => chain).find(isRecord)
  if (chain?.hook !== 'output' || chain.name !== CHAIN || chain.policy !== 'accept')
    return [`The chain ${CHAIN} of the table ${tableText} was changed.`]
  const found = listed.flatMap(({ rule }) => (isRecord(rule) ? [normal(rule.expr)] : []))
  const wanted = rules(uid, o).map(({ expr }) => normal(expr))
  if (isDeepStrictEqual(found, wanted)) return []
  const service = wanted[1]
  if (found.length === wanted.length && !isDeepStrictEqual(found[1], service))
    return [`The rules of the table ${tableText} let another user through than that of the service (${uid}).`]
  return [`The rules of the table ${tableText} were changed.`]
}

/** Names of device types, where one nft writes a number and another a word. */
function normal(expr: unknown): unknown {
  return JSON.parse(JSON.stringify(expr ?? []), (key, value: unknown) => {
    const isTyped = isRecord(value) && isDeepStrictEqual(value.left, { meta: { key: 'oiftype' } })
    return key === 'match' && isTyped ? { ...value, right: SAME_TYPE[String(value.right)] ?? value.right } : value
  })
}

/** Takes the table away, if it is there. May be called at any time. Rejects with `state`. */
export async function revertEnforce(host: EnforceHost): Promise<void> {
  if ((await foreignTable(host)) !== false) return
  const said = await host.run('nft', ['delete', 'table', TABLE.family, TABLE.name])
  if (said.code !== 0 && (await listing(host)) !== undefined)
    throw refused(`the table ${tableText} could not be taken away (${oneLine(said.stderr)}): nft delete table ${tableText}`)
}

/** How many packets were rejected, by port; undefined: the rules are not there. */
export async function rejectedByPort(host: Pick<EnforceHost, 'run'>): Promise<Readonly<Record<string, number>> | undefined> {
  const listed = await listing(host)
  if (listed === undefined) return undefined
  const packets = (port: number) => listed.map(({ counter }) => counter).find((one) => isRecord(one) && one.name === counterOf(port))
  return Object.fromEntries(PORTS.map((port) => [port, Number((packets(port) as Json | undefined)?.packets ?? 0)]))
}

/** Whether a table of our name is somebody else's; undefined: there is none. */
async function foreignTable(host: Pick<EnforceHost, 'run'>): Promise<boolean | undefined> {
  const listed = await listing(host)
  if (listed === undefined) return undefined
  const chains = listed.flatMap(({ chain }) => (isRecord(chain) ? [chain.name] : []))
  const comments = listed.flatMap(({ rule }) => (isRecord(rule) ? [String(rule.comment ?? '')] : []))
  return !chains.every((name) => name === CHAIN) || !comments.every((comment) => comment.startsWith(MARK))
}

/** What nft lists of the table; undefined: it is not there, or cannot be read. */
async function listing(host: Pick<EnforceHost, 'run'>): Promise<readonly Json[] | undefined> {
  const said = await host.run('nft', ['-j', 'list', 'table', TABLE.family, TABLE.name])
  if (said.code !== 0) return undefined
  try {
    const parsed: unknown = JSON.parse(said.stdout)
    return isRecord(parsed) && Array.isArray(parsed.nftables) ? parsed.nftables.filter(isRecord) : undefined
  } catch {
    return undefined
  }
}
