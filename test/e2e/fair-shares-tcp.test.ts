// As fair-shares.test.ts, over TCP: connections, and questions on each, are shared out among
// clients too.
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { askTcp, askUdp, FILL_MS, floodTcp, others, stage, unharmed } from '../support/real/crowd.ts'
import { insideNamespace } from '../support/real/namespace.ts'

const address = '127.0.0.1'
if (insideNamespace(t, import.meta.url)) {
  t.test('all connections that one client may have, with a hundred questions on each', async (t) => {
    const s = await stage(t)
    await others(t, { port: s.port, address }, '127.0.0.9')
    await floodTcp(t, s.port, '127.0.0.2', 64, 100, 1500)
    await sleep(FILL_MS)
    unharmed(t, await askTcp(s.port, '127.0.0.3'))
    unharmed(t, await askUdp({ port: s.port, address }, '127.0.0.3', 5))
  })
  t.test('all connections, held by five addresses, with questions on each', async (t) => {
    const s = await stage(t)
    await others(t, { port: s.port, address }, '127.0.0.9')
    for (const from of ['127.0.0.2', '127.0.0.4', '127.0.0.5', '127.0.0.6', '127.0.0.7']) await floodTcp(t, s.port, from, 64, 20, 200)
    await sleep(FILL_MS)
    unharmed(t, await askTcp(s.port, '127.0.0.3'))
    unharmed(t, await askUdp({ port: s.port, address }, '127.0.0.3', 5))
  })
  t.test('silent connections', async (t) => {
    const s = await stage(t)
    const silent = [2, 4, 5, 6, 7].flatMap((host) =>
      Array.from({ length: 60 }, () => connect({ port: s.port, host: address, localAddress: `127.0.0.${host}` }).on('error', () => {})),
    )
    t.teardown(() => {
      for (const socket of silent) socket.destroy()
    })
    await sleep(500)
    unharmed(t, await askTcp(s.port, '127.0.0.3'))
  })
}
