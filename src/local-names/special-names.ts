import { noSuchName, soaRecord } from '../dns/local-answer.ts'
import { nameFromText } from '../dns/name.ts'
import { u16 } from '../dns/octets.ts'
import type { Stage } from '../job.ts'
import { type Answer, type Question, VIEW_OF_ALL, type View } from '../resolve.ts'
import type { ProofsByView, Subject } from './local-proofs.ts'
import { SPECIAL_ZONES } from './special-zones.ts'
import { lazily } from './zone-actions.ts'
import { type ZoneRule, zoneTree } from './zone-tree.ts'

/** An answer made here, and the subject of its DNSSEC proof; undefined: it has no proof. */
interface LocalAnswer {
  /** The zone of the answer, or the kind of name in words. */
  readonly rule: string
  readonly answer: Answer
  readonly subject: Subject | undefined
}

/**
 * Answers queries that must not leave this host: special-use names (RFC 6761 registry), reverse
 * zones of private addresses (RFC 6303, RFC 7793), single labels, addresses queried as names, and
 * the canary of browsers. Everything else goes on, as do names of a forward zone, and so does DS at
 * the apex of zones that the public DNS delegates unsigned. With `proofs`, a negative answer to a
 * query with DO includes the signed denial of the public DNS, which the stages below fetch; each
 * view has its own, because each may have its own resolvers. Only questions of class IN: the gate
 * lets no other class pass. /
 */
export function specialNames(proofsOf?: ProofsByView): Stage {
  const answerHere = localAnswers(SPECIAL_ZONES, (top, view) => proofsOf?.(view).denies(top) === true)
  const stage: Stage = {
    enter(job) {
      const { query } = job
      const local = answerHere(query.question, query.client.view, job.side?.zone)
      if (local === undefined) return 'on'
      const proofs = proofsOf?.(query.client.view)
      const { answer, subject } = local
      if (query.edns?.dnssecOk !== true || proofs === undefined || subject === undefined) {
        job.outcome = answer
        return 'answered'
      }
      void proofs
        .prove(answer, subject, query, job, (query, ask) => job.below(stage, query, ask))
        .then((proven) => {
          job.outcome = proven
          job.resume(stage)
        })
      return 'waits'
    },
  }
  return stage
}

const NUMERIC = 'an address in place of a name'
const SINGLE = 'a single label'

const localAnswersNow = lazily(() => localAnswers(SPECIAL_ZONES, () => false))

/**
 * The answer made here, and its rule in words; undefined: the question is not about a local name.
 * `forwardZone`: the forward zone of the name.
 */
export function localVerdict(question: Question, forwardZone: string | undefined): Pick<LocalAnswer, 'rule' | 'answer'> | undefined {
  return localAnswersNow()(question, VIEW_OF_ALL, forwardZone)
}

/**
 * Undefined: not answered here. `denied`: whether a top-level name is known not to be in the root.
 * `forwardZone`: the forward zone of the name; its names are not answered here, except those of
 * this host.
 */
function localAnswers(
  rules: readonly ZoneRule[],
  denied: (top: Uint8Array, view: View) => boolean,
): (question: Question, view: View, forwardZone: string | undefined) => LocalAnswer | undefined {
  const tree = zoneTree(rules)
  const subjects = new Map(rules.map((rule) => [rule, lazily(() => ({ kind: 'zone', name: nameFromText(rule.zone) }) as const)]))
  const nothingBelow = (question: Question, top: Uint8Array, rule: string): LocalAnswer => ({
    rule,
    answer: noSuchName(question, soaRecord(top)),
    subject: { kind: 'top', name: top },
  })
  return (question, view, forwardZone) => {
    const match = tree.match(question)
    if (forwardZone !== undefined && !(match?.rule.ofHost === true && isLonger(match.rule.zone, forwardZone))) return undefined
    if (match !== undefined) {
      const answer = match.rule.action(question, match.place)
      if (answer === 'forward') return undefined
      return {
        rule: match.rule.zone,
        answer,
        subject: match.rule.unprovable === true || hasData(answer) ? undefined : subjects.get(match.rule)?.(),
      }
    }
    if (tree.labelCount === 0) return undefined
    const isNumeric = isNumericLabel(question.lower, tree.topLabelAt)
    if (tree.labelCount > 1 && !isNumeric) return undefined
    const top = question.lower.slice(tree.topLabelAt, -4)
    return isNumeric || !isDelegationType(question.type) || denied(top, view)
      ? nothingBelow(question, top, isNumeric ? NUMERIC : SINGLE)
      : undefined
  }
}

/** Whether `zone`, with its final dot, lies below the forward zone; both contain one name. */
const isLonger = (zone: string, forwardZone: string) => zone.length - 1 > forwardZone.length

const hasData = (answer: Answer) => u16(answer.wire, 6) > 0

/**
 * Types that describe the delegation of a top-level domain and are not host data: a validator
 * behind this stub needs them for every TLD. NS SOA DS RRSIG NSEC DNSKEY NSEC3PARAM CDS CDNSKEY
 * CSYNC ZONEMD.
 */
const DELEGATION_TYPES = new Set([2, 6, 43, 46, 47, 48, 51, 59, 60, 62, 63])

/**
 * A name of one label is a host of this network or the result of a wrong search list, never a
 * public host (SAC 053, RFC 7085): it gets NXDOMAIN for data types here, so that names of machines
 * do not leave this network. The infrastructure types are forwarded, unless the root is known not
 * to have the label. The SOA is of the label itself and not of the root. A cache that asks this
 * stub must not conclude that the root denied a whole TLD; PowerDNS would.
 */
export function isDelegationType(type: number): boolean {
  return DELEGATION_TYPES.has(type)
}

/**
 * Whether the label at `at` of a lower-case name is a number in the sense of the WHATWG's URL
 * standard for the last label of a host: only digits, or 0x and hexadecimal digits. A name with
 * such an end is an IPv4 address that was queried as a name (192.168.1.1, 10.0.0x7f): browsers take
 * it for nothing else, and there is and will be no such top-level domain (RFC 1123 section 2.1, RFC
 * 3696 section 2).
 */
export function isNumericLabel(name: Uint8Array, at: number): boolean {
  const length = name[at]!
  const hexadecimal = length > 1 && name[at + 1] === 0x30 && name[at + 2] === 0x78
  for (let i = at + (hexadecimal ? 3 : 1); i <= at + length; i++) {
    const octet = name[i]!
    if (!(isDigit(octet) || (hexadecimal && octet >= 0x61 && octet <= 0x66))) return false
  }
  return true
}

const isDigit = (octet: number) => octet >= 0x30 && octet <= 0x39
