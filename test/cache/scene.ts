import { AnswerCache } from '../../src/cache/answer-cache.ts'
import { keyOfQuery } from '../../src/cache/key.ts'
import { nameFromText } from '../../src/dns/name.ts'
import type { Ede, ErrorCode } from '../../src/errors.ts'
import { EnigmError } from '../../src/errors.ts'
import type { Answer, Ask, Query, Resolve } from '../../src/resolve.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { bytes, response, rr, u16s } from '../support/messages.ts'
import { view } from '../support/rules.ts'

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

/** An end of the pipeline that does what `will` says, and notes why it was asked. */
export class End {
  readonly asked: Ask['purpose'][] = []
  will: () => Promise<Answer> | Answer | ErrorCode = () => good()
  readonly resolve: Resolve = async (_query, ask) => {
    this.asked.push(ask.purpose)
    const outcome = await this.will()
    if (typeof outcome === 'string') throw new EnigmError(outcome, 'as the test wishes')
    return outcome
  }
}

/** A cache with one answer that has expired by `ageS`, and the clock that says so. */
export function expired(ageS: number, o: { readonly answer?: Answer; readonly staleMaxS?: number } = {}) {
  const clock = new FakeClock()
  const cache = new AnswerCache(1 << 20, o.staleMaxS ?? 86_400)
  const answer = o.answer ?? good(1, 60)
  cache.put(keyOfQuery(ask()), answer, cache.epoch, clock.nowMs() - (60 + ageS) * 1000)
  return { clock, cache }
}
