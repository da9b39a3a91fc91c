import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import type { ProxyKind } from '../../src/route.ts'
import { type ScriptedProxy, startProxy } from '../support/proxies.ts'
import { at, daemonWith, farResolver, identity, RESOLVER, until } from '../support/proxy-scene.ts'
import { startCapture } from '../support/real/capture.ts'
import { cli, RESOLVER_NAME } from '../support/real/daemon.ts'
import { startRealProxy } from '../support/real/real-proxies.ts'
import { requireTool } from '../support/real/tools.ts'

t.setTimeout(150_000)
/** From where the proxy of the capture sends. */
const FROM = '127.0.0.8'

t.test('no packet of this host goes to a resolver behind a hop, whatever happens to the hop', async (t) => {
  if (!requireTool(t, 'tcpdump', 'tshark', 'microsocks')) return
  const { entry } = await farResolver(t)
  const proxy = await startRealProxy('microsocks', identity, undefined, ['-b', FROM])
  t.teardown(() => proxy.stop())
  const capture = await startCapture(`host ${RESOLVER}`)
  t.teardown(() => capture.remove())
  const { ask, daemon } = await daemonWith(t, {
    resolvers: [entry('dot'), entry('doh')],
    config: { proxies: { mine: { type: 'socks5', address: at(proxy) } }, via: ['mine'], policy: { vpn: 'preferred' } },
  })
  t.match(await ask(), { rcode: 0 })
  await proxy.kill()
  for (let i = 0; i < 10; i++) await ask()
  await proxy.restart()
  t.ok(await until(async () => (await ask()).rcode === 0))
  const checked = await cli('check', '--config', `${daemon.dir}/config.json`)
  t.match(checked.stdout, /2 of 2 connections to a resolver work/)
  await capture.stop()
  t.equal(capture.count(`ip.addr == ${RESOLVER} && !(ip.addr == ${FROM})`), 0)
  t.ok(capture.count(`ip.addr == ${RESOLVER} && ip.addr == ${FROM}`) > 10, 'the proxy reached it')
})

for (const kind of ['socks5', 'http-connect'] as const satisfies readonly ProxyKind[]) {
  t.test(`always-on over ${kind}: each segment to the first hop has one size`, async (t) => {
    if (!requireTool(t, 'tcpdump', 'tshark')) return
    const { entry } = await farResolver(t)
    for (const tls of [false, true]) {
      const proxy: ScriptedProxy = await startProxy({ kind, ...(tls ? { tls: identity } : {}) })
      t.teardown(() => proxy.close())
      const capture = await startCapture(`tcp port ${proxy.port}`)
      t.teardown(() => capture.remove())
      const { ask, daemon } = await daemonWith(t, {
        resolvers: [entry('dot')],
        config: {
          shaping: { profile: 'always-on' },
          proxies: {
            mine: {
              ...{ type: kind, address: at(proxy) },
              ...(tls ? { tls: { authenticationDomainName: RESOLVER_NAME, caFile: 'ca.pem' } } : {}),
            },
          },
          via: ['mine'],
        },
      })
      await sleep(1000)
      for (let i = 0; i < 3; i++) t.match(await ask(), { rcode: 0 })
      await sleep(1500)
      await capture.stop()
      await daemon.stop()
      const sizes = capture.sizes(proxy.port)
      // The last one may be the end of TLS.
      const cells = sizes.slice(tls ? 6 : 5, -2)
      t.ok(cells.length >= 8, `${cells.length} segments`)
      t.equal(new Set(cells).size, 1, `TLS to the proxy ${tls}: ${sizes.join(' ')}`)
    }
  })
}
