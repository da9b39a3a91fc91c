import { createHash } from 'node:crypto'
import { counted } from '../config/problems.ts'
import { closingRule } from '../posture/closing-rule.ts'
import type { StatusDocument } from '../posture/document.ts'
import { groupedPaths, partyIn, plainText } from '../posture/path-report.ts'
import { explainBox } from './explain-box.ts'
import { type Html, html, type Shown, trusted } from './html-template.ts'
import type { Minute } from './sample.ts'

const STYLE = `body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem;color:#1b1f24;background:#fff}
h1{font-size:1.4rem;margin:0}h2{font-size:1.05rem;margin:1.6rem 0 .4rem}table{border-collapse:collapse;width:100%}
th,td{text-align:left;padding:.25rem .6rem .25rem 0;border-bottom:1px solid #d8dee4;vertical-align:top}th{font-weight:600}
.protected,.ok{color:#116329}.degraded,.warn{color:#7d4e00}.exposed,.offline,.bad{color:#a40e26}.unknown,.off,small{color:#57606a}
svg{display:block;width:100%;height:4rem}polyline{fill:none;stroke:#0550ae;stroke-width:1.5;vector-effect:non-scaling-stroke}
@media(prefers-color-scheme:dark){body{color:#e6edf3;background:#0d1117}th,td{border-color:#30363d}.protected,.ok{color:#56d364}.degraded,.warn{color:#e3b341}.exposed,.offline,.bad{color:#ff7b72}.unknown,.off,small{color:#8b949e}polyline{stroke:#79c0ff}}`

/**
 * No resource may be loaded and no script run: the one style is identified by its hash. The one
 * form is sent to the page itself.
 */
export const CONTENT_SECURITY_POLICY = `default-src 'none'; style-src 'sha256-${createHash('sha256').update(STYLE).digest('base64')}'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'`

const SIGNALS = {
  secureNameResolution: 'Secure name resolution',
  service: 'Service',
  policyCompliance: 'Policy compliance',
  protectedNetwork: 'Protected network',
  vpn: 'VPN',
} as const
const RANK = { bad: 0, warn: 1, unknown: 2, ok: 3, off: 4 } as const

/**
 * Makes the whole page: text and tables, no script, no asset. States are current; counts change
 * once a minute.
 */
export function pageHtml(now: StatusDocument, counted: StatusDocument, minutes: readonly Minute[]): string {
  return document(
    now.state,
    html`<meta http-equiv="refresh" content="60">`,
    html`<h1>enigm-dns: ${coloured(now.state)}</h1><p><small>written ${now.updatedAt}; counts once a minute; version ${now.version}, up since ${now.startedAt}</small></p>${closed(now)}
<h2>Signals</h2>${signals(now)}
<h2>Explain a name</h2>${explainBox()}
<h2>Resolvers</h2>${resolvers(now, counted)}
<h2>Who can know what</h2>${paths(now)}
<h2>Latency</h2>${latency(minutes)}
<h2>Cache</h2>${cache(counted)}
${lists(now, counted)}<h2>Ledger</h2>${ledger(now)}
<h2>Shaping</h2><p>${now.shaping.profile}, in force: ${now.shaping.inForce}</p>
<h2>Events</h2>${events(minutes)}`,
  )
}

/**
 * Makes the page with the result of the box. It does not refresh itself, because that would send
 * the form again.
 */
export function explainHtml(box: Html): string {
  return document('explain', html``, html`<h1>enigm-dns: explain a name</h1>${box}<p><a href="/">Back</a></p>`)
}

function document(title: string, head: Html, body: Html): string {
  return html`<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">${head}<title>enigm-dns: ${title}</title><style>${trusted(STYLE)}</style></head><body>
${body}
</body></html>
`.text
}

/** The cause if the policy lets no query through: the table of resolvers does not show it. */
function closed(now: StatusDocument): Html {
  const cause = closingRule(now)
  return cause === undefined ? html`` : html`<p class="bad">${cause.says}</p>`
}

/** Formats a state in its colour. */
const coloured = (state: string): Html => html`<span class="${state}">${state}</span>`

function signals(d: StatusDocument): Html {
  const rows = Object.entries(SIGNALS)
    .map(([key, label]) => ({ label, signal: d.signals[key as keyof typeof SIGNALS] }))
    .toSorted((a, b) => RANK[a.signal.state] - RANK[b.signal.state])
    .map(({ label, signal }) => {
      const reasons = signal.reasons.map((r, i) => html`${i === 0 ? '' : html`<br>`}${r.message} <small>${r.mend}</small>`)
      return [label, coloured(signal.state), reasons]
    })
  return table(['signal', 'state', 'why, and the fix'], rows)
}

