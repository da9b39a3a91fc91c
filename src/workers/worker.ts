import { type MessagePort, parentPort, workerData } from 'node:worker_threads'
import { admit } from '../cache/admission.ts'
import { AnswerCache } from '../cache/answer-cache.ts'
import { coalesce } from '../cache/in-flight.ts'
import { seedOf } from '../cache/memory.ts'
import { Prefetch } from '../cache/prefetch.ts'
import { systemClock, systemRandom } from '../clock.ts'
import { allowList } from '../config/cidr.ts'
import { asEnigmError } from '../errors.ts'
import type { Emit } from '../events.ts'
import { ReplyRate } from '../listen/reply-rate.ts'
import { PolicyGate } from '../policy/gate.ts'
import { viewFor } from '../resolve.ts'
import { createResponder } from '../responder.ts'
import { datagramCalls } from '../system/datagram-calls.ts'
import { listenToKernel } from '../system/netlink.ts'
import { Tracer } from '../trace/tracer.ts'
import { Counters } from './counters.ts'
import { createMainAsker } from './main-asker.ts'
import type { Birth, Order, Report } from './protocol.ts'
import { workerSockets } from './sockets.ts'
import { tracedInTurns } from './traced-in-turns.ts'

/** The entry of a worker thread: listeners, a cache and a Responder of its own; what is not in the cache goes to the main thread. */
function work(port: MessagePort, birth: Birth): void {
  const clock = systemClock()
  const cache = new AnswerCache({ maxBytes: birth.cacheMaxBytes, staleMaxS: 0, seed: seedOf(systemRandom) })
  const counts = new Counters(birth.counters)
  const report = (message: Report) => port.postMessage(message)
  const emit: Emit = (event) => report({ type: 'event', event })
  const gate = new PolicyGate(birth.gate)
  const asker = createMainAsker(cache, clock, gate, (message) => port.postMessage(message, [message.buffer as ArrayBuffer]))
  // What the main thread turns away it counts itself.
  const admission = admit({ random: systemRandom, turnedAway: () => counts.overloaded++, countsFurtherIn: false })
  const stages = [admission, coalesce((asked) => cache.hashOf(asked), systemRandom), asker.stage]
  let { timeoutMs, prefetch } = birth.settings
  const current = () => ({ stages, timeoutMs, prefetch })
  // The main thread counts what it renews.
  const prefetcher = new Prefetch({ clock, random: systemRandom, current, renewed() {} })
  const tracer = new Tracer(clock, tracedInTurns(report), birth.trace)
  let allowed = allowList(birth.settings.allowFrom)
  const sockets = workerSockets({
    responder: createResponder({ cache, clock, emit, counts, gate, current, prefetch: prefetcher, tracer }),
    allowed: (address) => allowed(address),
    view: viewFor,
    clock,
    emit,
    drainMs: birth.drainMs,
    datagramCalls: datagramCalls(),
    replyRate: new ReplyRate(systemRandom, () => counts.limited++),
    addressChanges: listenToKernel,
  })

  const obey = async (order: Order): Promise<void> => {
    if (order.type === 'open') return sockets.open(order.endpoints)
    if (order.type === 'stop') return sockets.keepOnly([])
    if (order.type === 'network') {
      cache.newNetwork()
      prefetcher.forget()
      return
    }
    allowed = allowList(order.settings.allowFrom)
    timeoutMs = order.settings.timeoutMs
    prefetch = order.settings.prefetch
    prefetcher.forget()
    cache.clear()
    counts.size(cache)
    // A worker that was started again between `open` and this order has not heard of the new endpoints.
    await sockets.open(order.settings.endpoints)
    await sockets.keepOnly(order.settings.endpoints)
  }
  const done = () => report({ type: 'done' })
  const refused = (error: unknown) => {
    const { code, message } = asEnigmError(error)
    report({ type: 'done', refused: { code, message } })
  }

  let busy = sockets.open(birth.settings.endpoints).then(done, refused)
  port.on('message', (message: Uint8Array | Order) => {
    if (message instanceof Uint8Array) {
      asker.settle(message)
      counts.size(cache)
      return
    }
    busy = busy.then(() => obey(message)).then(done, refused)
    if (message.type === 'stop') void busy.then(() => port.close())
  })
}

if (parentPort !== null) work(parentPort, workerData as Birth)
