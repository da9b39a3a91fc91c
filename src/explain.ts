import { isIP } from 'node:net'
import { systemClock } from './clock.ts'
import { allowList } from './config/cidr.ts'
import { hostsLines } from './config/hosts-file.ts'
import type { Loaded } from './config/load.ts'
import { keyOf, MAX_ALIASES, type OwnAnswer, ownNameOf } from './config/own-answers.ts'
import { nameFromText, textFromName } from './dns/name.ts'
import { lowerOctet, u16 } from './dns/octets.ts'
import { escaped } from './dns/rdata-text.ts'
import { rcodeText, textFromType, typeFromText } from './dns/registries.ts'
import { EnigmError } from './errors.ts'
import { isRecord } from './files/json.ts'
import { localVerdict } from './local-names/special-names.ts'
import type { Answer, Question, View } from './resolve.ts'
import { Dns64 } from './rules/dns64.ts'
import { appliesAt } from './rules/list-times.ts'
import { type OwnVerdict, ownVerdict, questionFor } from './rules/own-answers.ts'
import { type OwnMatch, OwnNames, reverseName } from './rules/own-names.ts'
import { sidesOf } from './rules/sides.ts'
import { viewsByAddress } from './rules/views.ts'
import { transportsOf } from './trusted-resolvers.ts'

/**
 * The decision of one stage about a question. `passes`: the next stage decides. `alias`: the
 * question continues with another name. `asks`: the question would be sent.
 */
export interface ExplainStep {
  readonly stage: 'clients' | 'cache' | 'hosts' | 'answers' | 'dns64' | 'local-names' | 'lists' | 'route' | 'resolver'
  readonly verdict: 'passes' | 'answers' | 'blocks' | 'refuses' | 'alias' | 'asks' | 'fresh' | 'stale' | 'absent' | 'unknown'
  /** The id of the list. */
  readonly list?: string
  /** The file of the rule, or the URL of its list. */
  readonly source?: string
  /** The line of the rule in its source, from 1. */
  readonly line?: number
  /** The text of the rule, or a few words about it. */
  readonly rule?: string
}

/** The servers that would be asked. */
export interface ExplainRoute {
  /** Ids of trusted resolvers; empty if the question would be sent in cleartext. */
  readonly to: readonly string[]
  /** The forward zone of the name; absent: no zone contains it. */
  readonly zone?: string
  /** The server of the zone that is asked without encryption: ADDRESS:PORT or `link`. */
  readonly cleartext?: string
}

/** The path of a question through the stages, up to the stage that answers or blocks it. */
export interface Explanation {
  /** The name in text form with its final dot. */
  readonly name: string
  readonly type: string
  readonly verdict: 'answered' | 'blocked' | 'unknown'
  readonly steps: readonly ExplainStep[]
  readonly route?: ExplainRoute
  /** An answer made here has no records of the type, or denies the name. Absent: not known. */
  readonly empty?: 'no-data' | 'no-such-name'
}

/** The question to explain, and the address of the client that would ask it. */
export interface ExplainInput {
  readonly question: Question
  readonly client: string
}

/** Parses the arguments of the command. Throws an EnigmError `config` with a sentence. */
export function explainInput(name: string, type: string, client: string): ExplainInput {
  const number = typeFromText(type)
  if (number === undefined)
    throw new EnigmError('config', `not a record type: ${escaped(Buffer.from(type))}; write one as A, HTTPS or TYPE65`)
  if (isIP(client) === 0) throw new EnigmError('config', `not an address: ${escaped(Buffer.from(client))}; write one as in 192.168.1.7`)
  return { question: questionFor(nameFromText(name).map(lowerOctet), number), client }
}

/** The command for the control socket that asks for the cache entry of a question. */
export function cacheCommand({ question, client }: ExplainInput): string {
  return `cached ${textFromType(question.type)} ${textFromName(nameOf(question))} ${client}`
}

/**
 * The cache entry of the running service, from its reply to `cacheCommand`. `why`: why there is no
 * reply.
 */
