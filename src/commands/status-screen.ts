import { counted } from '../config/problems.ts'
import { closingRule } from '../posture/closing-rule.ts'
import type { StatusDocument } from '../posture/document.ts'
import { groupedPaths, plainText } from '../posture/path-report.ts'
import type { StatusReading } from '../posture/reader.ts'

export interface ScreenStyle {
  /** Makes the lines below the state of a current document, instead of the usual ones. */
  readonly only?: (document: StatusDocument, width: number) => readonly string[]
  readonly colour: boolean
  /** Width in columns; lines are wrapped or cut to fit. */
  readonly width: number
}

type ShownReason = StatusDocument['signals']['service']['reasons'][number]
type ShownSignal = StatusDocument['signals']['service']
type Tint = 'red' | 'yellow' | 'green' | 'dim' | 'bold'

const CODES: Readonly<Record<Tint, number>> = { red: 31, yellow: 33, green: 32, dim: 2, bold: 1 }
const SIGNALS = [
  ['secureNameResolution', 'Secure name resolution'],
  ['service', 'Service'],
  ['policyCompliance', 'Policy compliance'],
  ['protectedNetwork', 'Protected network'],
  ['vpn', 'VPN'],
] as const
const SIGNAL_RANK = { bad: 0, warn: 1, ok: 2, unknown: 3, off: 4 } as const
const SIGNAL_TINT = { bad: 'red', warn: 'yellow', ok: 'green', unknown: 'dim', off: 'dim' } as const
const STATE_TINT = { protected: 'green', degraded: 'yellow', exposed: 'red', offline: 'red' } as const
const MEANING = {
  protected: 'Authenticated, encrypted answers arrive now.',
  degraded: 'Authenticated answers arrive, but a requirement that you set is not met.',
  exposed: 'Names can be read, or answers can be forged, on the path.',
  offline: 'No trusted resolver answers now. Lookups fail; nothing is sent unencrypted.',
} as const

/**
 * Whether no query was sent since the start or the last reload. Then `offline` is not an observed
 * failure.
 */
const isFresh = (d: StatusDocument) =>
  d.state === 'offline' && d.signals.secureNameResolution.reasons.some(({ code }) => code === 'not-proven-yet')
const FRESH = 'Not proven yet: no query since the start or reload. The next query connects.'

/**
 * Formats the status as one screen, worst first; lines end in \n. Pure. Everything from the file is
 * escaped, because it may contain anything. Two resolvers in a normal state fit in 80 x 24.
 */
export function statusScreen(reading: StatusReading, wallMs: number, style: ScreenStyle): string {
  const tint = (t: Tint, text: string) => (style.colour ? `\u001b[${CODES[t]}m${text}\u001b[0m` : text)
  const d = reading.document
  const lines =
    reading.judgement !== 'current' || d === undefined
      ? [tint('red', 'enigm-dns  NOT PROVEN'), ...wrap(reading.message, style.width, '')]
      : [
          `${tint('bold', 'enigm-dns')}  ${tint(STATE_TINT[d.state], d.state.toUpperCase())}`,
          closingRule(d)?.says ?? (isFresh(d) ? FRESH : MEANING[d.state]),
        ]
  if (reading.verification !== undefined) {
    const { verdict, message, keyFile } = reading.verification
    const by = keyFile === undefined ? '' : ` (key: ${printable(keyFile)})`
    const text = `Signature: ${verdict}. ${printable(message)}${by}`
    lines.push(...wrap(text, style.width, '').map((line) => tint(verdict === 'valid' ? 'green' : 'red', line)))
  }
  if (d !== undefined)
    lines.push('', ...(reading.judgement === 'current' ? currentLines(d, wallMs, style, tint) : pastLines(d, wallMs, style.width)))
  lines.push(...wrap(`file ${printable(reading.path)}`, style.width, '  '))
  return `${lines.join('\n')}\n`
}

