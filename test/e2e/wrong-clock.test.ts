// A clock that is wrong at boot and a login page look alike to a program whose names do not
// resolve. Status and extended error tell them apart, and the right time brings names back without
// a restart.
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { createAuthority } from '../../src/demo/authority.ts'
import { readOpt } from '../../src/dns/edns.ts'
import { startDot } from '../support/dot-server.ts'
import { clockShim } from '../support/faults/clock-shim.ts'
import { query } from '../support/messages.ts'
import { RESOLVER_NAME, startDaemon } from '../support/real/daemon.ts'
import { rcodeOf, udpClient } from '../support/real/dns-client.ts'
import { addressRecord, replyTo } from '../support/replies.ts'

const DAY_MS = 86_400_000
/** What a board without a battery shows. */
const WRONG_MS = -20 * 365 * DAY_MS

async function scene(t: Test, name: string, env: Readonly<Record<string, string>> = {}) {
  const authority = await createAuthority()
  const servers = await Promise.all(
    [0, 1].map(async () => startDot({ identity: await authority.issue({ name }), answer: (q) => replyTo(q, [addressRecord()]) })),
  )
  const resolvers = servers.map(({ port }, i) => ({
    ...{ id: `r${i}`, authenticationDomainName: RESOLVER_NAME, addresses: ['127.0.0.1'], caFile: 'ca.pem' },
    transports: { dot: { port } },
  }))
  const daemon = await startDaemon({ resolvers, ca: authority.certificate, env, config: { timeoutMs: 1500 } })
  const client = await udpClient(daemon.port)
  t.teardown(async () => {
    client.close()
    await daemon.stop()
    await Promise.all(servers.map((server) => server.close()))
  })
  const ask = async (name: string) => {
    const reply = await client.ask(query({ name, opt: {} }))
    return { rcode: rcodeOf(reply), ede: readOpt(reply)?.ede }
  }
  const reasons = () => daemon.status()?.signals.secureNameResolution?.reasons.map(({ code }) => code) ?? []
  /** Whether the status has the reason by its next heartbeats. */
  const told = async (code: string) => {
    for (const end = performance.now() + 4000; performance.now() < end; await sleep(20)) if (reasons().includes(code)) return true
    return false
  }
  return { daemon, ask, reasons, told }
}

t.test('a wrong clock: no other resolver is asked, the status names the clock, and the right time ends it', async (t) => {
  const shim = clockShim()
  if (shim === undefined) return t.comment('needs Linux and a C compiler')
  t.teardown(() => shim.close())
  shim.shift(WRONG_MS, 0)
  const { daemon, ask, reasons, told } = await scene(t, RESOLVER_NAME, shim.env)
  await ask('a.example')
  t.match(await ask('b.example'), { rcode: 2, ede: { code: 14, text: 'clock-suspect' } })
  t.equal(daemon.status()?.state, 'offline')
  t.ok(await told('clock-suspect'))
  t.notOk(reasons().includes('portal-suspected'))
  t.ok(Object.values(daemon.status()?.plaintext ?? { none: 1 }).every((count) => count === 0))
  shim.shift(0, 0)
  let answered = false
  for (const end = performance.now() + 15_000; !answered && performance.now() < end; ) answered = (await ask('c.example')).rcode === 0
  t.ok(answered, 'without a restart')
  await daemon.until('protected')
})

t.test('a login page in place of every resolver is reported as such', async (t) => {
  const { daemon, ask, told } = await scene(t, 'login.hotel.example')
  await ask('a.example')
  t.match(await ask('b.example'), { rcode: 2, ede: { code: 23, text: 'portal-suspected' } })
  t.equal(daemon.status()?.state, 'offline')
  t.ok(await told('portal-suspected'))
})
