import { execFileSync } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { systemClock } from '../../src/clock.ts'
import { watchNetwork } from '../../src/system/network-monitor.ts'
import { readNetwork } from '../../src/system/network-view.ts'
import { insideNamespace } from '../support/real/namespace.ts'

const ip = (command: string) => execFileSync('ip', command.split(' '))

if (insideNamespace(t, import.meta.url)) {
  t.test('another address, another route, no route: each is another network; changes of containers are none', async (t) => {
    ip('link add out0 type veth peer name peer0')
    ip('link set peer0 up')
    const views = [readNetwork()]
    const after = (...commands: readonly string[]) => {
      for (const command of commands) ip(command)
      views.push(readNetwork())
      return views.at(-2)?.text !== views.at(-1)?.text
    }
    t.notOk(views[0]?.online)
    t.ok(after('link set out0 up', 'addr add 192.0.2.10/24 dev out0'))
    t.notOk(views.at(-1)?.online)
    t.ok(after('route add default via 192.0.2.1 dev out0'))
    t.ok(views.at(-1)?.online)
    t.ok(after('route replace default via 192.0.2.254 dev out0'), 'another gateway')
    t.notOk(after('route add 198.51.100.0/24 via 192.0.2.1 dev out0'), 'a route to somewhere')
    t.ok(after('addr add 192.0.2.11/24 dev out0'))
    t.ok(after('addr del 192.0.2.11/24 dev out0'))
    t.equal(views.at(-1)?.text, views.at(-3)?.text)
    t.ok(after('-6 addr add 2001:db8:0:1::1/64 dev out0 nodad'))
    t.notOk(after('-6 addr add 2001:db8:0:1::abcd/64 dev out0 nodad'), 'a privacy address of the same network')
    t.ok(after('-6 addr add 2001:db8:0:2::1/64 dev out0 nodad'), 'another prefix')
    t.ok(after('-6 route add default via 2001:db8:0:2::fe dev out0'))
    t.ok(after('link set out0 down'))
    t.notOk(views.at(-1)?.online)
    t.end()
  })

  t.test('the kernel reports it, until it is stopped', async (t) => {
    ip('link set out0 up')
    const clock = systemClock()
    const told: number[] = []
    const watch = watchNetwork({ clock, changed: () => void told.push(performance.now()) })
    t.equal(watch.how, 'kernel')
    await sleep(200)
    const times: number[] = []
    for (let i = 0; i < 5; i++) {
      told.length = 0
      const began = performance.now()
      ip(`addr add 203.0.113.${i + 1}/32 dev out0`)
      while (told.length === 0 && performance.now() - began < 5000) await sleep(1)
      times.push((told[0] ?? Number.NaN) - began)
      await sleep(900)
    }
    times.sort((a, b) => a - b)
    t.comment(`told after ${times[0]?.toFixed(1)} to ${times.at(-1)?.toFixed(1)} ms, the running of ip included`)
    t.ok((times[2] ?? Number.NaN) < 500)
    watch.stop()
    const before = told.length
    ip('addr add 203.0.113.99/32 dev out0')
    await sleep(100)
    t.equal(told.length, before)
  })

  t.test('a check is cheap', async (t) => {
    const began = performance.now()
    for (let i = 0; i < 200; i++) readNetwork()
    const each = (performance.now() - began) / 200
    t.comment(`${each.toFixed(3)} ms a look`)
    t.ok(each < 10)
  })
}
