// What a route costs: CPU of the daemon and latency of a miss, directly and over each kind of
// proxy, one after the other in each round; then Oblivious DoH and DNSCrypt with the programs of
// others, if they are installed. `npm run bench:routes`
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { query } from '../../test/support/messages.ts'
import { startDaemon } from '../../test/support/real/daemon.ts'
import { rcodeOf, udpClient } from '../../test/support/real/dns-client.ts'
import { type ProxyProgram, type RealProxy, startRealProxy } from '../../test/support/real/real-proxies.ts'
import { cleanUpOnExit } from '../children.ts'
import { costOf } from '../load/process-cost.ts'
import { startUpstream, type Upstream } from '../upstream/upstream.ts'
import { encryptedDns, type Offered, throughRelay } from './programs.ts'

const MISSES = Number(process.env.MISSES ?? 5000)
const ROUNDS = Number(process.env.ROUNDS ?? 3)
/**
 * The same for every route: at full speed a proxy that holds packets back (Nagle's algorithm) would
 * leave its daemon less to do in one turn, and each query would cost more for that reason alone.
 */
const PER_S = 500
const WARM = 1000

interface Figure {
  readonly cpuUs: number
  readonly p50Ms: number
}

/** The upstream itself over a route. */
function ofUpstream(upstream: Upstream, over: 'dot' | 'doh', proxy: RealProxy | undefined): Omit<Offered, 'name' | 'stop'> {
  const transports = over === 'dot' ? { dot: { port: upstream.dotPort } } : { doh: { port: upstream.dohPort } }
  const resolver = { id: 'bench', authenticationDomainName: upstream.name, addresses: ['127.0.0.1'], transports, caFile: 'ca.pem' }
  const via = proxy === undefined ? {} : { proxies: { mine: { type: proxy.type, address: `127.0.0.1:${proxy.port}` } }, via: ['mine'] }
  return { set: { resolvers: [resolver] }, config: via }
}

async function measure({ set, config }: Omit<Offered, 'name' | 'stop'>): Promise<Figure> {
  const daemon = await startDaemon({ ...set, ca: readFileSync(upstream.caFile, 'utf8'), config: { ...config, udp: 'dgram' } })
  const client = await udpClient(daemon.port)
  const tookMs: number[] = []
  let asked = 0
  const ask = async () => {
    const began = performance.now()
    const reply = await client.ask(query({ name: `n${asked++}.bench.example`, opt: {} }))
    if (rcodeOf(reply) !== 0) throw new Error(`rcode ${rcodeOf(reply)}: ${daemon.log().slice(-500)}`)
    tookMs.push(performance.now() - began)
  }
  const all = async (count: number) => {
    const pending: Promise<void>[] = []
    const began = performance.now()
    for (let i = 0; i < count; i++) {
      const earlyMs = (i * 1000) / PER_S - (performance.now() - began)
      if (earlyMs > 1) await sleep(earlyMs)
      pending.push(ask())
    }
    await Promise.all(pending)
  }
  await all(WARM)
  tookMs.length = 0
  const before = costOf(daemon.pid).cpuNs
  await all(MISSES)
  const cpuUs = (costOf(daemon.pid).cpuNs - before) / 1000 / MISSES
  client.close()
  await daemon.stop()
  tookMs.sort((a, b) => a - b)
  return { cpuUs, p50Ms: tookMs[tookMs.length >> 1] ?? Number.NaN }
}

cleanUpOnExit()
const upstream = await startUpstream()
const identity = { key: '', cert: '' }
const proxies = await Promise.all(
  (['microsocks', 'tinyproxy', 'squid'] satisfies ProxyProgram[]).map((tool) => startRealProxy(tool, identity)),
)
const routes: readonly (readonly [string, RealProxy | undefined])[] = [
  ['direct', undefined],
  ...proxies.map((proxy) => [`${proxy.type} (${proxy.kind})`, proxy] as const),
]
const median = (values: readonly number[]) => values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN

console.log(`${MISSES} misses, ${ROUNDS} rounds, ${PER_S} a second, upstream ${upstream.kind}; medians`)
for (const over of ['dot', 'doh'] as const) {
  const figures = new Map<string, Figure[]>(routes.map(([name]) => [name, []]))
  for (let round = 0; round < ROUNDS; round++)
    for (const [name, proxy] of routes) figures.get(name)?.push(await measure(ofUpstream(upstream, over, proxy)))
  const directUs = median((figures.get('direct') ?? []).map(({ cpuUs }) => cpuUs))
  for (const [name, found] of figures) {
    const cpuUs = median(found.map((figure) => figure.cpuUs))
    const p50Ms = median(found.map((figure) => figure.p50Ms))
    console.log(
      `${over} ${name.padEnd(28)} ${cpuUs.toFixed(1)} us CPU (${(cpuUs / directUs).toFixed(2)} x direct), p50 ${p50Ms.toFixed(2)} ms`,
    )
  }
}
for (const begin of [throughRelay, encryptedDns]) {
  const offered = await begin(upstream)
  if (typeof offered === 'string') {
    console.log(offered)
    continue
  }
  const found: Figure[] = []
  for (let round = 0; round < ROUNDS; round++) found.push(await measure(offered))
  await offered.stop()
  const [cpuUs, p50Ms] = [median(found.map((figure) => figure.cpuUs)), median(found.map((figure) => figure.p50Ms))]
  console.log(`${offered.name.padEnd(32)} ${cpuUs.toFixed(1)} us CPU, p50 ${p50Ms.toFixed(2)} ms`)
}
await Promise.all(proxies.map((proxy) => proxy.stop()))
process.exit(0)