function resolvers(now: StatusDocument, counted: StatusDocument): Html {
  const rows = now.resolvers.map((r) => {
    const rtt = counted.resolvers.find(({ id }) => id === r.id)?.rttMs ?? null
    return [
      r.id,
      r.state,
      r.transport ?? '-',
      r.authenticated ?? '-',
      [r.tlsVersion ?? '-', r.cipher ?? '', r.group ?? ''].join(' ').trim(),
      r.padding.repliesPadded,
      rtt === null ? '-' : `${Math.round(rtt.p50)} / ${Math.round(rtt.p99)} ms`,
    ]
  })
  return table(['resolver', 'state', 'over', 'proved by', 'TLS', 'replies padded', 'p50 / p99'], rows)
}

/** Formats the tables "who can know what". Resolvers with the same table share one. */
function paths({ paths = [] }: StatusDocument): Html {
  const rows = groupedPaths(paths).flatMap((group) => {
    const ids = [...new Set(group.resolvers.map(({ id }) => id))].join(', ')
    const through = group.path.route.map(({ name }) => name).join(', then ')
    return group.path.knows.map((row, i) => [
      i === 0 ? (plainText(group) ?? `${ids} ${through === '' ? 'directly' : `through ${through}`}`) : '',
      partyIn(group, row.party),
      ...[row.address, row.names, row.timing, row.sizes].map((cell) => partyIn(group, cell)),
    ])
  })
  return table(['route', 'party', 'your address', 'the names', 'when', 'sizes'], rows)
}

function latency(minutes: readonly Minute[]): Html {
  const known = minutes.flatMap(({ p50Ms }, i) => (p50Ms === undefined ? [] : [{ i, p50Ms }]))
  const last = known.at(-1)
  if (last === undefined || known.length < 2) return html`<p>Not two minutes measured yet.</p>`
  const most = Math.max(...known.map(({ p50Ms }) => p50Ms), 1)
  const points = known.map(({ i, p50Ms }) => `${((i / (minutes.length - 1)) * 300).toFixed(1)},${(39 - (p50Ms / most) * 38).toFixed(1)}`)
  const label = `median round trip, ${minutes.length} minutes: now ${Math.round(last.p50Ms)} ms, at most ${Math.round(most)} ms`
  return html`<svg viewBox="0 0 300 40" preserveAspectRatio="none" role="img" aria-label="${label}"><polyline points="${points.join(' ')}"/></svg><p><small>${label}</small></p>`
}

function cache(d: StatusDocument): Html {
  const mib = (octets: number) => (octets / 2 ** 20).toFixed(1)
  const counts =
    d.cache.hits !== undefined
      ? `${d.cache.hits} hits, ${d.cache.misses} misses`
      : 'hits and misses are not shown under a profile with cover traffic: they would reveal how much of it was real'
  return html`<p>${counted(d.cache.entries, 'answer')} in ${mib(d.cache.bytes)} of ${mib(d.cache.maxBytes)} MiB; ${counts}</p>`
}

/** Formats the counts by list, never by name. */
function lists(now: StatusDocument, counted: StatusDocument): Html {
  if (now.lists === undefined) return html``
  const rows = now.lists.map(({ id, action, state, rules, fault }) => {
    const blocked = counted.lists?.find((list) => list.id === id)?.blocked
    return [id, action, state, rules, blocked ?? '-', fault ?? '']
  })
  return html`<h2>Lists</h2>${table(['list', 'does', 'state', 'rules', 'blocked', 'fault'], rows)}`
}

function ledger(d: StatusDocument): Html {
  const rows = Object.entries(d.plaintext).map(([cause, count]) => [cause, count])
  return rows.length === 0 ? html`<p>No cleartext left this host.</p>` : table(['cleartext DNS packets that left, by cause', ''], rows)
}

/** Maximum number of events shown. */
const MOST_EVENTS = 40

/**
 * Events by minute, newest first: changes of the top state, rules of the policy that ceased to be
 * met, failures by code. Never a queried name.
 */
function events(minutes: readonly Minute[]): Html {
  const rows = minutes
    .flatMap((m, i) => {
      const became = minutes[i - 1]?.state === m.state ? [] : [html`state became ${coloured(m.state)}`]
      const broken = m.violations.map((code) => `the policy is violated: ${code}`)
      const failed = Object.entries(m.failures).map(([code, count]) => `exchanges or dials failed: ${code}, ${count} x`)
      const minute = new Date(m.atMs).toISOString().slice(0, 16)
      return [...became, ...broken, ...failed].map((what) => [minute, what])
    })
    .toReversed()
    .slice(0, MOST_EVENTS)
  return rows.length === 0 ? html`<p>None yet.</p>` : table(['minute', 'what happened'], rows)
}

function table(head: readonly string[], rows: readonly (readonly Shown[])[]): Html {
  const body = rows.map((cells) => html`<tr>${cells.map((cell) => html`<td>${cell}</td>`)}</tr>`)
  return html`<table><tr>${head.map((cell) => html`<th>${cell}</th>`)}</tr>${body}</table>`
}