export function cacheStep(reply: unknown, why = 'no service answers'): ExplainStep {
  if (!isRecord(reply)) return { stage: 'cache', verdict: 'unknown', rule: why }
  if (typeof reply.leftS !== 'number') return { stage: 'cache', verdict: 'absent' }
  const list = typeof reply.list === 'string' ? reply.list : undefined
  const kept = `${rcodeText(Number(reply.rcode))}, ${reply.leftS > 0 ? `${reply.leftS} s left` : `expired ${-reply.leftS} s ago`}`
  return {
    stage: 'cache',
    verdict: reply.leftS > 0 ? 'fresh' : 'stale',
    ...(list === undefined ? {} : { list }),
    rule: list === undefined ? kept : `${kept}, blocked by list ${list}`,
  }
}

/** The verdict in words. */
export function verdictText({ verdict, steps, empty }: Pick<Explanation, 'verdict' | 'steps' | 'empty'>): string {
  if (verdict === 'blocked') return 'would be blocked'
  if (verdict === 'unknown') return 'cannot tell'
  if (empty !== undefined) return `would be answered: ${empty === 'no-data' ? 'no data of this type (NODATA)' : 'no such name (NXDOMAIN)'}`
  if (steps.at(-1)?.rule === ANSWER_IS_CHECKED) return 'would be answered, unless a list blocks what the answer contains'
  return steps.some((step) => step.verdict === 'fresh') ? 'would be answered from the cache' : 'would be answered'
}

const ANSWER_IS_CHECKED = 'the answer is checked too: its aliases, hosts and addresses'

const nameOf = ({ lower }: Question) => lower.subarray(0, lower.length - 4)

/**
 * Walks a question through the stages of the pipeline (resolver.ts) as configured. Sends nothing.
 * `cache`: the cache entry of the running service.
 */
export async function explain(loaded: Loaded, input: ExplainInput, cache: ExplainStep): Promise<Explanation> {
  const { question, client } = input
  const shown = { name: textFromName(nameOf(question)), type: textFromType(question.type) }
  const steps: ExplainStep[] = []
  if (!allowList(loaded.config.allowFrom)(client)) {
    steps.push({ stage: 'clients', verdict: 'refuses', rule: 'allowFrom' })
    return { ...shown, verdict: 'blocked', steps }
  }
  steps.push(cache)
  const end = await walk(loaded, input, viewOf(loaded, client), steps)
  const route = end.route === undefined ? {} : { route: end.route }
  if (end.route !== undefined && cache.verdict === 'fresh') return { ...shown, ...fromCache(cache, steps), ...route }
  return { ...shown, verdict: end.verdict, steps, ...route, ...(end.empty === undefined ? {} : { empty: end.empty }) }
}

/**
 * The explanation of a question that would be sent if its answer were not in the cache. A list may
 * have blocked that answer for what it contains.
 */
function fromCache({ list }: ExplainStep, steps: readonly ExplainStep[]): Pick<Explanation, 'verdict' | 'steps'> {
  const others = steps.filter(({ rule }) => rule !== ANSWER_IS_CHECKED)
  const passing = others.map((step) => (step.verdict === 'asks' ? { ...step, verdict: 'passes' as const } : step))
  if (list === undefined) return { verdict: 'answered', steps: passing }
  return {
    verdict: 'blocked',
    steps: [...passing, { stage: 'lists', verdict: 'blocks', list, rule: 'an alias, a host or an address in the answer' }],
  }
}

interface End {
  readonly verdict: Explanation['verdict']
  readonly route?: ExplainRoute
  readonly empty?: 'no-data' | 'no-such-name'
}

/** The end of a question with an answer made here. */
function answeredWith({ rcode, wire }: Answer): End {
  if (rcode === NXDOMAIN) return { verdict: 'answered', empty: 'no-such-name' }
  return { verdict: 'answered', ...(rcode === NOERROR && u16(wire, 6) === 0 ? { empty: 'no-data' as const } : {}) }
}
const NOERROR = 0
const NXDOMAIN = 3

