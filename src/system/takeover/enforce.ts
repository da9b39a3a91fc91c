import { isDeepStrictEqual } from 'node:util'
import { EnigmError } from '../../errors.ts'
import { newFile, newLink } from '../../files/captured.ts'
import { isRecord } from '../../files/json.ts'
import { SERVICE_UNIT } from '../units.ts'
import type { Plan, PlanRequest, TakeoverHost, TakeoverPart } from './backend.ts'
import type { PlannedChange } from './journal.ts'
import { quoted, UNIT_DIRECTORY } from './own-units.ts'
import { ENABLED } from './places.ts'

/** The parts of the host that this file needs. */
export type EnforceHost = Pick<TakeoverHost, 'run' | 'serviceUid' | 'vpnInterfaces' | 'program'>

/**
 * The part of a request that this file needs: whether VPNs may send queries through their tunnel.
 */
type Request = Pick<PlanRequest, 'vpnDns'>

/** Our nftables table. Tables of other programs are neither read nor changed. */
const TABLE = { family: 'inet', name: 'enigm_dns' } as const
const CHAIN = 'output'
const PORTS = [53, 853] as const
/** The comment of each of our rules begins with this text. */
const MARK = 'enigm-dns: '
/**
 * The device types of tunnels in the form of nft: ARPHRD_NONE (TUN and WireGuard) and ARPHRD_PPP
 * (linux/if_arp.h).
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

/** The rules in order: first the packets that may pass, then those that are rejected. */
function rules(uid: number, vpnDns: Request['vpnDns'], vpnInterfaces: readonly string[]): readonly Rule[] {
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

/** The rule that rejects packets. A program gets the rejection at once and asks its next server. */
function rejection(protocol: 'udp' | 'tcp', port: number): Rule {
  const reject = protocol === 'udp' ? { type: 'icmpx', expr: 'port-unreachable' } : { type: 'tcp reset' }
  const expr = [match({ payload: { protocol, field: 'dport' } }, port), { counter: counterOf(port) }, { reject }]
  return { comment: `${MARK}${protocol} port ${port}`, expr }
}

const counterOf = (port: number) => `port_${port}`

/**
 * The argument of nft that sets all rules in one transaction, so that never only a part is in
 * force. It is not sent to stdin: `nft -f -` opens /dev/stdin, which fails for the socket that Node
 * uses.
 */
function ruleset(of: readonly Rule[]): string {
  const { family, name: table } = TABLE
  const chain = { family, table, name: CHAIN, type: 'filter', hook: 'output', prio: 0, policy: 'accept' }
  return JSON.stringify({
    nftables: [
      // A missing table cannot be deleted, so it is added first.
      { add: { table: TABLE } },
      { delete: { table: TABLE } },
      { add: { table: TABLE } },
      { add: { chain } },
      ...PORTS.map((port) => ({ add: { counter: { family, table, name: counterOf(port) } } })),
      ...of.map((rule) => ({ add: { rule: { family, table, chain: CHAIN, ...rule } } })),
    ],
  })
}

/**
 * The part for `system enable --enforce`. Queries that bypass the service are rejected at once, so
 * that their programs use the system's resolver.
 */
export const enforce: TakeoverPart = { name: 'enforce', plan, apply, verify, revert }

async function plan(host: EnforceHost, { vpnDns }: Request): Promise<Plan> {
  const uid = host.serviceUid()
  if (uid === 0) throw refused('the service runs as root, and every program of root would pass with it: set "user", or use its unit')
  const vpn = await host.vpnInterfaces()
  const checked = await host.run('nft', ['-c', '-j', ruleset(rules(uid ?? 1, vpnDns, vpn))])
  if (checked.code === 127) throw refused('nftables is missing; install it, as with: apt install nftables')
  if (checked.code !== 0) throw refused(`nftables refuses the rules (${oneLine(checked.stderr)})`)
  if ((await foreignTable(host)) === true) throw refused(`another program has made a table ${tableText}: nft list table ${tableText}`)
  const tunnels =
    vpnDns === 'override'
      ? 'VPNs: no exception, since vpnDns is "override".'
      : `VPNs may: what goes out through a tunnel (TUN, WireGuard, PPP)${vpn.length === 0 ? '' : ` or ${vpn.join(', ')}`} is theirs.`
  return {
    changes: bootUnit(host),
    commands: [`nft -j RULES (a table ${tableText})`],
    notes: [
      `Rejected at once, and counted by port: what this host's programs send to ports ${PORTS.join(' and ')} elsewhere.`,
      `The service may${uid === undefined ? '' : ` (user ${uid})`}: it asks its resolvers, and those of forward zones.`,
      tunnels,
      'Not touched: what other hosts, containers and guests send through this host, and DNS over other ports (HTTPS).',
    ],
  }
}

/** The unit that sets the rules at boot: they do not survive a reboot, and the user may change. */
function bootUnit({ program }: EnforceHost): readonly PlannedChange[] {
  const path = `${UNIT_DIRECTORY}/${ENFORCE_UNIT}`
  const text = `[Unit]
Description=Reject what programs send past enigm-dns to ports ${PORTS.join(' and ')}
Documentation=man:enigm-dns-system(1)
ConditionPathExists=${ENABLED}
After=${SERVICE_UNIT}
PartOf=${SERVICE_UNIT}
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=${program.map(quoted).join(' ')} system recover --enforce
[Install]
WantedBy=${SERVICE_UNIT}
`
  return [
    { path, ours: newFile(text) },
    { path: `${UNIT_DIRECTORY}/${SERVICE_UNIT}.wants/${ENFORCE_UNIT}`, ours: newLink(path) },
  ]
}

const ENFORCE_UNIT = 'enigm-dns-enforce.service'
const tableText = `${TABLE.family} ${TABLE.name}`
const refused = (why: string) => new EnigmError('state', why)
const oneLine = (text: string) => (text.trim().split('\n')[0] ?? '').slice(0, 200)

async function apply(host: EnforceHost, request: Request): Promise<void> {
  const uid = host.serviceUid()
  if (uid === undefined || uid === 0)
    throw refused(`the service ${uid === 0 ? 'runs as root' : 'does not run'}, so its queries cannot be allowed by its user`)
  // If the rules are correct, their counts continue.
  if ((await verify(host, request)).length === 0) return
  const said = await host.run('nft', ['-j', ruleset(rules(uid, request.vpnDns, await host.vpnInterfaces()))])
  if (said.code !== 0) throw refused(`nftables refuses the rules (${oneLine(said.stderr)})`)
}

/** Compares the rules in the kernel with ours. Returns a sentence for each fault. */
async function verify(host: EnforceHost, { vpnDns }: Request): Promise<readonly string[]> {
  const uid = host.serviceUid()
  if (uid === undefined) return ['The service does not run, so that its user cannot be let through.']
  const listed = await listing(host)
  if (listed === 'not for this user') return []
  if (listed === undefined) return [`The table ${tableText} of nftables is not there.`]
  const chain = listed.map(({ chain }) => chain).find(isRecord)
  if (chain?.hook !== 'output' || chain.name !== CHAIN || chain.policy !== 'accept')
    return [`The chain ${CHAIN} of the table ${tableText} was changed.`]
  const found = listed.flatMap(({ rule }) => (isRecord(rule) ? [normal(rule.expr)] : []))
  const wanted = rules(uid, vpnDns, await host.vpnInterfaces()).map(({ expr }) => normal(expr))
  if (isDeepStrictEqual(found, wanted)) return []
  if (found.length === wanted.length && !isDeepStrictEqual(found[1], wanted[1]))
    return [`The rules of the table ${tableText} let another user through than that of the service (${uid}).`]
  return [`The rules of the table ${tableText} were changed.`]
}

/** Normalizes device types, because nft writes some as a number and others as a word. */
function normal(expr: unknown): unknown {
  return JSON.parse(JSON.stringify(expr ?? []), (key, value: unknown) => {
    const isTyped = isRecord(value) && isDeepStrictEqual(value.left, { meta: { key: 'oiftype' } })
    return key === 'match' && isTyped ? { ...value, right: SAME_TYPE[String(value.right)] ?? value.right } : value
  })
}

async function revert(host: EnforceHost): Promise<void> {
  if ((await foreignTable(host)) !== false) return
  const said = await host.run('nft', ['delete', 'table', TABLE.family, TABLE.name])
  if (said.code !== 0 && (await listing(host)) !== undefined)
    throw refused(`the table ${tableText} could not be removed (${oneLine(said.stderr)}): nft delete table ${tableText}`)
}

/** The number of rejected packets by port. Undefined: the rules do not exist. */
export async function rejectedByPort(host: Pick<EnforceHost, 'run'>): Promise<Readonly<Record<string, number>> | undefined> {
  const listed = await listing(host)
  if (typeof listed !== 'object') return undefined
  const packets = (port: number) => listed.map(({ counter }) => counter).find((one) => isRecord(one) && one.name === counterOf(port))
  return Object.fromEntries(PORTS.map((port) => [port, Number((packets(port) as Json | undefined)?.packets ?? 0)]))
}

/** Whether another program made a table with our name. Undefined: there is no table. */
async function foreignTable(host: Pick<EnforceHost, 'run'>): Promise<boolean | undefined> {
  const listed = await listing(host)
  if (typeof listed !== 'object') return undefined
  const chains = listed.flatMap(({ chain }) => (isRecord(chain) ? [chain.name] : []))
  const comments = listed.flatMap(({ rule }) => (isRecord(rule) ? [String(rule.comment ?? '')] : []))
  return !chains.every((name) => name === CHAIN) || !comments.every((comment) => comment.startsWith(MARK))
}

/** The output of nft for our table. Undefined: the table does not exist. */
async function listing(host: Pick<EnforceHost, 'run'>): Promise<readonly Json[] | 'not for this user' | undefined> {
  const said = await host.run('nft', ['-j', 'list', 'table', TABLE.family, TABLE.name])
  if (/not permitted|permission denied|must be root/i.test(said.stderr)) return 'not for this user'
  if (said.code !== 0) return undefined
  try {
    const parsed: unknown = JSON.parse(said.stdout)
    return isRecord(parsed) && Array.isArray(parsed.nftables) ? parsed.nftables.filter(isRecord) : undefined
  } catch {
    return undefined
  }
}
