import { MAX_ALIASES } from '../config/own-answers.ts'
import { WRITABLE_TYPES } from '../config/record-data.ts'
import { noSuchType, soaRecord } from '../dns/local-answer.ts'
import { questionEnd } from '../dns/name.ts'
import { HEADER_OCTETS, putU16, u16 } from '../dns/octets.ts'
import { record, synthesise } from '../dns/response.ts'
import { type PlainRecord, plainRecords, responseOf } from '../dns/rewrite.ts'
import { asEnigmError, EnigmError } from '../errors.ts'
import type { Job, Stage } from '../job.ts'
import type { Answer, Question, View } from '../resolve.ts'
import type { Dns64 } from './dns64.ts'
import { DEFAULT_TTL_S, type OwnEntry, type OwnMatch, type OwnNames } from './own-names.ts'

const { A, AAAA, CNAME, HTTPS } = WRITABLE_TYPES
const SVCB = 64
const ANY = 255
const NXDOMAIN = 3
const CLASS_IN = 1
/** RFC 8914: Blocked. */
const BLOCKED = 15
/**
 * Types that tell a client where to connect. If a resolver answered one of them, the client would
 * not use the configured address (RFC 9460 sections 2.4 and 7.3).
 */
const WHERE_TYPES: ReadonlySet<number> = new Set([A, AAAA, HTTPS, SVCB])

/**
 * Returns the table of configured names for a view. Called for each question, because a reload
 * replaces the table.
 */
export type OwnNamesOf = (view: View) => OwnNames

/** What the table says about a question: an answer, or an alias to follow. */
export type OwnVerdict =
  | { readonly kind: 'answer'; readonly answer: Answer; readonly match: OwnMatch }
  | { readonly kind: 'alias'; readonly match: OwnMatch; readonly target: Uint8Array; readonly ttlS: number }

/**
 * The configured answer or alias for a question. Undefined: nothing is configured, and the next
 * stage gets the question. If A, AAAA or an alias is configured for a name, the other `WHERE_TYPES`
 * have no data unless they are configured too. The same holds for a service of the name
 * (_8443._https.NAME). Questions for other types go to the next stage.
 */
export function ownVerdict(names: OwnNames, question: Question): OwnVerdict | undefined {
  const { type } = question
  const name = nameOf(question)
  const match = names.find(name)
  const service = match?.by === 'name' ? undefined : serviceVerdict(names, question, name)
  if (service !== undefined || match === undefined) return service
  const { entry } = match
  const alias = entry.get(CNAME)
  if (alias !== undefined && type !== CNAME && type !== ANY)
    return { kind: 'alias', match, target: alias.rdata[0] ?? Uint8Array.of(0), ttlS: alias.ttlS }
  const written = type === ANY ? [...entry.keys()] : entry.has(type) ? [type] : []
  if (written.length > 0) return { kind: 'answer', match, answer: configuredAnswer(question, entry, written) }
  return WHERE_TYPES.has(type) && isOverridden(entry) ? { kind: 'answer', match, answer: noData(question, match) } : undefined
}

const nameOf = ({ lower }: Question) => lower.subarray(0, lower.length - 4)
const isOverridden = (entry: OwnEntry) => entry.has(A) || entry.has(AAAA) || entry.has(CNAME)

function serviceVerdict(names: OwnNames, question: Question, name: Uint8Array): OwnVerdict | undefined {
  if (question.type !== HTTPS && question.type !== SVCB) return undefined
  const match = names.findService(name)
  return match !== undefined && isOverridden(match.entry) ? { kind: 'answer', match, answer: noData(question, match) } : undefined
}

function configuredAnswer(question: Question, entry: OwnEntry, types: readonly number[]): Answer {
  const owner = nameOf(question)
  const records = types.flatMap((type) => {
    const { ttlS, rdata } = entry.get(type) ?? { ttlS: 0, rdata: [] }
    return rdata.map((one) => ({ ttlS, wire: record(owner, type, ttlS, one) }))
  })
  const wire = synthesise(question, { rcode: 0, answers: records.map((one) => one.wire) })
  return { wire, rcode: 0, storeS: Math.min(...records.map(({ ttlS }) => ttlS)), from: 'policy' }
}

/**
 * Makes a NODATA answer. The SOA is of the configured name, so that only this name is denied (RFC
 * 2308 section 3).
 */
function noData(question: Question, { owner, entry }: OwnMatch): Answer {
  const ttlS = Math.min(DEFAULT_TTL_S, ...[...entry.values()].map((one) => one.ttlS))
  return noSuchType(question, soaRecord(owner, ttlS), ttlS)
}

/**
 * Answers names of the configuration and of hosts files. An alias is followed: in the table if its
 * target is configured too, else by the later stages with all their rules. A configured name
 * exists, so NXDOMAIN for its other types becomes "no data". With `dns64`, a name without IPv6
 * addresses gets addresses that embed its IPv4 addresses.
 */