async function walk(loaded: Loaded, { question: first, client }: ExplainInput, view: View, steps: ExplainStep[]): Promise<End> {
  const names = new OwnNames(answersFor(loaded, view).list, loaded.hosts)
  let question = first
  for (let aliases = 0; aliases <= MAX_ALIASES; aliases++) {
    const own = ownStep(loaded, names, question, view)
    steps.push(own.step)
    if (own.target === undefined)
      return own.answer !== undefined ? answeredWith(own.answer) : below(loaded, { question, client }, view, steps)
    question = questionFor(own.target, question.type)
  }
  return below(loaded, { question, client }, view, steps)
}

/** The stages below own answers. */
async function below(loaded: Loaded, input: ExplainInput, view: View, steps: ExplainStep[]): Promise<End> {
  const { question } = input
  const listed = await listStep(loaded, input, view)
  if (listed !== undefined) steps.push(listed)
  if (listed?.verdict === 'blocks') return { verdict: 'blocked' }
  if (listed?.verdict === 'unknown') return { verdict: 'unknown' }
  const side = sidesOf(loaded.config).of(question.lower, view)
  const local = localVerdict(question, side.zone)
  steps.push({ stage: 'local-names', ...(local === undefined ? { verdict: 'passes' } : { verdict: 'answers', rule: local.rule }) })
  if (local !== undefined) return answeredWith(local.answer)
  const { zone, rule, to, cleartext } = side
  steps.push({ stage: 'route', verdict: 'asks', rule: zone === undefined ? rule : `${rule}: ${zone}` })
  steps.push(
    cleartext === undefined ? resolverStep(loaded, to) : { stage: 'resolver', verdict: 'asks', rule: `${cleartext}, without encryption` },
  )
  if (listed !== undefined && listed.list === undefined && blocksAnswers(loaded, view))
    steps.push({ stage: 'lists', verdict: 'unknown', rule: ANSWER_IS_CHECKED })
  return { verdict: 'answered', route: { to, ...(zone === undefined ? {} : { zone }), ...(cleartext === undefined ? {} : { cleartext }) } }
}

/** The step with the trusted resolvers and their transports. */
function resolverStep({ config, resolvers }: Loaded, to: readonly string[]): ExplainStep {
  const shown = resolvers.filter(({ id }) => to.includes(id)).map((one) => `${one.id} (${transportsOf(one, config).join(', ')})`)
  return { stage: 'resolver', verdict: 'asks', source: config.resolvers, rule: shown.join(', ') }
}

/** The view of a client by its address. */
export function viewOf({ config }: Loaded, client: string): View {
  return viewsByAddress(config.views.map(({ clients }) => clients))(client)
}

/** The `answers` of a view, and their path in the configuration. */
function answersFor({ config }: Loaded, view: View): { readonly list: readonly OwnAnswer[]; readonly path: string } {
  const own = config.views[view - 1]?.answers
  return own === undefined ? { list: config.answers, path: 'answers' } : { list: own, path: `views[${view - 1}].answers` }
}

/**
 * The rule of a list that decides about the client or the name, found by reading all sources again;
 * undefined: no list is configured. Without a rule it is unknown if a source cannot be read.
 */
async function listStep({ config }: Loaded, { question, client }: ExplainInput, view: View): Promise<ExplainStep | undefined> {
  if (config.lists.length === 0) return undefined
  const { listMatches, unreadLists } = await import('./lists/list-matches.ts')
  const ids = config.views[view - 1]?.lists
  const match = (await listMatches(config, { name: nameOf(question), client }, systemClock().wallMs(), ids)).find(({ applies }) => applies)
  if (match !== undefined) {
    const { list, source, line, allows } = match
    return { stage: 'lists', verdict: allows ? 'passes' : 'blocks', list, source, line, rule: shown(match.rule) }
  }
  const [unread] = unreadLists(config, ids)
  if (unread === undefined) return { stage: 'lists', verdict: 'passes' }
  const { file, url } = config.lists.find(({ id }) => id === unread) ?? {}
  return { stage: 'lists', verdict: 'unknown', list: unread, source: file ?? url ?? '', rule: 'it cannot be read' }
}

