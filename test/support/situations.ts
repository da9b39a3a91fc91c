import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { createAuthority } from '../../src/demo/authority.ts'
import { readOpt } from '../../src/dns/edns.ts'
import { type DotServer, startDot } from './dot-server.ts'
import { query } from './messages.ts'
import { cli, type DaemonSpec, RESOLVER_NAME, type RunningDaemon, startDaemon } from './real/daemon.ts'
import { rcodeOf, udpClient } from './real/dns-client.ts'
import { insideNamespace } from './real/namespace.ts'
import { addressRecord, replyTo, withOptions } from './replies.ts'

/** A line of docs/situations.md: a situation, and what the status said of it. */
export interface SituationRow {
  readonly what: string
  readonly made: string
  readonly state: string
  readonly signals: string
  readonly exit: number
}

const SIGNALS = ['secureNameResolution', 'policyCompliance', 'vpn', 'protectedNetwork', 'service'] as const
export type SignalName = (typeof SIGNALS)[number]

/** In nearly every row: left out of the table. */
const ORDINARY: ReadonlySet<string> = new Set([
  'not-assessed',
  'network-unknown',
  'network-untrusted',
  'system-unknown',
  'system-asks-elsewhere',
  'policy-met',
])

export const DAY_MS = 86_400_000
/** An EDNS padding option (RFC 7830) of 8 octets. */
export const PADDING = Uint8Array.of(0, 12, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0)
export const authority = await createAuthority()
/** The certificate and key that clients expect of the resolver. */
export const right = await authority.issue({ name: RESOLVER_NAME })
/** What the situation started; closed after it, the newest first. */
export const open: { close(): Promise<unknown> }[] = []

const rows: SituationRow[] = []

export const ip = (...args: string[]) => execFileSync('ip', args, { stdio: 'pipe' })

/** Adds a row that did not come from `note`. */
export const addRow = (row: SituationRow) => void rows.push(row)

/**
 * Adds what `status` says now to the table, and checks it. `expected.codes`: reason codes that must
 * be among those shown. `also`: ordinary codes that this row shows.
 */
export async function note(
  what: string,
  made: string,
  args: readonly string[],
  expected: { readonly state: string; readonly exit: number; readonly codes?: readonly string[] },
  also: readonly string[] = [],
) {
  const said = await cli('status', '--json', ...args)
  const d = JSON.parse(said.stdout)
  const codes = SIGNALS.flatMap((name) => {
    const signal = d.signals?.[name]
    const shown = (signal?.reasons ?? [])
      .map((r: { code: string }) => r.code)
      .filter((code: string) => also.includes(code) || !ORDINARY.has(code))
    return shown.length === 0 ? [] : [`${name} ${signal.state}: ${[...new Set(shown)].join(', ')}`]
  })
  const verdict = d.judgement === undefined ? '' : `reader: ${d.judgement.verdict}`
  const checked = d.verification === undefined || d.verification.verdict === 'valid' ? '' : `signature: ${d.verification.verdict}`
  const signals = [verdict, checked, ...codes].filter((text) => text !== '').join('; ')
  addRow({ what, made, state: d.state, signals, exit: said.code })
  t.equal(d.state, expected.state, `${what}: state`)
  t.equal(said.code, expected.exit, `${what}: exit code`)
  for (const code of expected.codes ?? []) t.ok(signals.includes(code), `${what}: ${code} in ${signals}`)
}

export interface ServerWish {
  readonly identity?: { readonly key: string; readonly cert: string }
  /** Replies carry no padding. */
  readonly bare?: true
  readonly host?: string
}

/** A DoT server that answers every name with an address. */
export async function server(wish: ServerWish = {}): Promise<DotServer> {
  const made = await startDot({
    identity: wish.identity ?? right,
    ...(wish.host === undefined ? {} : { host: wish.host }),
    answer: (q) => (wish.bare ? replyTo(q, [addressRecord()]) : withOptions(replyTo(q, [addressRecord()]), PADDING)),
  })
  open.push(made)
  return made
}

