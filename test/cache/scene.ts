import { nameFromText, questionEnd } from '../../src/dns/name.ts'
import type { Ede, ErrorCode } from '../../src/errors.ts'
import { EnigmError } from '../../src/errors.ts'
import type { Answer, Ask, Query } from '../../src/resolve.ts'
import { askedIn, cacheOf } from '../support/caches.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { bytes, response, rr, u16s } from '../support/messages.ts'
import { view } from '../support/rules.ts'
import type { Resolve } from '../support/stages.ts'

/** A question for A of `name`, by one client. */
export function ask(name = 'www.example.com', address = '127.0.0.1'): Query {
  const lower = bytes(nameFromText(name), u16s(1, 1))
  return {
    id: 0,
    question: { lower, type: 1, class: 1 },
    authenticData: false,
    checkingDisabled: false,
    edns: undefined,
    client: { address, transport: 'udp', view: view(0) },
  }
}

/** An answer of an upstream: one address, whose last octet tells it from others. */
export function good(last = 1, storeS = 300): Answer {
  const wire = response({ answers: [rr({ ttlS: storeS, rdata: bytes(192, 0, 2, last) })] })
  return { wire, rcode: 0, storeS, from: { upstream: 'u', transport: 'dot' } }
}

export function failing(rcode = 2, ede?: Ede): Answer {
  const answer: Answer = { wire: response({ rcode }), rcode, storeS: 1, from: { upstream: 'u', transport: 'dot' } }
  return ede === undefined ? answer : { ...answer, ede }
}

export const lastOctet = (answer: Answer) => answer.wire[answer.wire.length - 1]

/** The answer with the question of `query`, whatever its own was. */
export function to(query: Query, answer: Answer): Answer {
  const { wire } = answer
  return { ...answer, wire: bytes(wire.subarray(0, 12), query.question.lower, wire.subarray(questionEnd(wire))) }
}

/** An end of the pipeline that does what `will` says, and notes why it was asked. */
export class End {
  readonly asked: Ask['purpose'][] = []
  will: () => Promise<Answer> | Answer | ErrorCode = () => good()
  readonly resolve: Resolve = async (query, ask) => {
    this.asked.push(ask.purpose)
    const outcome = await this.will()
    if (typeof outcome === 'string') throw new EnigmError(outcome, 'as the test wishes')
    return to(query, outcome)
  }
}

/** A cache with one answer that has expired by `ageS`, and the clock that says so. */
export function expired(ageS: number, o: { readonly answer?: Answer; readonly staleMaxS?: number } = {}) {
  const clock = new FakeClock()
  const cache = cacheOf(1 << 20, o.staleMaxS ?? 86_400)
  const answer = o.answer ?? good(1, 60)
  cache.put(askedIn(ask()), answer, cache.epoch, clock.nowMs() - (60 + ageS) * 1000)
  return { clock, cache }
}
