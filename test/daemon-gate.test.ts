// The policy's gate in a daemon of this process, whose looks around end when the test says so: no
// moment between a change and its look is too short to be tried.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { systemClock, systemRandom } from '../src/clock.ts'
import { loadConfig } from '../src/config/load.ts'
import { startDaemon } from '../src/daemon.ts'
import { createAuthority } from '../src/demo/authority.ts'
import { readOpt } from '../src/dns/edns.ts'
import type { Event } from '../src/events.ts'
import type { SystemView } from '../src/host-checks.ts'
import { directoryOf } from './support/directory.ts'
import { type DotServer, startDot } from './support/dot-server.ts'
import { query } from './support/messages.ts'
import { rcodeOf, udpClient } from './support/real/dns-client.ts'
import { addressRecord, replyTo } from './support/replies.ts'

const NAME = 'resolver.test'
const REFUSED = { rcode: 2, ede: 15 }
const ANSWERED = { rcode: 0, ede: undefined }
const REQUIRED = { vpn: 'required' }
const ALWAYS = { shaping: { profile: 'always-on' } }
const authority = await createAuthority()
const identity = await authority.issue({ name: NAME })

async function resolver(t: Test): Promise<DotServer> {
  const server = await startDot({ identity, answer: (q) => replyTo(q, [addressRecord()]) })
  t.teardown(() => server.close())
  return server
}

interface Look {
  readonly addresses: readonly string[]
  /** Ends it: every path leaves from a VPN, or none does. */
  end(vpn: boolean): Promise<void>
}

/**
 * Starts a daemon; `settings` are the configuration beside the trusted set of `server`. The start
 * waits for its first look.
 */
async function house(t: Test, server: DotServer, settings: object) {
  const dir = directoryOf(t, { run: {}, state: {} })
  const write = (name: string, text: string) => writeFileSync(join(dir, name), text, { mode: 0o600 })
  write('ca.pem', authority.certificate)
  const load = (of: DotServer, more: object) => {
    const resolvers = [
      { id: 'one', authenticationDomainName: NAME, addresses: [of.host], transports: { dot: { port: of.port } }, caFile: 'ca.pem' },
    ]
    write('resolvers.json', JSON.stringify({ version: 1, resolvers }))
    const paths = { resolvers: 'resolvers.json', statusFile: 'run/status.json', stateDir: 'state' }
    // No heartbeat looks by itself.
    write(
      'config.json',
      JSON.stringify({ listen: ['127.0.0.1:0'], heartbeatS: 600, timeoutMs: 1000, shaping: { profile: 'off' }, ...more, ...paths }),
    )
    return loadConfig(join(dir, 'config.json'))
  }
  const looks: Look[] = []
  const place = { gateway: '10.0.0.1' }
  const system: SystemView = {
    egress: (addresses) =>
      new Promise((resolve) => {
        const end = (vpn: boolean) => {
          resolve({ vpn: vpn ? 1 : 0, other: vpn ? 0 : 1, unknown: 0, unreachable: 0 })
          return sleep(5)
        }
        looks.push({ addresses, end })
      }),
    network: () => ({ known: true, id: place.gateway, matches: ({ gateway }) => gateway === place.gateway }),
    resolver: () => ({ asks: 'unknown', by: 'the test', stays: false }),
    ask: async () => {},
    bypass: async () => ({ flows: 0, through: [] }),
  }
  let kernelTells = () => {}
  const network = {
    read: () => ({ text: place.gateway, online: true }),
    listen(heard: () => void) {
      kernelTells = heard
      return { close() {} }
    },
  }
  const events: Event[] = []
  const world = { clock: systemClock(), random: systemRandom, version: '0', log: (event: Event) => void events.push(event), warn() {} }
  const starting = startDaemon(await load(server, settings), { ...world, network, system })
  const started = async () => {
    const daemon = await starting
    t.teardown(() => daemon.stop())
    const client = await udpClient(daemon.listeners[0]?.port ?? 0)
    t.teardown(() => client.close())
    let asked = 0
    return {
      daemon,
      async ask() {
        const reply = await client.ask(query({ name: `n${asked++}.example.com`, opt: {} }))
        return { rcode: rcodeOf(reply), ede: readOpt(reply)?.ede?.code }
      },
      async reload(more: object, of = server) {
        const loaded = await load(of, more)
        const reload = daemon.reload(loaded)
        // Looked at later.
        reload.catch(() => {})
        await sleep(5)
        return { done: reload }
      },
    }
  }
  return {
    events,
    looks,
    started,
    roam(gateway: string) {
      place.gateway = gateway
      kernelTells()
      return sleep(30)
    },
  }
}
async function lookOf(looks: readonly Look[], n: number): Promise<Look> {
  for (let i = 0; i < 400 && looks.length <= n; i++) await sleep(5)
  const look = looks[n]
  if (look === undefined) throw new Error(`no look ${n}`)
  return look
}