export function ownAnswers(namesOf: OwnNamesOf, dns64?: Dns64): Stage {
  /** Follows aliases in the table. Then answers from the table, or asks the later stages. */
  const follow = async (job: Job, from: Question, first?: Alias): Promise<Answer> => {
    const { aliases, question, end } = chainOf(namesOf(job.query.client.view), from, first)
    const answer = end ?? (await job.below(stage, { ...job.query, question }))
    return aliases.length === 0 ? answer : aliased(from, aliases, answer)
  }
  const wait = (job: Job, answer: Promise<Answer>): 'waits' => {
    answer
      .catch((error: unknown) => asEnigmError(error))
      .then((outcome) => {
        job.outcome = outcome
        job.resume(stage)
      })
    return 'waits'
  }
  const stage: Stage = {
    enter(job) {
      const { question, client } = job.query
      const verdict = ownVerdict(namesOf(client.view), question)
      if (verdict?.kind === 'answer') {
        job.outcome = verdict.answer
        return 'answered'
      }
      if (verdict !== undefined) return wait(job, follow(job, question))
      const ipv4 = dns64?.ipv4Reverse(question)
      if (ipv4 === undefined) return 'on'
      return wait(job, follow(job, question, { name: nameOf(question), target: ipv4, ttlS: DEFAULT_TTL_S }))
    },
    leave(job) {
      const { outcome, query } = job
      if (outcome === undefined || outcome instanceof EnigmError) return 'on'
      const { question, client } = query
      // An answer that a list has blocked stays blocked.
      if (outcome.from === 'policy' && outcome.ede?.code === BLOCKED) return 'on'
      // With an alias in the answer, the RCODE is about its target (RFC 6604 section 3).
      if (outcome.rcode === NXDOMAIN && u16(outcome.wire, 6) === 0 && namesOf(client.view).exists(nameOf(question)))
        job.outcome = asNoData(question, outcome)
      const judged = dns64?.judge(query, outcome) ?? outcome
      if (judged !== 'needs-ipv4') {
        if (judged !== outcome) job.outcome = judged
        return 'on'
      }
      const ipv4 = follow(job, questionFor(nameOf(question), A))
      return wait(
        job,
        ipv4.then((answer) => dns64?.synthesise(question, outcome, answer) ?? outcome),
      )
    },
  }
  return stage
}

/** Whether the configured names now contradict `wire`, a cached answer. */
export function contradictsOwn(names: OwnNames, wire: Uint8Array): boolean {
  const end = questionEnd(wire)
  if (end === 0) return true
  const lower = wire.subarray(HEADER_OCTETS, end)
  const question: Question = { lower, type: u16(wire, end - 4), class: CLASS_IN }
  if (ownVerdict(names, question) !== undefined) return true
  return (wire[3]! & 0x0f) === NXDOMAIN && u16(wire, 6) === 0 && names.exists(nameOf(question))
}

interface Alias {
  readonly name: Uint8Array
  readonly target: Uint8Array
  readonly ttlS: number
}

/**
 * The aliases that lead from a question to its last name. `question`: about the last name. `end`:
 * its answer if the table has one.
 */
interface Chain {
  readonly aliases: readonly Alias[]
  readonly question: Question
  readonly end: Answer | undefined
}

/**
 * Follows aliases in the table. A configuration with a circle is rejected; the limit bounds the
 * work in any case.
 */
function chainOf(names: OwnNames, from: Question, first?: Alias): Chain {
  const aliases: Alias[] = first === undefined ? [] : [first]
  let question = first === undefined ? from : questionFor(first.target, from.type)
  for (;;) {
    const verdict = ownVerdict(names, question)
    if (verdict?.kind === 'answer') return { aliases, question, end: verdict.answer }
    if (verdict === undefined || aliases.length > MAX_ALIASES) return { aliases, question, end: undefined }
    aliases.push({ name: nameOf(question), target: verdict.target, ttlS: verdict.ttlS })
    question = questionFor(verdict.target, from.type)
  }
}

/** Makes a question of class IN. `name` is in wire form, lower-case. */
export function questionFor(name: Uint8Array, type: number): Question {
  const lower = new Uint8Array(name.length + 4)
  lower.set(name)
  putU16(lower, name.length, type)
  putU16(lower, name.length + 2, CLASS_IN)
  return { lower, type, class: CLASS_IN }
}

/** Turns the answer for the last name of an alias chain into the answer for the first name. */
function aliased(question: Question, aliases: readonly Alias[], end: Answer): Answer {
  const heads = aliases.map(
    ({ name, target, ttlS }): PlainRecord => ({ section: 1, name, type: CNAME, class: CLASS_IN, ttlS, rdata: target }),
  )
  const wire = responseOf(question, end.wire, [...heads, ...plainRecords(end.wire)])
  const { ttlAts: _ofOther, ...rest } = end
  return { ...rest, wire, storeS: end.storeS === 'no' ? 'no' : Math.min(end.storeS, ...aliases.map(({ ttlS }) => ttlS)) }
}

/** Makes a NODATA answer that replaces NXDOMAIN. */
function asNoData(question: Question, denial: Answer): Answer {
  const storeS = denial.storeS === 'no' ? DEFAULT_TTL_S : Math.min(denial.storeS, DEFAULT_TTL_S)
  return noSuchType(question, soaRecord(nameOf(question), storeS), storeS)
}
