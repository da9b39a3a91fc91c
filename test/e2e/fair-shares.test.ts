// One client that asks what nobody answers, and another one that must not notice: over UDP, with
// one thread and with two, from many ports and many addresses.
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { askTcp, askUdp, FILL_MS, floodUdp, others, stage, unharmed } from '../support/real/crowd.ts'
import { insideNamespace } from '../support/real/namespace.ts'

const address = '127.0.0.1'
if (insideNamespace(t, import.meta.url)) {
  for (const workers of [1, 2]) {
    t.test(`UDP, many ports of one address, workers ${workers}`, async (t) => {
      const s = await stage(t, { config: { workers } })
      await others(t, { port: s.port, address }, '127.0.0.9')
      await floodUdp(t, { port: s.port, address }, ['127.0.0.2'], 2000, 50)
      await sleep(FILL_MS)
      unharmed(t, await askUdp({ port: s.port, address }, '127.0.0.3'))
      unharmed(t, await askTcp(s.port, '127.0.0.3', 5))
      await sleep(1100)
      t.ok(s.counts().overloaded > 0, 'what was turned away is in the status')
    })
  }
  t.test('five addresses at once', async (t) => {
    const s = await stage(t)
    await others(t, { port: s.port, address }, '127.0.0.9')
    const five = ['127.0.0.2', '127.0.0.4', '127.0.0.5', '127.0.0.6', '127.0.0.7']
    await floodUdp(t, { port: s.port, address }, five, 2000)
    await sleep(FILL_MS)
    unharmed(t, await askUdp({ port: s.port, address }, '127.0.0.3'))
  })
}
