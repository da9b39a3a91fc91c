import type { Event } from '../../src/events.ts'
import type { DialTools } from '../../src/link/dial/dialler.ts'
import { OnDemandLink } from '../../src/link/on-demand.ts'
import { FakeClock, seededRandom } from './fake-clock.ts'
import { fakeTarget } from './fake-target.ts'
import { codeOf } from './link-rig.ts'
import { exchange } from './links.ts'
import { query } from './messages.ts'
import { freePace } from './rules.ts'

/** A link over fake connections. */
export function scene(more: Partial<Pick<DialTools, 'beforeDial' | 'dialPace'>> = {}) {
  const clock = new FakeClock()
  const events: Event[] = []
  const fake = fakeTarget(clock)
  const link = new OnDemandLink(fake.target, {
    clock,
    dialPace: freePace(clock),
    random: seededRandom(1),
    emit: (event) => void events.push(event),
    ...more,
  })
  const ask = (ms = 4000, givesWay = false) =>
    codeOf(exchange(link, query(), { purpose: 'client', deadlineMs: clock.nowMs() + ms, ...(givesWay && { givesWay }) }))
  const dial = (n: number) => {
    const found = fake.dials[n]
    if (found === undefined) throw new Error(`no dial ${n}`)
    return found
  }
  return { clock, events, link, ask, dial, ...fake }
}

/** A link that is up and has answered once. */
export async function upScene() {
  const it = scene()
  const first = it.ask()
  const carrier = await it.dial(0).up()
  carrier.answer()
  await first
  return { ...it, carrier }
}
