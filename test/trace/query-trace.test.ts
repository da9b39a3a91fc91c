import t from 'tap'
import { nameFromText } from '../../src/dns/name.ts'
import type { Event } from '../../src/events.ts'
import { LONGEST_TRACE_MS, QueryTrace } from '../../src/trace/query-trace.ts'
import { FakeClock } from '../support/fake-clock.ts'

const question = (name: string, type: number) => ({ lower: Uint8Array.from([...nameFromText(name), 0, type, 0, 1]), type, class: 1 })
const turn = () => new Promise((resolve) => setImmediate(resolve))

function scene() {
  const clock = new FakeClock()
  const events: Event[] = []
  const trace = new QueryTrace(clock, (event) => void events.push(event))
  /** A watcher; `full` makes it take what it is given and ask for no more. */
  const watcher = () => {
    const w = {
      lines: [] as Record<string, unknown>[],
      full: false,
      ended: false,
      send(lines: readonly object[]) {
        w.lines.push(...(lines as Record<string, unknown>[]))
        return !w.full
      },
      end() {
        w.ended = true
      },
    }
    return w
  }
  const ask = (name = 'a.example') =>
    trace.tracer.note(question(name, 28), { upstream: 'one', transport: 'dot' }, 0, undefined, clock.nowMs() - 7)
  return { clock, events, trace, watcher, ask }
}

t.test('off until there is a watcher; announced before the first line; off again after its time', async (t) => {
  const { clock, events, trace, watcher, ask } = scene()
  t.equal(trace.tracer.on, false)
  const w = watcher()
  trace.begin(60_000, w)
  t.equal(trace.tracer.on, true)
  t.strictSame(events, [{ type: 'trace', untilWallMs: clock.wallMs() + 60_000 }])
  ask()
  trace.tracer.note(question('b.example', 1), 'deadline', 2, { code: 22, text: 'deadline' }, clock.nowMs())
  await turn()
  const at = new Date(clock.wallMs()).toISOString()
  t.strictSame(w.lines, [
    { trace: 'on', until: new Date(clock.wallMs() + 60_000).toISOString() },
    { at, name: 'a.example.', type: 'AAAA', outcome: 'one/dot', rcode: 'NOERROR', ms: 7 },
    { at, name: 'b.example.', type: 'A', outcome: 'deadline', rcode: 'SERVFAIL', ede: 22, ms: 0 },
  ])
  await clock.advance(60_000)
  t.equal(trace.tracer.on, false)
  t.strictSame(w.lines.at(-1), { trace: 'off', why: 'time' })
  t.ok(w.ended)
  t.strictSame(events.at(-1), { type: 'trace', untilWallMs: undefined })
  const told = w.lines.length
  ask()
  await turn()
  t.equal(w.lines.length, told, 'what comes late is not told')
})

t.test('one at a time, and none longer than an hour', async (t) => {
  const { clock, events, trace, watcher } = scene()
  const [first, second] = [watcher(), watcher()]
  trace.begin(100 * LONGEST_TRACE_MS, first)
  trace.begin(1000, second).gone()
  t.strictSame(second.lines, [{ error: 'a trace is on already' }])
  t.ok(second.ended)
  t.notOk(first.ended, 'the first one goes on, though the second hung up')
  t.equal(events.length, 1)
  await clock.advance(LONGEST_TRACE_MS)
  t.ok(first.ended)
})

t.test(
  'off when the watcher disconnects, when the service takes another configuration, and after a sleep that no timer noticed',
  async (t) => {
    const { clock, trace, watcher, ask } = scene()
    trace.begin(60_000, watcher()).gone()
    t.equal(trace.tracer.on, false)
    const w = watcher()
    trace.begin(60_000, w)
    trace.end('reload')
    t.strictSame(w.lines.at(-1), { trace: 'off', why: 'reload' })
    trace.end('stop')
    t.equal(w.lines.length, 2, 'it ends once')
    const asleep = watcher()
    trace.begin(60_000, asleep)
    clock.suspend(61_000)
    ask()
    t.strictSame(asleep.lines.at(-1), { trace: 'off', why: 'time' })
  },
)

t.test('a slow terminal costs a bounded ring, and gets the number of lost lines', async (t) => {
  const { trace, watcher, ask } = scene()
  const w = watcher()
  w.full = true
  const receiver = trace.begin(60_000, w)
  for (let i = 0; i < 3000; i++) ask(`n${i}.example`)
  await turn()
  t.equal(w.lines.length, 1, 'nothing is sent to a full socket')
  trace.take([], 5)
  w.full = false
  receiver.drained()
  t.strictSame(w.lines[1], { missed: 3000 - 1024 + 5 })
  t.equal(w.lines[2]?.name, 'n1976.example.', 'the newest are kept')
  t.equal(w.lines.length, 2 + 1024)
  ask('after.example')
  await turn()
  t.equal(w.lines.at(-1)?.name, 'after.example.', 'and it goes on')
})