t.test('at the start: no resolver is dialled before the first check has ended, then at once', async (t) => {
  const server = await resolver(t)
  const h = await house(t, server, { ...ALWAYS, policy: REQUIRED })
  const first = await lookOf(h.looks, 0)
  await sleep(600)
  t.equal(server.counts.tcp, 0)
  await first.end(true)
  const { ask } = await h.started()
  t.same(await ask(), ANSWERED)
  t.same(
    h.events.flatMap((event) => (event.type === 'link.failed' ? [event.code] : [])),
    [],
    'what was not dialled did not fail',
  )
})

t.test('a rule of a named network holds at the start, before the network is identified', async (t) => {
  const server = await resolver(t)
  const policy = { networks: [{ name: 'cafe', match: { gateway: '10.0.0.9' }, vpn: 'required' }] }
  const h = await house(t, server, { ...ALWAYS, policy })
  const first = await lookOf(h.looks, 0)
  await sleep(300)
  t.equal(server.counts.tcp, 0)
  await first.end(false)
  t.same(await (await h.started()).ask(), ANSWERED, 'it is another one')
})

t.test('a check from before a reload opens nothing; nor does one that a second reload has outdated', async (t) => {
  const [server, other, third] = [await resolver(t), await resolver(t), await resolver(t)]
  const h = await house(t, server, { policy: { vpn: 'preferred' } })
  await (await lookOf(h.looks, 0)).end(false)
  const { ask, reload } = await h.started()
  t.same(await ask(), ANSWERED)
  // A look with the old setup is under way when the reload comes.
  await h.roam('10.0.0.2')
  const old = await lookOf(h.looks, 1)
  const { done } = await reload({ ...ALWAYS, policy: REQUIRED }, other)
  t.same(await ask(), REFUSED, 'closed in the reload')
  t.equal(server.live.size, 0, 'connections of before are gone')
  await old.end(true)
  t.same(await ask(), REFUSED, 'the old look does not open')
  const next = await lookOf(h.looks, 2)
  const again = await reload({ ...ALWAYS, policy: { ...REQUIRED, vpnInterfaces: ['tunnel0'] } }, third)
  await next.end(true)
  t.same(await ask(), REFUSED, 'nor the look of the reload before')
  t.equal(other.counts.tcp + third.counts.tcp, 0, 'and nobody was dialled')
  await (await lookOf(h.looks, 3)).end(true)
  await Promise.all([done, again.done])
  t.same(await ask(), ANSWERED)
  t.equal(other.counts.tcp, 0)
  t.equal(third.counts.tcp, 1)
})

t.test('same settings again: observations hold, and no query is lost', async (t) => {
  const server = await resolver(t)
  const settings = { policy: REQUIRED }
  const h = await house(t, server, settings)
  await (await lookOf(h.looks, 0)).end(true)
  const { ask, reload } = await h.started()
  t.same(await ask(), ANSWERED)
  const { done } = await reload({ ...settings, timeoutMs: 900 })
  t.same(await ask(), ANSWERED, 'while it looks')
  await (await lookOf(h.looks, 1)).end(false)
  await done
  t.same(await ask(), REFUSED, 'and what the look finds counts')
})

t.test('a reload that is refused changes nothing', async (t) => {
  const [server, other] = [await resolver(t), await resolver(t)]
  const h = await house(t, server, { policy: REQUIRED })
  await (await lookOf(h.looks, 0)).end(true)
  const { ask, reload } = await h.started()
  t.same(await ask(), ANSWERED)
  const { done } = await reload({ listen: ['192.0.2.1:5353'], allowFrom: ['127.0.0.0/8'], policy: { vpn: 'off' } }, other)
  await t.rejects(done, { code: 'listen' })
  t.same(await ask(), ANSWERED)
  await h.roam('10.0.0.2')
  await (await lookOf(h.looks, 1)).end(false)
  t.same(await ask(), REFUSED, 'the old policy is in force')
  t.equal(other.counts.tcp, 0)
})

t.test('network change: closed until the next check, and a check from before the change does not count', async (t) => {
  const server = await resolver(t)
  const h = await house(t, server, { policy: REQUIRED })
  await (await lookOf(h.looks, 0)).end(true)
  const { ask } = await h.started()
  t.same(await ask(), ANSWERED)
  await h.roam('10.0.0.2')
  t.same(await ask(), REFUSED)
  t.equal(server.live.size, 0)
  const before = await lookOf(h.looks, 1)
  await h.roam('10.0.0.3')
  await before.end(true)
  t.same(await ask(), REFUSED)
  await (await lookOf(h.looks, 2)).end(true)
  t.same(await ask(), ANSWERED)
})

t.test('a new rule closes the gate, whatever else the reload changes; a removed policy opens it without a check', async (t) => {
  const server = await resolver(t)
  const h = await house(t, server, { policy: REQUIRED })
  await (await lookOf(h.looks, 0)).end(false)
  const { ask, reload } = await h.started()
  t.same(await ask(), REFUSED)
  await (await reload({})).done
  t.same(await ask(), ANSWERED)
  const { done } = await reload({ policy: REQUIRED })
  t.same(await ask(), REFUSED)
  await (await lookOf(h.looks, 1)).end(false)
  await done
  t.same(await ask(), REFUSED)
})