/**
 * The part of a screen that fits a terminal. So nothing scrolls, and the state in the first line
 * stays visible. Lines are cut to `columns`, and at most `rows` remain, including the line of the
 * cursor. The last line gives the number of lines left out.
 */
export function fitted(screen: string, columns: number, rows: number): string {
  const lines = screen.trimEnd().split('\n')
  const most = Math.max(1, rows - 1)
  const shown = lines.length <= most || most === 1 ? lines.slice(0, most) : lines.slice(0, most - 1)
  const left = lines.length - shown.length
  const more = left > 0 && most > 1 ? [`(${left} more lines: enigm-dns status)`] : []
  const text = [...shown, ...more].map((line) => cutTo(line, columns)).join('\n')
  return rows > 1 ? `${text}\n` : text
}

/** The first `columns` visible characters of a line, with all its colour codes. */
function cutTo(line: string, columns: number): string {
  let seen = 0
  return line.replace(COLOUR_OR_CHARACTER, (part) => (part.length > 1 && part.startsWith('\u001b') ? part : ++seen <= columns ? part : ''))
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: the colour codes that this file writes
const COLOUR_OR_CHARACTER = /\u001b\[\d+m|./gsu

function currentLines(d: StatusDocument, wallMs: number, style: ScreenStyle, tint: (t: Tint, s: string) => string): string[] {
  if (style.only !== undefined) return [...style.only(d, style.width)]
  const lines: string[] = []
  const signals = SIGNALS.map(([key, label]) => ({ label, signal: d.signals[key] })).sort(
    (a, b) => SIGNAL_RANK[a.signal.state] - SIGNAL_RANK[b.signal.state],
  )
  for (const { label, signal } of signals) lines.push(...signalLines(label, signal, wallMs, style, tint))
  lines.push(
    '',
    ...resolverTable(d.resolvers, wallMs, style.width),
    ...ciphers(d.resolvers, style.width),
    ...roundTrips(d.resolvers, style.width),
    ...(d.paths?.some(({ route }) => route.length > 0) === true ? wrap(routesText(d.paths), style.width, '  ') : []),
    '',
  )
  const sent = Object.values(d.plaintext).reduce((a, b) => a + b, 0)
  const force = { yes: 'in force', no: 'NOT in force', unknown: '(unknown whether in force)' }[d.shaping.inForce]
  const facts = [
    `shaping ${printable(d.shaping.profile)}${d.shaping.profile === 'off' ? '' : ` ${force}`}`,
    `cache ${counted(d.cache.entries, 'entry', 'entries')}, ${mebibytes(d.cache.bytes)}/${mebibytes(d.cache.maxBytes)} MiB`,
    `cleartext sent ${sent}`,
  ]
  lines.push(...wrap(facts.join('; '), style.width, '  '))
  if (d.lists !== undefined) lines.push(...wrap(`lists ${d.lists.map(listText).join('; ')}`, style.width, '  '))
  const up = span(wallMs - Date.parse(d.startedAt))
  return [
    ...lines,
    ...wrap(
      `version ${printable(d.version)}, process ${d.pid}, up ${up}, written ${span(wallMs - Date.parse(d.updatedAt))} ago`,
      style.width,
      '  ',
    ),
  ]
}

function listText({ id, state, rules, blocked }: NonNullable<StatusDocument['lists']>[number]): string {
  const count = blocked === undefined ? '' : `, ${blocked} blocked`
  return `${printable(id)} ${state === 'in-force' ? '' : `${state.toUpperCase()} `}${counted(rules, 'rule')}${count}`
}

/**
 * The lines for a document that is not current: its content in the past tense and without colour.
 */
function pastLines(d: StatusDocument, wallMs: number, width: number): string[] {
  const age = span(Math.abs(wallMs - Date.parse(d.updatedAt)))
  return wrap(`Its last state was "${d.state}", dated ${age} ${wallMs < Date.parse(d.updatedAt) ? 'from now' : 'ago'}.`, width, '')
}

function signalLines(label: string, s: ShownSignal, wallMs: number, style: ScreenStyle, tint: (t: Tint, s: string) => string): string[] {
  const head = `${label.padEnd(24)}${tint(SIGNAL_TINT[s.state], s.state.padEnd(9))}`
  const remark = s.reasons[0]
  if (s.reasons.length === 1 && remark?.code === 'not-assessed') {
    const text = `${printable(remark.message)} ${printable(remark.mend)}`
    if (text.length + 33 <= style.width) return [`${head}${text}`]
  }
  const since = `for ${span(wallMs - Date.parse(s.since))}`
  const sorted = [...s.reasons].sort(bySeverity)
  const kinds = [...new Set(sorted.map(kindOf))].map((kind) => sorted.filter((r) => kindOf(r) === kind))
  return [`${head}${since}`, ...kinds.flatMap((reasons) => kindLines(reasons, style, tint))]
}

/** Limit of reasons of one kind: many resolvers may fail for one cause. */
const MOST_OF_A_KIND = 5

const kindOf = ({ code, severity }: ShownReason) => `${severity} ${code}`

function kindLines(reasons: readonly ShownReason[], style: ScreenStyle, tint: (t: Tint, s: string) => string): string[] {
  const left = reasons.length - MOST_OF_A_KIND
  // One line more would take no less space.
  const shown = left <= 1 ? reasons : reasons.slice(0, MOST_OF_A_KIND)
  const more = left <= 1 ? [] : [`     and more like these [${printable(reasons[0]?.code ?? '')}]: enigm-dns status --json`]
  return [...shown.flatMap((r) => reasonLines(r, style, tint)), ...more]
}

const MARK = { bad: '!!', warn: '! ', info: '- ' } as const
const RANK = { bad: 0, warn: 1, info: 2 } as const
const bySeverity = (a: ShownReason, b: ShownReason) => RANK[a.severity] - RANK[b.severity]

function reasonLines(r: ShownReason, style: ScreenStyle, tint: (t: Tint, s: string) => string): string[] {
  const [first = '', ...rest] = wrap(`${printable(r.message)} [${printable(r.code)}]`, style.width - 5, '')
  const mark = tint(r.severity === 'bad' ? 'red' : r.severity === 'warn' ? 'yellow' : 'dim', MARK[r.severity])
  const mend = wrap(`fix: ${printable(r.mend)}`, style.width - 5, '')
  return [`  ${mark} ${first}`, ...[...rest, ...mend].map((line) => `     ${line}`)]
}

/** One line per resolver, failing ones first. */
function resolverTable(resolvers: StatusDocument['resolvers'], wallMs: number, width: number): string[] {
  const rank = { failing: 0, untried: 1, idle: 2, answering: 3 } as const
  const rows = [...resolvers].sort((a, b) => rank[a.state] - rank[b.state]).map((r) => resolverRow(r, wallMs))
  const header = ['resolver', 'state', 'via', 'proof', 'TLS', 'padded', 'p50/p99 ms', 'answer', 'failures']
  const widths = header.map((h, i) => Math.max(h.length, ...rows.map((row) => Math.min(MAX_CELL, row[i]?.length ?? 0))))
  return [header, ...rows].map((row) =>
    row
      .map((cell, i) => cell.slice(0, MAX_CELL).padEnd(widths[i] ?? 0))
      .join('  ')
      .trimEnd()
      .slice(0, width),
  )
}

const MAX_CELL = 12

function resolverRow(r: StatusDocument['resolvers'][number], wallMs: number): string[] {
  const failures = Object.values(r.failures).reduce((a, b) => a + b, 0)
  return [
    printable(r.id),
    r.state,
    r.transport ?? '-',
    r.authenticated ?? '-',
    r.tlsVersion === null ? '-' : printable(r.tlsVersion).replace(/^TLSv/, ''),
    r.padding.repliesPadded,
    r.rttMs === null ? '-' : `${Math.round(r.rttMs.p50)}/${Math.round(r.rttMs.p99)}`,
    r.lastAnswerAt === null ? '-' : span(wallMs - Date.parse(r.lastAnswerAt)),
    String(failures),
  ]
}

/** The cipher of the connections; if they differ, each cipher with its resolvers. */
function ciphers(resolvers: StatusDocument['resolvers'], width: number): string[] {
  const users = new Map<string, string[]>()
  for (const { id, cipher, group } of resolvers) {
    if (cipher === undefined || cipher === null) continue
    const suite = group === undefined || group === null ? cipher : `${cipher} with ${group}`
    users.set(suite, [...(users.get(suite) ?? []), printable(id).slice(0, MAX_CELL)])
  }
  const texts = [...users].map(([suite, ids]) => (users.size === 1 ? printable(suite) : `${printable(suite)} (${ids.join(', ')})`))
  return users.size === 0 ? [] : wrap(`cipher ${texts.join('; ')}`, width, '  ')
}

/** The routes to the resolvers, as one text. */
function routesText(paths: NonNullable<StatusDocument['paths']>): string {
  const groups = groupedPaths(paths).map((group) => {
    const { resolvers, path } = group
    const plain = plainText(group)
    if (plain !== undefined) return plain
    const ids = [...new Set(resolvers.map(({ id }) => id))].join(', ')
    return path.route.length === 0 ? `${ids} directly` : `${ids} through ${path.route.map(({ name }) => name).join(', then ')}`
  })
  return printable(`routes ${groups.join('; ')} (who can know what: enigm-dns status --paths)`)
}

const BARS = '▁▂▃▄▅▆▇█'

/** The recent medians of each resolver as bars, the newest on the right. One median has no bar. */
function roundTrips(resolvers: StatusDocument['resolvers'], width: number): string[] {
  const moved = resolvers.flatMap(({ id, rttMs }) => {
    const medians = rttMs?.medians ?? []
    if (medians.length < 2) return []
    const [least, most] = [Math.min(...medians), Math.max(...medians)]
    const bars = medians.map((ms) => BARS[Math.round(((ms - least) / Math.max(1, most - least)) * (BARS.length - 1))] ?? '')
    return [`${printable(id).slice(0, MAX_CELL)} ${bars.join('')} ${least} to ${most} ms`]
  })
  return moved.length === 0 ? [] : wrap(`median round trip over time: ${moved.join('; ')}`, width, '  ')
}

const mebibytes = (octets: number) => (octets / 2 ** 20).toFixed(1)

/** A duration with one unit, as in `5 min`. A negative one (the clock was set back) is `0 s`. */
export function span(ms: number): string {
  const s = Math.max(0, Math.round(ms / 1000))
  if (s < 120) return `${s} s`
  if (s < 7200) return `${Math.floor(s / 60)} min`
  return s < 172_800 ? `${Math.floor(s / 3600)} h` : `${Math.floor(s / 86_400)} d`
}

/** Breaks at spaces; a word longer than a line is split. All lines but the first get `indent`. */
export function wrap(text: string, width: number, indent: string): string[] {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line)
      line = indent
    }
    line += line === '' || line === indent ? word : ` ${word}`
    for (; line.length > width; line = indent + line.slice(width)) lines.push(line.slice(0, width))
  }
  return [...lines, line]
}

/**
 * The text with control characters (C0, DEL, C1), line separators and direction marks written as
 * \u{hex}, because text from a file must not control a terminal.
 */
export function printable(text: string): string {
  return text.replace(UNPRINTABLE, (c) => `\\u{${c.codePointAt(0)?.toString(16) ?? ''}}`)
}

/**
 * JSON that is safe on a terminal. `JSON.stringify` does not escape all characters of these kinds,
 * so the others are written as \uXXXX, which means the same.
 */
export function printableJson(value: unknown, indent: number): string {
  const unit = (c: string) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`
  return JSON.stringify(value, undefined, indent).replace(UNPRINTABLE, (c) => (c === '\n' ? c : c.split('').map(unit).join('')))
}

const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu
