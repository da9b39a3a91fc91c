import { type ForwardRule, LINK, type ViewRule } from '../config/forwarding.ts'
import { hostsSummary } from '../config/hosts-file.ts'
import type { Loaded } from '../config/load.ts'
import type { Policy, PolicyRules } from '../config/policy.ts'
import { counted, type Problem } from '../config/problems.ts'
import { inDoubt, isErrorCode } from '../errors.ts'
import type { ListReport } from '../rules/list-build.ts'
import type { Finding } from './reach.ts'
import { printable } from './status-screen.ts'

/**
 * A certificate with fewer days left is reported. The time is longer than a weekend, and shorter
 * than what is left when certificates are usually renewed.
 */
const SOON_DAYS = 7

/** An example for the entry of a resolver that serves only its own zones. */
export const PROBE_EXAMPLE = '"probe": { "name": "example.com", "type": "SOA" }'

/** One problem per line, with file and path first. */
export function problemsText(problems: readonly Problem[]): string {
  return problems
    .map(({ file, path, message }) => `${printable(path === '' ? `${file}: ${message}` : `${file}: ${path}: ${message}`)}\n`)
    .join('')
}

/** The table of results, then remarks on problems that exist now or will soon. */
export function findingsText(findings: readonly Finding[]): string {
  const head = ['RESOLVER', 'OVER', 'RESULT', 'TLS', 'CERTIFICATE', 'PIN', 'PADDED REPLY', 'RTT', 'ADDRESS']
  const working = findings.filter((f) => f.ok).length
  const remarks = findings.flatMap(remarksOn)
  return [
    ...table([head, ...findings.map(row)]),
    '',
    `${working} of ${counted(findings.length, 'connection')} to a resolver ${working === 1 ? 'works' : 'work'}.`,
    ...remarks,
    '',
  ].join('\n')
}

/** The warnings that a start would print, one per line. */
export function warningsText(warnings: readonly string[]): string {
  return warnings.map((warning) => `${printable(`warning: ${warning}`)}\n`).join('')
}

function row(f: Finding): readonly string[] {
  const { certificate } = f
  return [
    f.resolver,
    f.transport,
    f.ok ? 'ok' : `FAILS: ${f.fault ?? 'unknown'}${atHop(f)}`,
    f.tlsVersion ?? '-',
    certificate === undefined ? '-' : `${certificate.name} by ${certificate.issuer}, ${counted(certificate.daysLeft, 'day')} left`,
    f.pin,
    f.paddedReply === undefined ? '-' : f.paddedReply ? 'yes' : 'no',
    f.rttMs === undefined ? '-' : `${f.rttMs.toFixed(1)} ms`,
    f.address ?? '-',
  ].map(printable)
}

const failedHop = ({ hops = [] }: Finding) => hops.find(({ is }) => is === 'failed')

function atHop(f: Finding): string {
  const hop = failedHop(f)
  return hop === undefined ? '' : ` at ${hop.name}`
}

/**
 * Each hop with its result, as in `corp (ok), tor (failed)`. Empty: the resolver is dialled
 * directly.
 */
export function hopsText({ hops = [] }: Pick<Finding, 'hops'>): string {
  return hops.map(({ name, is }) => `${name} (${is.replace('-', ' ')})`).join(', ')
}

const doubtsKey = ({ fault }: Finding) => fault !== undefined && isErrorCode(fault) && inDoubt(fault) === 'key'

function remarksOn(f: Finding): readonly string[] {
  const where = `${f.resolver} over ${f.transport}`
  const { certificate } = f
  const remarks: string[] = []
  const through = f.hops === undefined ? '' : `, through ${hopsText(f)}`
  if (!f.ok && f.detail !== undefined) remarks.push(`${where}${through}: ${f.detail}`)
  if (doubtsKey(f) && f.pin !== 'differs' && f.detail === undefined)
    remarks.push(`${where}: no certificate of its chain is among "certHashes" of the trusted set`)
  if (f.pin === 'differs' && certificate !== undefined)
    remarks.push(`${where}: its key has the pin ${certificate.spkiPin}, which is not in the trusted set`)
  if (certificate !== undefined && certificate.daysLeft < SOON_DAYS)
    remarks.push(`${where}: its certificate ${certificate.daysLeft < 0 ? 'expired' : 'expires'} on ${certificate.notAfter.slice(0, 10)}`)
  if (f.refusesRoot === true)
    remarks.push(`${where}: answers REFUSED for the root: configure a probe in its entry of the trusted set, as in ${PROBE_EXAMPLE}`)
  if (f.paddedReply === false) remarks.push(`${where}: replies are not padded, so their sizes reveal information to an observer`)
  return remarks.map(printable)
}

function zoneText({ zone, except = [], to, cleartext }: ForwardRule): string {
  const server = cleartext === LINK ? 'the servers of this network' : cleartext
  const who = to === undefined ? `${server}, without encryption` : to.join(', ')
  return `${zone}${except.length === 0 ? '' : ` (but not ${except.join(', ')})`}: ${who}`
}

function viewText({ id, clients, use, forward, answers, lists }: ViewRule): string {
  const own = [
    ...(use === undefined ? [] : [`resolvers ${use.join(', ')}`]),
    ...(forward ?? []).map((rule) => `zone ${zoneText(rule)}`),
    ...(forward?.length === 0 ? ['no zones'] : []),
    ...(answers === undefined ? [] : [counted(answers.length, 'own answer')]),
    ...(lists === undefined ? [] : [lists.length === 0 ? 'no lists' : `lists ${lists.join(', ')}`]),
  ]
  return `${id}: ${clients.join(', ')}${own.length === 0 ? '' : ` (${own.join('; ')})`}`
}

