import t from 'tap'
import * as v from 'valibot'
import { systemRandom } from '../src/clock.ts'
import { policySchema } from '../src/config/policy.ts'
import type { Event } from '../src/events.ts'
import { createHostChecks, type HostChecksSetup, type SystemView } from '../src/host-checks.ts'
import { SelfCanary } from '../src/local-names/self-canary.ts'
import { FakeClock } from './support/fake-clock.ts'

function rig(policy: object | undefined, more: Partial<SystemView> = {}) {
  const clock = new FakeClock()
  const events: Event[] = []
  const asked: string[] = []
  const seen = { stays: true, asks: 'us' as const, gateway: '10.0.0.1' }
  const system: SystemView = {
    egress: async (addresses) => ({ vpn: addresses.length, other: 0, unknown: 0, unreachable: 0 }),
    network: () => ({ known: true, id: seen.gateway, matches: ({ gateway }) => gateway === seen.gateway }),
    resolver: () => ({ asks: seen.asks, by: 'resolv.conf', stays: seen.stays }),
    ask: async (name) => void asked.push(name),
    bypass: async () => ({ flows: 0, through: ['sockets'] }),
    ...more,
  }
  const setup: HostChecksSetup = {
    policy: policy === undefined ? undefined : v.parse(policySchema, policy),
    addresses: ['192.0.2.1', '192.0.2.2'],
    listeners: [],
  }
  const checks = createHostChecks({
    clock,
    random: systemRandom,
    emit: (e) => void events.push(e),
    canary: new SelfCanary(),
    setup,
    system,
  })
  const take = () => events.splice(0).map((e) => e.type)
  return { clock, events, asked, seen, checks, take, setup, system }
}

t.test('without a policy only cheap checks are made', async (t) => {
  const { checks, take } = rig(undefined)
  await checks.check()
  await new Promise(setImmediate)
  t.same(take(), ['seen.network', 'seen.system', 'seen.bypass', 'seen.canary'])
})

t.test('the canary is sent only if it stays on this host, again after five minutes or after a change', async (t) => {
  const { checks, asked, seen, events, clock } = rig(undefined)
  await checks.check()
  await checks.check()
  t.equal(asked.length, 1)
  await clock.advance(300_000)
  await checks.check()
  t.equal(asked.length, 2)
  seen.gateway = '10.0.0.2'
  await checks.check()
  t.equal(asked.length, 3)
  t.equal(new Set(asked).size, 3, 'another name each time')
  seen.stays = false
  seen.gateway = '10.0.0.3'
  events.length = 0
  await checks.check()
  t.equal(asked.length, 3, 'nothing leaves')
  t.match(
    events.find((e) => e.type === 'seen.canary'),
    { outcome: 'not-sent' },
  )
})

t.test('while the DNS of the system is taken over, the canary is sent whatever other servers its files name', async (t) => {
  const { checks, asked, seen, events } = rig(undefined)
  seen.stays = false
  await checks.check()
  t.equal(asked.length, 0)
  checks.takenOver(true)
  await checks.check()
  t.equal(asked.length, 1)
  checks.takenOver(false)
  events.length = 0
  await checks.check()
  t.equal(asked.length, 1)
  t.match(
    events.find((e) => e.type === 'seen.canary'),
    { outcome: 'not-sent' },
  )
})

t.test('a proof sends a new test query however recent the last one is, and ends when its result is reported', async (t) => {
  const seen = { arrived: false }
  class Canary extends SelfCanary {
    override get arrived() {
      return seen.arrived
    }
  }
  const canary = new Canary()
  const answers: (() => void)[] = []
  const events: Event[] = []
  const clock = new FakeClock()
  const { setup, system } = rig(undefined, { ask: () => new Promise((resolve) => void answers.push(resolve)) })
  const checks = createHostChecks({ clock, random: systemRandom, emit: (e) => void events.push(e), canary, setup, system })
  const outcomes = () => events.flatMap((e) => (e.type === 'seen.canary' ? [e.outcome] : []))
  await checks.check()
  seen.arrived = true
  const proof = checks.prove()
  await turn()
  t.equal(answers.length, 2, 'the first query is not awaited')
  t.strictSame(outcomes(), [])
  answers[0]?.()
  await turn()
  t.strictSame(outcomes(), [], 'the end of an older query says nothing about the newer one')
  answers[1]?.()
  await proof
  t.strictSame(outcomes(), ['returned'])
  const silent = checks.prove()
  await turn()
  await clock.advance(2500)
  await silent
  t.equal(answers.length, 3, 'an answer that does not come is awaited for 2.5 s only')
})

const ALL_VPN = { vpn: 2, other: 0, unknown: 0, unreachable: 0 }
/** Looks at the ways to the resolvers that end when told, in the order in which they began. */
function heldLooks() {
  const held: (() => void)[] = []
  const asked: (readonly string[])[] = []
  return {
    held,
    asked,
    egress: (addresses: readonly string[]) =>
      new Promise<typeof ALL_VPN>((resolve) => {
        asked.push(addresses)
        held.push(() => resolve(ALL_VPN))
      }),
  }
}
const turn = () => new Promise(setImmediate)

t.test('network change: the result of a check in progress is dropped, and a new check is made', async (t) => {
  const looks = heldLooks()
  const { checks, take, seen, events } = rig({ vpn: 'required', networks: [{ name: 'office', match: { gateway: '10.0.0.1' } }] }, looks)
  const first = checks.check()
  seen.gateway = '10.9.9.9'
  const second = checks.networkChanged()
  looks.held.shift()?.()
  await turn()
  t.same(take(), [], 'it began on the last network')
  looks.held.shift()?.()
  await Promise.all([first, second])
  t.match(events[0], { type: 'seen.network', named: undefined })
  t.match(events[1], { type: 'seen.vpn', vpn: 2 })
})

t.test('new setup: the same; the check uses the new setup', async (t) => {
  const looks = heldLooks()
  const { checks, take, setup } = rig({ vpn: 'required' }, looks)
  const first = checks.check()
  checks.adopt({ ...setup, addresses: ['192.0.2.3'] })
  checks.adopt({ ...setup, addresses: ['192.0.2.4'] })
  const second = checks.check()
  looks.held.shift()?.()
  await turn()
  t.same(take(), [], 'made for another setup')
  looks.held.shift()?.()
  await Promise.all([first, second])
  t.ok(take().includes('seen.vpn'))
  t.same(looks.asked.at(-1), ['192.0.2.4'])
  t.equal(looks.asked.length, 2, 'one look for two changes')
})

t.test('one check at a time; a change during one causes another; a fault is reported and ends nothing', async (t) => {
  let looks = 0
  let fail = false
  const { checks, take } = rig(
    { vpn: 'required' },
    {
      egress: async () => {
        looks++
        if (fail) throw new Error('x')
        await new Promise(setImmediate)
        return { vpn: 1, other: 0, unknown: 0, unreachable: 0 }
      },
    },
  )
  await Promise.all([checks.check(), checks.check(), checks.check()])
  t.equal(looks, 2)
  take()
  fail = true
  await checks.check()
  t.match(
    take().slice(0, 3),
    ['fault', 'seen.network', 'seen.vpn'],
    'what cannot be looked at is told as unknown, so that no earlier look stands',
  )
  fail = false
  checks.stop()
  await checks.check()
  t.same(take(), [], 'nothing is told after the stop')
})
