import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import type { ProxyKind } from '../../src/route.ts'
import { type ScriptedProxy, startProxy } from '../support/proxies.ts'
import { at, daemonWith, farResolver, identity, RESOLVER, until } from '../support/proxy-scene.ts'
import { type Segment, startCapture } from '../support/real/capture.ts'
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

/** Ways to the first hop; the octets by which a cell is larger there. */
const WAYS = ['direct', 'socks5', 'http-connect', 'http-connect over TLS'] as const
/** Cells of the opening of a session whose pace is compared, by their numbers: each part has one. */
const PARTS = { lite: [[5, 35]], balanced: [[5, 180] as const, [215, 300] as const], 'always-on': [[5, 35]] } as const

for (const [profile, parts] of Object.entries(PARTS)) {
  t.test(`${profile}: the cells to the first hop have the sizes and the times that they have without a proxy`, async (t) => {
    if (!requireTool(t, 'tcpdump', 'tshark')) return
    const { entry, dot } = await farResolver(t)
    const capture = await startCapture('tcp')
    t.teardown(() => capture.remove())
    const ways = await Promise.all(
      WAYS.map(async (way) => {
        const kind: ProxyKind = way === 'socks5' ? 'socks5' : 'http-connect'
        const hasTls = way === 'http-connect over TLS'
        const proxy = way === 'direct' ? undefined : await startProxy({ kind, ...(hasTls ? { tls: identity } : {}) })
        if (proxy !== undefined) t.teardown(() => proxy.close())
        const tls = hasTls ? { tls: { authenticationDomainName: RESOLVER_NAME, caFile: 'ca.pem' } } : {}
        const route = proxy === undefined ? {} : { proxies: { mine: { type: kind, address: at(proxy), ...tls } }, via: ['mine'] }
        // A resolver of its own for the direct way: the others' traffic to theirs must not count.
        const own = proxy === undefined ? entry('dot') : (await farResolver(t)).entry('dot')
        const { ask, daemon } = await daemonWith(t, { resolvers: [own], config: { shaping: { profile }, ...route } })
        return { way, ask, daemon, port: proxy?.port ?? dot.port }
      }),
    )
    await Promise.all(ways.map(({ ask }) => ask()))
    for (let i = 0; i < (profile === 'balanced' ? 8 : 4); i++) {
      await sleep(500)
      await Promise.all(ways.map(({ ask }) => ask()))
    }
    await capture.stop()
    const seen = ways.map(({ way, port }) => ({ way, ...cellsOf(capture.segments(port), parts) }))
    const [direct] = seen
    for (const { way, octets, others, pacesMs } of seen) {
      t.comment(`${way}: cells of ${octets} octets every ${pacesMs.map((ms) => ms.toFixed(1)).join(' and ')} ms, ${others} others`)
      t.equal(octets, (direct?.octets ?? 0) + (way === 'http-connect over TLS' ? 22 : 0), `${way}: one size, as on the direct way`)
      t.equal(others, 0, `${way}: nothing of another size between the cells`)
      for (const [i, ms] of pacesMs.entries()) {
        const wanted = direct?.pacesMs[i] ?? 0
        t.ok(Math.abs(ms - wanted) < Math.max(2, wanted * 0.15), `${way}: the pace, ${ms} ms where ${wanted} ms are usual`)
      }
    }
  })
}

/** The size of the cells, how many others are among them, and the median gap in each part. */
function cellsOf(segments: readonly Segment[], parts: readonly (readonly [from: number, to: number])[]) {
  const counts = new Map<number, number>()
  for (const { octets } of segments) counts.set(octets, (counts.get(octets) ?? 0) + 1)
  const [[octets] = [0]] = [...counts].sort(([, a], [, b]) => b - a)
  const first = segments.findIndex((segment) => segment.octets === octets)
  const cells = segments.slice(first)
  const pacesMs = parts.map(([from, to]) => {
    const gaps = cells.slice(from, to).map(({ atMs }, i) => atMs - (cells[from + i - 1]?.atMs ?? 0))
    return gaps.sort((a, b) => a - b)[Math.floor(gaps.length / 2)] ?? 0
  })
  return { octets, others: cells.filter((cell) => cell.octets !== octets).length, pacesMs }
}