/** An entry of the trusted-resolver set for a server on `host` and `port`. */
export const entry = (s: Pick<DotServer, 'port' | 'host'>, more: object = {}) => ({
  id: 'one',
  operator: 'Operator One',
  jurisdiction: 'CH',
  authenticationDomainName: RESOLVER_NAME,
  addresses: [s.host],
  transports: { dot: { port: s.port } },
  caFile: 'ca.pem',
  claims: { dnssec: true },
  ...more,
})

/** The built daemon with these resolvers; stopped after the situation. */
export async function daemon(
  resolvers: readonly object[],
  config: Readonly<Record<string, unknown>> = {},
  more: Partial<DaemonSpec> = {},
): Promise<RunningDaemon> {
  const d = await startDaemon({ resolvers, ca: authority.certificate, config: { timeoutMs: 1500, ...config }, ...more })
  open.push({ close: () => d.stop() })
  return d
}

let asked = 0
/** A name that was not asked before. */
export const newName = () => `n${asked++}.zone.example`

/** RCODE and extended error (RFC 8914) of a new name. */
export async function ask(d: RunningDaemon) {
  const client = await udpClient(d.port)
  const reply = await client.ask(query({ name: newName(), opt: {} }))
  client.close()
  return { rcode: rcodeOf(reply), ede: readOpt(reply)?.ede?.code }
}

export const statusText = (d: RunningDaemon) => JSON.stringify(d.status() ?? {})

/**
 * Waits at most 10 s until the status holds a text, or no longer holds it; does `meanwhile` in
 * between.
 */
export async function until(d: RunningDaemon, text: string, there = true, meanwhile: () => Promise<unknown> = async () => {}) {
  for (let i = 0; i < 200 && statusText(d).includes(text) !== there; i++) {
    await meanwhile()
    await sleep(50)
  }
}

export const file = (d: RunningDaemon) => ['--file', d.statusFile]

/** The heartbeat is 1 s: after this, the document holds everything seen before. */
export const heartbeat = () => sleep(2200)

/**
 * Makes the situations of one signal in a namespace without other packets. What `status` said must
 * be the section of docs/situations.md about this signal; UPDATE_DOCS=1 writes it there.
 */
export function situations(fileUrl: string, signal: SignalName, parts: Readonly<Record<string, () => Promise<void>>>): void {
  if (!insideNamespace(t, fileUrl)) return
  execFileSync('mount', ['-t', 'sysfs', 'sysfs', '/sys'])
  for (const [name, part] of Object.entries(parts)) {
    t.test(name, { timeout: 600_000 }, async () => {
      try {
        await part()
      } finally {
        for (const one of open.splice(0).toReversed()) await one.close()
      }
    })
  }
  t.test('the table in the docs is what came out', async () => {
    t.ok(rows.length >= 5, `${rows.length} situations`)
    written('situations.md', signal, table())
  })
}

/** Checks that docs/status.md shows what `status --redact` said, or writes it there. */
export const documentRedacted = (said: string) => written('status.md', 'redacted', `\`\`\`json\n${said}\`\`\`\n`)

/** What stands in a document of docs/ between `<!-- name: ... -->` and `<!-- /name -->`. */
function written(document: string, name: string, text: string): void {
  let root = dirname(fileURLToPath(import.meta.url))
  while (!existsSync(join(root, 'package.json'))) root = dirname(root)
  const path = join(root, 'docs', document)
  const found = readFileSync(path, 'utf8')
  const begin = found.indexOf('-->\n', found.indexOf(`<!-- ${name}: `)) + 4
  const end = found.indexOf(`<!-- /${name} -->`)
  const wanted = `${found.slice(0, begin)}${text}${found.slice(end)}`
  if (process.env.UPDATE_DOCS === '1') writeFileSync(path, wanted)
  t.equal(wanted, readFileSync(path, 'utf8'), `docs/${document}: else run this test with UPDATE_DOCS=1`)
}

function table(): string {
  const cell = (text: string) => text.replaceAll('|', '\\|')
  const lines = rows.map((r) => `| ${cell(r.what)} | ${cell(r.made)} | ${r.state} | ${cell(r.signals)} | ${r.exit} |\n`)
  return `\n| situation | how it was made | state | signals and reasons | exit code |\n| --- | --- | --- | --- | --- |\n${lines.join('')}\n`
}
