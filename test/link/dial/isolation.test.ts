import t from 'tap'
import { systemRandom } from '../../../src/clock.ts'
import { createAuthority } from '../../../src/demo/authority.ts'
import { Isolation } from '../../../src/link/dial/hops.ts'
import { startDot } from '../../support/dot-server.ts'
import { NAME } from '../../support/link-rig.ts'
import { startProxy } from '../../support/proxies.ts'
import { addressRecord, replyTo } from '../../support/replies.ts'
import { trustedRig } from '../../support/trusted-rig.ts'

const authority = await createAuthority()
const identity = await authority.issue({ name: NAME })

t.test('each operator has credentials of its own at each proxy, which renew replaces', async (t) => {
  const isolation = new Isolation(systemRandom)
  const a = isolation.loginOf('tor', 'A')
  t.strictSame(isolation.loginOf('tor', 'A'), a)
  t.strictSame(isolation.loginOf('tor', ' a '), a, 'names of operators are compared without case and spaces')
  const all = [a, isolation.loginOf('tor', 'B'), isolation.loginOf('other', 'A')]
  isolation.renew()
  all.push(isolation.loginOf('tor', 'A'), isolation.loginOf('tor', 'B'))
  t.equal(new Set(all.flatMap(({ username, password }) => [username, password])).size, 10)
  for (const { username, password } of all) {
    t.match(username, /^[0-9a-f]{32}$/, 'no word by which this program can be told')
    t.match(password, /^[0-9a-f]{32}$/)
  }
})

t.test('two resolvers of one operator share credentials, two operators do not, and no two networks', async (t) => {
  const proxy = await startProxy({ kind: 'socks5', anyLogin: true })
  const servers = await Promise.all([1, 2, 3].map(() => startDot({ identity, answer: (q) => replyTo(q, [addressRecord()]) })))
  t.teardown(() => Promise.all([proxy.close(), ...servers.map((server) => server.close())]))
  const operators = ['A', 'A', 'B']
  const resolvers = servers.map(({ port }, i) => ({
    id: `r${i}`,
    operator: operators[i],
    authenticationDomainName: NAME,
    addresses: ['127.0.0.1'],
    transports: { dot: { port } },
    caFile: 'ca.pem',
  }))
  const config = { proxies: { tor: { type: 'socks5', address: `127.0.0.1:${proxy.port}`, isolate: 'operator' } }, via: ['tor'] }
  /** The user name with which each resolver was dialled since. */
  const namesSince = (from: number) =>
    servers.map(({ port }) => new Set(proxy.requests.slice(from).flatMap((r) => (r.port === port ? [r.login?.username] : []))))
  const rigs = await Promise.all(resolvers.map((resolver) => trustedRig(t, { resolvers: [resolver], ca: authority.certificate, config })))
  for (const rig of rigs) t.equal(await rig.ask('www.example'), 'answered')
  t.strictSame(
    namesSince(0).map(({ size }) => size),
    [1, 1, 1],
  )

  const together = await trustedRig(t, { resolvers, ca: authority.certificate, config })
  let from = proxy.requests.length
  const dialAll = async () => {
    // Every resolver is dialled: those before it are down.
    for (const down of servers.keys()) {
      for (let i = 0; i < 3; i++) await together.ask(`n${down}${i}.example`, 1500)
    }
  }
  await dialAll()
  const [before] = namesSince(from)
  from = proxy.requests.length
  together.trusted.react('network', true)
  t.equal(await together.ask('other.example'), 'answered')
  const [after] = namesSince(from)
  for (const name of before ?? []) t.notOk(after?.has(name), 'the new network is not joined to the old one')
})
