import { type MessagePort, parentPort, workerData } from 'node:worker_threads'
import { admit } from '../cache/admission.ts'
import { AnswerCache } from '../cache/answer-cache.ts'
import { coalesce } from '../cache/coalesce.ts'
import { seedOf } from '../cache/memory.ts'
import { Prefetch } from '../cache/prefetch.ts'
import { systemClock, systemRandom } from '../clock.ts'
import { allowList } from '../config/cidr.ts'
import { asEnigmError } from '../errors.ts'
import type { Emit } from '../events.ts'
import { QueryRate } from '../listen/query-rate.ts'
import { ReplyRate } from '../listen/reply-rate.ts'
import { PolicyGate } from '../policy/gate.ts'
import { PortalSwitch } from '../portal/portal-switch.ts'
import { createResponder } from '../responder.ts'
import { unsharedIn } from '../rules/client-rules.ts'
import { viewsByAddress } from '../rules/views.ts'
import { RulesVersion } from '../rules-version.ts'
import { datagramCalls } from '../system/datagram-calls.ts'
import { listenToKernel } from '../system/netlink.ts'
import { type Traced, Tracer } from '../trace/query-trace.ts'
import { createMissClient } from './miss-client.ts'
import { type Command, Counters, type WorkerInit, type WorkerReport } from './protocol.ts'
import { workerSockets } from './sockets.ts'

/**
 * The entry of a worker thread: it has listeners, a cache and a Responder, and sends questions that
 * are not in the cache to the main thread.
 */
function work(port: MessagePort, init: WorkerInit): void {
  const clock = systemClock()
  // Answers of an older version are judged by the main thread, which holds the rules.
  const rules = { version: new RulesVersion(init.rules), allows: undefined }
  const cache = new AnswerCache({ maxBytes: init.cacheMaxBytes, staleMaxS: 0, seed: seedOf(systemRandom), rules })
  const counts = new Counters(init.counters)
  const report = (message: WorkerReport) => port.postMessage(message)
  const emit: Emit = (event) => report({ type: 'event', event })
  const gate = new PolicyGate(init.gate)
  const bypass = new PortalSwitch(init.portal)
  const missClient = createMissClient(cache, clock, gate, (message) => port.postMessage(message, [message.buffer as ArrayBuffer]))
  // The main thread counts its own refusals.
  const admission = admit({ random: systemRandom, turnedAway: () => counts.overloaded++, countsFurtherIn: false })
  let { unshared } = init
  let { views } = init.settings
  let view = unsharedIn(unshared, viewsByAddress(views))
  const coalescing = coalesce(
    (asked) => cache.hashOf(asked),
    systemRandom,
    (address) => view(address),
  )
  const stages = [admission, coalescing, missClient.stage]
  let { timeoutMs, prefetch } = init.settings
  const current = () => ({ stages, timeoutMs, prefetch })
  // The main thread counts its own renewals.
  const prefetcher = new Prefetch({ clock, random: systemRandom, current, renewed() {} })
  const tracer = new Tracer(clock, batchTraced(report), init.trace)
  let allowed = allowList(init.settings.allowFrom)
  const queryRate = new QueryRate(systemRandom, () => counts.limited++, init.queryRate)
  queryRate.perSecond = init.settings.clientQueriesPerS
  const sockets = workerSockets({
    responder: createResponder({ cache, clock, emit, counts, gate, bypass, current, prefetch: prefetcher, tracer }),
    allowed: (address) => allowed(address),
    view: (address) => view(address),
    clock,
    emit,
    drainMs: init.drainMs,
    datagramCalls: datagramCalls(),
    queryRate,
    replyRate: new ReplyRate(systemRandom, () => counts.limited++),
    addressChanges: listenToKernel,
  })

  const carryOut = async (command: Command): Promise<void> => {
    if (command.type === 'open') return sockets.open(command.endpoints)
    if (command.type === 'stop') return sockets.keepOnly([])
    if (command.type === 'network') {
      cache.newNetwork()
      prefetcher.forget()
      return
    }
    if (command.type === 'unshare') {
      unshared = command.ranges
      view = unsharedIn(unshared, viewsByAddress(views))
      return
    }
    views = command.settings.views
    allowed = allowList(command.settings.allowFrom)
    view = unsharedIn(unshared, viewsByAddress(views))
    queryRate.perSecond = command.settings.clientQueriesPerS
    timeoutMs = command.settings.timeoutMs
    prefetch = command.settings.prefetch
    prefetcher.forget()
    cache.clear()
    counts.size(cache)
    // A worker that was restarted between `open` and this command does not know the new endpoints.
    await sockets.open(command.settings.endpoints)
    await sockets.keepOnly(command.settings.endpoints)
  }
  const done = () => report({ type: 'done' })
  const refused = (error: unknown) => {
    const { code, message } = asEnigmError(error)
    report({ type: 'done', refused: { code, message } })
  }

  let busy = sockets.open(init.settings.endpoints).then(done, refused)
  port.on('message', (message: Uint8Array | Command) => {
    if (message instanceof Uint8Array) {
      missClient.settle(message)
      counts.size(cache)
      return
    }
    busy = busy.then(() => carryOut(message)).then(done, refused)
    if (message.type === 'stop') void busy.then(() => port.close())
  })
}

/** Maximum number of traced questions in one message. */
const MOST_TRACED = 1024

/** Reports traced questions, all of one turn of the event loop in one message. */
function batchTraced(report: (message: WorkerReport) => void): (traced: Traced) => void {
  let traced: Traced[] = []
  let missed = 0
  const flush = () => {
    report({ type: 'traced', traced, missed })
    traced = []
    missed = 0
  }
  return (one) => {
    if (traced.length === 0) setImmediate(flush)
    if (traced.length < MOST_TRACED) traced.push(one)
    else missed++
  }
}

if (parentPort !== null) work(parentPort, workerData as WorkerInit)