/** The settings, and the rules of the policy, that `run` would start with. */
export function settingsText({ config, listen, files, hosts }: Loaded): string {
  const { shaping, cache, padding, rebinding, page } = config
  const lines: readonly (readonly [string, string])[] = [
    [
      'usage profile',
      config.usageProfile === 'strict' ? 'strict: authenticated or no answer' : 'opportunistic: unauthenticated answers are accepted',
    ],
    ['resolvers', config.use.join(', ')],
    ...config.forward.map((rule): readonly [string, string] => ['zone', zoneText(rule)]),
    ...config.views.map((view): readonly [string, string] => ['view', viewText(view)]),
    ['transports', config.transports.join(', then ')],
    ['via', config.via.length === 0 ? 'direct' : config.via.join(', then ')],
    ['padding', padding.queryBlock === 0 ? 'none' : `queries to a multiple of ${padding.queryBlock} octets`],
    ['shaping', shaping.profile === 'jitter' ? `jitter of at most ${shaping.jitterMs} ms` : shaping.profile],
    ['cache', `${(cache.maxBytes / 1_048_576).toFixed(0)} MiB, TTLs from ${cache.minTtlS} to ${cache.maxTtlS} s`],
    ...hosts.map((one): readonly [string, string] => ['hosts file', `${one.file}: ${counted(hostsSummary(one).names, 'name')}`]),
    ...(config.answers.length === 0 ? [] : [['own answers', counted(config.answers.length, 'record')] as const]),
    ['stale answers', cache.staleMaxS === 0 ? 'never' : `for ${cache.staleMaxS} s after they expire, while no resolver has a newer one`],
    ['saved cache', cache.persist === 'off' ? 'none' : cache.persist],
    ['rebinding', rebinding.protect ? 'answers with private addresses are refused' : 'no protection'],
    ['timeout', `${config.timeoutMs} ms`],
    ['listens on', listen.map(({ address, port }) => (address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`)).join(', ')],
    ['answers to', config.allowFrom.join(', ')],
    ['page', page?.listen ?? 'none'],
    ['status file', config.statusFile],
    ['state', config.stateDir],
    ['read from', files.join(', ')],
  ]
  return ['Settings', ...lines.map(([what, value]) => printable(`  ${what.padEnd(14)} ${value}`)), ...rulesText(config.policy), ''].join(
    '\n',
  )
}

/** The table of lists: the rules of each one, and what it shares with earlier ones. */
export function listsText(reports: readonly ListReport[]): string {
  if (reports.length === 0) return ''
  return `${['Lists', ...table(listRows(reports)).map((line) => printable(`  ${line}`)), ''].join('\n')}\n`
}

/** The cells of the table of lists. */
function listRows(reports: readonly ListReport[]): readonly (readonly string[])[] {
  const shared = ({ overlaps }: ListReport) => Object.entries(overlaps).map(([id, count]) => `${count} also in ${id}`)
  const head = ['LIST', 'FORMAT', 'LINES', 'RULES', 'NOT USED', 'OVERLAPS']
  return [
    head,
    ...reports.map((report) => [
      report.id,
      report.format,
      String(report.lines),
      String(report.rules),
      String(report.skipped.reduce((sum, { count }) => sum + count, 0)),
      [...shared(report), ...(report.contradictions === 0 ? [] : [`${report.contradictions} contradict`])].join(', ') || '-',
    ]),
  ]
}

/** The label of every rule of a policy; a missing one is a compile error. */
const RULES: Readonly<Record<keyof PolicyRules, string>> = {
  minimumUsageProfile: 'usage profile, at least',
  transports: 'transports, only',
  padding: 'padding',
  shaping: 'shaping, at least',
  operators: 'operators, only',
  jurisdictions: 'jurisdictions, only',
  minimumOperators: 'operators, at least',
  pins: 'SPKI pins',
  claims: 'claims of operators',
  vpn: 'VPN',
  separation: 'address and names separate',
  maxShareOfOperator: 'sites for one operator, at most',
  allowedProxies: 'proxies and relays, only',
  diversity: 'different on each route',
  systemResolver: 'the system uses this service',
}

function rulesText(policy: Policy | undefined): readonly string[] {
  if (policy === undefined) return ['', 'Rules: none (no "policy" is configured)']
  const lines = (rules: PolicyRules) =>
    Object.entries(RULES).flatMap(([key, label]) => {
      const value = rules[key as keyof PolicyRules]
      return value === undefined ? [] : [line(label, value)]
    })
  const line = (label: string, value: unknown) => printable(`  ${label.padEnd(28)} ${wordsOf(value)}`)
  const { vpnInterfaces, audit, networks = [] } = policy
  return [
    '',
    'Rules of the policy',
    ...lines(policy),
    ...(vpnInterfaces === undefined ? [] : [line('interfaces that count as VPN', vpnInterfaces)]),
    line('audit log', audit),
    ...networks.flatMap(({ name, match, ...rules }) => [printable(`On the network "${name}" (${wordsOf(match)}), also`), ...lines(rules)]),
  ]
}

/** Formats a value of the configuration as text: lists with commas, objects as `key value`. */
function wordsOf(value: unknown): string {
  if (Array.isArray(value)) return value.map(wordsOf).join(', ')
  if (typeof value !== 'object' || value === null) return value === true ? 'yes' : value === false ? 'no' : String(value)
  return Object.entries(value)
    .map(([key, one]) => `${key} ${wordsOf(one)}`)
    .join(', ')
}

function table(rows: readonly (readonly string[])[]): readonly string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((cells) => cells[column]?.length ?? 0)))
  return rows.map((cells) =>
    cells
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  )
}
