// As fair-shares.test.ts: many addresses of one prefix, and resolvers that take few questions at a
// time.
import { execFileSync } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { askUdp, FILL_MS, floodUdp, others, stage, unharmed } from '../support/real/crowd.ts'
import { insideNamespace } from '../support/real/namespace.ts'

const address = '127.0.0.1'
const PREFIX = Array.from({ length: 100 }, (_, i) => `fd00:a::${(i + 1).toString(16)}`)
if (insideNamespace(t, import.meta.url)) {
  for (const one of [...PREFIX, 'fd00:b::1', 'fd00:c::1']) execFileSync('ip', ['addr', 'add', `${one}/128`, 'dev', 'lo', 'nodad'])

  t.test('a hundred addresses of one /64', async (t) => {
    const s = await stage(t, { listen: '[fd00:b::1]:5300' })
    const to = { port: 5300, address: 'fd00:b::1' }
    await others(t, to, 'fd00:c::1')
    // 200 a second is what one client may have over UDP; the rest of what it may hold waits.
    await floodUdp(t, to, PREFIX, 2000)
    await sleep(FILL_MS)
    unharmed(t, await askUdp(to, 'fd00:b::1'))
    t.ok(s.asked() < 2500, `${s.asked()} of 7,000 were asked`)
  })
  t.test('a client of this host, and one of another', async (t) => {
    await stage(t, { listen: '[::1]:5300' })
    const to = { port: 5300, address: '::1' }
    await floodUdp(t, to, ['::1'], 2000, 50)
    await others(t, to, 'fd00:c::1')
    await sleep(FILL_MS)
    unharmed(t, await askUdp(to, 'fd00:b::1'))
  })
  t.test(`over DoH to a resolver that accepts a hundred requests at once`, async (t) => {
    const s = await stage(t, { over: 'doh', streams: 100 })
    await others(t, { port: s.port, address }, '127.0.0.9')
    await floodUdp(t, { port: s.port, address }, ['127.0.0.2'], 1000)
    await sleep(FILL_MS)
    unharmed(t, await askUdp({ port: s.port, address }, '127.0.0.3'))
  })
}
