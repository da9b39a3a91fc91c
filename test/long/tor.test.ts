import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { startDot } from '../support/dot-server.ts'
import { at, daemonWith, identity, until } from '../support/proxy-scene.ts'
import { cli, RESOLVER_NAME } from '../support/real/daemon.ts'
import { requireTool } from '../support/real/tools.ts'
import { startTorNet } from '../support/real/tor-net.ts'
import { addressRecord, replyTo } from '../support/replies.ts'

t.setTimeout(480_000)

t.test('over a private Tor network: a circuit for each operator and network, and an onion service', async (t) => {
  if (!requireTool(t, 'tor')) return
  const answer = (q: Uint8Array) => replyTo(q, [addressRecord()])
  const servers = await Promise.all([1, 2].map(() => startDot({ identity, answer })))
  const hidden = await startDot({ identity, answer })
  const tor = await startTorNet(hidden.port)
  t.teardown(() => {
    tor.stop()
    return Promise.all([hidden, ...servers].map((server) => server.close()))
  })
  const proxies = { tor: { type: 'socks5', address: at({ port: tor.socksPort }), isolate: 'operator' } }
  const entry = (id: string, port: number, more: object = {}) => ({
    ...{ id, operator: id, authenticationDomainName: RESOLVER_NAME, addresses: ['127.0.0.1'], caFile: 'ca.pem' },
    ...{ transports: { dot: { port } }, ...more },
  })
  const config = { proxies, via: ['tor'], timeoutMs: 5000 }
  const { daemon, ask } = await daemonWith(t, { resolvers: servers.map(({ port }, i) => entry(`r${i}`, port)), config })
  const answers = async () => (await ask()).rcode === 0
  /** The circuit to whichever resolver answers now. */
  const circuitInUse = async () => {
    const before = servers.map(({ counts }) => counts.queries)
    t.ok(await until(answers, 60_000))
    const used = servers.find(({ counts }, i) => counts.queries > (before[i] ?? 0))
    const circuit = (await tor.streams()).find(({ target }) => target.endsWith(`:${used?.port}`))?.circuit
    return { used, circuit }
  }
  const one = await circuitInUse()
  await one.used?.close()
  const other = await circuitInUse()
  t.not(other.used, one.used, 'the other operator answers')
  // To forget is what a change of networks does to the links: every connection and circuit is new.
  t.equal((await cli('forget', '--config', `${daemon.dir}/config.json`)).code, 0)
  const later = await circuitInUse()
  const circuits = [one, other, later].map(({ circuit }) => circuit)
  t.comment(`circuits: ${circuits.join(', ')}`)
  t.ok(circuits.every((circuit) => circuit !== undefined))
  t.equal(new Set(circuits).size, 3, 'three circuits for two operators and two networks')

  const onion = await daemonWith(t, { resolvers: [entry('onion', 853, { addresses: [tor.onion] })], config })
  t.ok(await until(async () => (await onion.ask()).rcode === 0, 120_000), 'the onion service answers, by its name in the certificate')
  t.ok(hidden.counts.handshakes > 0)
  const impostor = await daemonWith(t, {
    resolvers: [entry('onion', 853, { addresses: [tor.onion], authenticationDomainName: 'other.example' })],
    config,
  })
  let ede: string | undefined
  const refused = async () => {
    ede = (await impostor.ask()).ede?.text
    return ede === 'certificate-name'
  }
  t.ok(await until(refused, 60_000), `${ede}`)

  tor.stop()
  await sleep(200)
  t.match(await ask(), { rcode: 2 }, 'without Tor nothing is answered')
  t.ok(await until(async () => (await ask()).ede?.text === 'hop-unreachable: tor', 20_000))
})
