import { Counter, Gauge, Registry } from 'prom-client'
import { CLOSING, closingRule } from '../posture/closing-rule.ts'
import type { StatusDocument } from '../posture/document.ts'

const STATES = ['protected', 'degraded', 'exposed', 'offline'] as const
const SIGNAL_STATES = ['ok', 'warn', 'bad', 'unknown', 'off'] as const

/**
 * Makes the metrics in Prometheus text format. `now` provides states, which are current; `counted`
 * provides counts, which change once a minute. Contains no name and no client. Hits and misses
 * under profiles with cover traffic are omitted, as in the status document.
 */
export async function metricsText(now: StatusDocument, counted: StatusDocument): Promise<string> {
  const registry = new Registry()
  const gauge = gaugesOf(registry)
  const counter = countersOf(registry)
  const state = gauge('enigm_dns_state', '1 for the current state.', ['state'])
  for (const name of STATES) state({ state: name }, now.state === name ? 1 : 0)
  const signals = gauge('enigm_dns_signal', '1 for the state that the signal has.', ['signal', 'state'])
  for (const [signal, { state: is }] of Object.entries(now.signals))
    for (const name of SIGNAL_STATES) signals({ signal, state: name }, is === name ? 1 : 0)
  const closed = gauge('enigm_dns_policy_closed', '1 while this rule of the policy lets no query through.', ['rule'])
  const cause = closingRule(now)?.rule
  for (const rule of Object.keys(CLOSING)) closed({ rule }, rule === cause ? 1 : 0)
  gauge('enigm_dns_start_time_seconds', 'When the process started.', [])({}, Date.parse(now.startedAt) / 1000)
  gauge('enigm_dns_shaping_in_force', '1: yes, 0: no or unknown.', ['profile'])(
    { profile: now.shaping.profile },
    now.shaping.inForce === 'yes' ? 1 : 0,
  )
  resolvers(now, counted, gauge, counter)
  gauge('enigm_dns_cache_entries', 'Number of answers in the cache.', [])({}, counted.cache.entries)
  gauge('enigm_dns_cache_bytes', 'Memory in use, in octets.', [])({}, counted.cache.bytes)
  gauge('enigm_dns_cache_max_bytes', 'The limit of that memory, in octets.', [])({}, counted.cache.maxBytes)
  const { hits, misses } = counted.cache
  if (hits !== undefined) counter('enigm_dns_cache_hits_total', 'Queries answered from the cache.', [])({}, hits)
  if (misses !== undefined)
    counter(
      'enigm_dns_cache_misses_total',
      'Queries that the cache did not answer, also blocked and failed ones and those with a local answer.',
      [],
    )({}, misses)
  listMetrics(now, counted, gauge, counter)
  const plaintext = counter('enigm_dns_plaintext_total', 'Cleartext DNS packets that left the host, by cause.', ['cause'])
  for (const [cause, count] of Object.entries(now.plaintext)) plaintext({ cause }, count)
  return registry.metrics()
}

type SetValue = (labels: Record<string, string>, value: number) => void
type MakeMetric = (name: string, help: string, labelNames: readonly string[]) => SetValue

function gaugesOf(registry: Registry): MakeMetric {
  return (name, help, labelNames) => {
    const gauge = new Gauge({ name, help, labelNames: [...labelNames], registers: [registry] })
    return (labels, value) => gauge.set(labels, value)
  }
}

function countersOf(registry: Registry): MakeMetric {
  return (name, help, labelNames) => {
    const counter = new Counter({ name, help, labelNames: [...labelNames], registers: [registry] })
    return (labels, value) => counter.inc(labels, value)
  }
}

function listMetrics(now: StatusDocument, counted: StatusDocument, gauge: MakeMetric, counter: MakeMetric): void {
  if (now.lists === undefined) return
  const inForce = gauge('enigm_dns_list_in_force', '1 while the list applies.', ['list'])
  const rules = gauge('enigm_dns_list_rules', 'Number of rules of the list.', ['list'])
  for (const { id, state, rules: count } of now.lists) {
    inForce({ list: id }, state === 'in-force' ? 1 : 0)
    rules({ list: id }, count)
  }
  const counts = (counted.lists ?? []).filter(({ blocked }) => blocked !== undefined)
  if (counts.length === 0) return
  const blocked = counter('enigm_dns_list_blocked_total', 'Questions blocked by the list, without repeats from the cache.', ['list'])
  for (const { id, blocked: count = 0 } of counts) blocked({ list: id }, count)
}

function resolvers(now: StatusDocument, counted: StatusDocument, gauge: MakeMetric, counter: MakeMetric): void {
  const up = gauge('enigm_dns_resolver_answering', '1 while the resolver answers.', ['resolver', 'transport'])
  for (const { id, transport, state } of now.resolvers) up({ resolver: id, transport: transport ?? 'none' }, state === 'answering' ? 1 : 0)
  const rtt = gauge('enigm_dns_resolver_rtt_seconds', 'Round trips over the last 256 answers.', ['resolver', 'quantile'])
  const failures = counter('enigm_dns_resolver_failures_total', 'Failed exchanges and dials, by code.', ['resolver', 'code'])
  for (const { id, rttMs, failures: byCode } of counted.resolvers) {
    if (rttMs !== null)
      for (const [quantile, ms] of [
        ['0.5', rttMs.p50],
        ['0.9', rttMs.p90],
        ['0.99', rttMs.p99],
      ] as const)
        rtt({ resolver: id, quantile }, ms / 1000)
    for (const [code, count] of Object.entries(byCode)) failures({ resolver: id, code }, count)
  }
}