/** Whether a list of a view that applies now may block an answer for what it contains. */
function blocksAnswers({ config }: Loaded, view: View): boolean {
  const ids = config.views[view - 1]?.lists
  const wallMs = systemClock().wallMs()
  return config.lists.some(
    ({ id, action, when }) =>
      action === 'block' && (ids === undefined || ids.includes(id)) && (when === undefined || appliesAt(when, wallMs)),
  )
}

interface OwnStep {
  readonly step: ExplainStep
  /** The target of an alias: the question continues with it. */
  readonly target?: Uint8Array
  readonly answer?: Answer
}

function ownStep(loaded: Loaded, names: OwnNames, question: Question, view: View): OwnStep {
  const verdict = ownVerdict(names, question)
  if (verdict !== undefined) {
    const step = {
      verdict: verdict.kind === 'alias' ? ('alias' as const) : ('answers' as const),
      ...placeOf(loaded, verdict, question, view),
    }
    return verdict.kind === 'alias' ? { step, target: verdict.target } : { step, answer: verdict.answer }
  }
  const { dns64 } = loaded.config
  const ipv4 = dns64 === undefined ? undefined : new Dns64(dns64).ipv4Reverse(question)
  if (dns64 !== undefined && ipv4 !== undefined) return { step: { stage: 'dns64', verdict: 'alias', rule: dns64.prefix }, target: ipv4 }
  return { step: { stage: 'answers', verdict: 'passes' } }
}

/** The place of a configured answer: a hosts file with its line, or an item of `answers`. */
function placeOf(loaded: Loaded, { match }: OwnVerdict, question: Question, view: View): Omit<ExplainStep, 'verdict'> {
  const [configFile] = loaded.files
  const { list, path } = answersFor(loaded, view)
  const at = written(list, match, question.type) ?? written(list, match, undefined)
  const answer = at === undefined ? undefined : list[at]
  if (answer !== undefined && configFile !== undefined)
    return {
      stage: 'answers',
      source: configFile,
      rule: `${path}[${at}]: ${answer.name} ${answer.type} ${shown(answer.data)}`,
    }
  return { stage: 'hosts', ...hostsPlace(loaded, match, question.type) }
}

/**
 * A text from a file in which nothing acts on a terminal or a page. Letters of every script stay.
 */
function shown(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu, (c) => `\\u{${c.codePointAt(0)?.toString(16) ?? ''}}`)
}

/** The index in `list` of the answer for a name and a type; `type` undefined: any type. */
function written(list: readonly OwnAnswer[], { owner, by }: OwnMatch, type: number | undefined): number | undefined {
  const found = list.findIndex((answer) => {
    const { wire, wildcard } = ownNameOf(answer.name)
    return wildcard === (by === 'wildcard') && keyOf(wire) === keyOf(owner) && (type === undefined || typeFromText(answer.type) === type)
  })
  return found < 0 ? undefined : found
}

/**
 * The line of a hosts file that gives the name an address of the type; else the first line with the
 * name.
 */
function hostsPlace({ hosts }: Loaded, { owner }: OwnMatch, type: number): Pick<ExplainStep, 'source' | 'line' | 'rule'> {
  const key = keyOf(owner)
  let first: Pick<ExplainStep, 'source' | 'line' | 'rule'> = {}
  for (const file of hosts) {
    for (const { line, address, names } of hostsLines(file)) {
      if (!names.some((name) => keyOf(name) === key) && keyOf(reverseName(address)) !== key) continue
      const rule = shown((file.text.split('\n', line)[line - 1] ?? '').trim())
      const place = { source: file.file, line, rule }
      if (type !== TYPE_A && type !== TYPE_AAAA) return place
      if (address.length === (type === TYPE_A ? 4 : 16)) return place
      if (first.source === undefined) first = place
    }
  }
  return first
}
const TYPE_A = 1
const TYPE_AAAA = 28
