// `enigm-dns portal` on the built daemon, against a network with a login page: which packets leave,
// what the status says meanwhile, and that nothing leaves and nothing is left after.
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { createAuthority } from '../../src/demo/authority.ts'
import { readOpt } from '../../src/dns/edns.ts'
import { RecordCursor } from '../../src/dns/records.ts'
import { startDot } from '../support/dot-server.ts'
import { query } from '../support/messages.ts'
import { startCapture } from '../support/real/capture.ts'
import { CLI, RESOLVER_NAME, type RunningDaemon, startDaemon } from '../support/real/daemon.ts'
import { rcodeOf, udpClient } from '../support/real/dns-client.ts'
import { HOTEL, type HotelRules, startHotel } from '../support/real/hotel.ts'
import { insideNamespace, useNameserver } from '../support/real/namespace.ts'
import { requireTool } from '../support/real/tools.ts'
import { addressRecord, replyTo } from '../support/replies.ts'

t.setTimeout(300_000)

const TRUSTED = '192.0.2.1'
const PROBE = 'captive.apple.com'
const CHAIN = ['login.hotel.example', 'two.hotel.example', 'three.hotel.example', 'four.hotel.example']

interface Scene extends HotelRules {
  readonly config?: Readonly<Record<string, unknown>>
}

async function scene(t: Test, { config = {}, ...rules }: Scene) {
  const authority = await createAuthority()
  const server = await startDot({ identity: await authority.issue({ name: RESOLVER_NAME }), answer: (q) => replyTo(q, [addressRecord()]) })
  const resolver = {
    ...{ id: 'one', authenticationDomainName: RESOLVER_NAME, addresses: ['127.0.0.1'], caFile: 'ca.pem' },
    transports: { dot: { port: server.port } },
  }
  const hotel = await startHotel(rules)
  const daemon = await startDaemon({ resolvers: [resolver], ca: authority.certificate, config: { log: { level: 'debug' }, ...config } })
  const client = await udpClient(daemon.port)
  t.teardown(async () => {
    client.close()
    await daemon.stop()
    await server.close()
    await hotel.stop()
  })
  const ask = async (name: string, type = 1) => {
    const reply = await client.ask(query({ name, type, opt: {} }))
    const cursor = new RecordCursor(reply)
    const has = cursor.next() && cursor.section === 1 && cursor.type === 1
    const address = has ? reply.subarray(cursor.rdataAt, cursor.rdataAt + 4).join('.') : undefined
    return { rcode: rcodeOf(reply), address, ttlS: has ? cursor.ttlS : undefined, ede: readOpt(reply)?.ede?.text }
  }
  return { daemon, hotel, ask }
}

/** The command, running. */
function portal(t: Test, daemon: RunningDaemon, ...args: string[]) {
  const child = spawn(process.execPath, [CLI, 'portal', '--config', join(daemon.dir, 'config.json'), ...args])
  t.teardown(() => void child.kill('SIGKILL'))
  const said = { out: '', err: '' }
  child.stdout.on('data', (chunk: Buffer) => {
    said.out += chunk.toString()
  })
  child.stderr.on('data', (chunk: Buffer) => {
    said.err += chunk.toString()
  })
  return { child, said, gone: once(child, 'exit').then(([code]) => code as number | null) }
}

async function until(what: string, test: () => boolean | Promise<boolean>) {
  for (const end = performance.now() + 10_000; performance.now() < end; await sleep(20)) if (await test()) return
  throw new Error(`not in time: ${what}`)
}

const reasonsOf = (daemon: RunningDaemon) => daemon.status()?.signals.secureNameResolution?.reasons.map(({ code }) => code) ?? []
const leftBy = (daemon: RunningDaemon) => daemon.status()?.plaintext['captive-portal']
const allowed = (daemon: RunningDaemon) => (daemon.status() as unknown as { plaintextAllowed: string[] }).plaintextAllowed

/** Every file that the daemon keeps, and its log. */
function kept(daemon: RunningDaemon): string {
  const files = readdirSync(daemon.dir, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
  return [daemon.log(), ...files.map((file) => readFileSync(join(file.parentPath, file.name), 'latin1'))].join('\n')
}

if (requireTool(t, 'tcpdump', 'tshark') && insideNamespace(t, import.meta.url)) {
  execFileSync('mount', ['-t', 'sysfs', 'sysfs', '/sys'])
  // Nothing of this machine's own leases is found.
  for (const dir of ['/run', '/var/lib/dhcp', '/var/lib/dhclient', '/var/lib/NetworkManager'])
    if (existsSync(dir)) execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', dir])

  t.test('the login page is reached, counted, and the session ends by itself; other names stay with the trusted resolver', async (t) => {
    useNameserver(t, '127.0.0.1')
    const { daemon, hotel, ask } = await scene(t, { chain: CHAIN })
    const capture = await startCapture('port 53', 'any')
    t.teardown(() => capture.remove())
    t.equal((await ask(PROBE)).address, TRUSTED, 'it is in the cache')
    const { said, gone } = portal(t, daemon, '--for', '1m')
    await until('exposed', () => daemon.status()?.state === 'exposed')
    t.ok(reasonsOf(daemon).includes('captive-portal'))
    await until('the page', () => said.out.includes('login.hotel.example'))
    t.match(said.err, new RegExp(`of ${HOTEL} \\(by the gateway\\)`))

    const probe = await ask(PROBE)
    t.match(probe, { rcode: 0, address: HOTEL, ede: 'captive-portal' }, 'past the cache')
    t.ok((probe.ttlS ?? 9) <= 5, 'for 5 s at most')
    await until('the third host', async () => (await ask('three.hotel.example')).address === HOTEL)
    for (const host of CHAIN.slice(0, 3)) t.equal((await ask(host)).address, HOTEL, host)
    t.equal((await ask(CHAIN[3] ?? '')).address, TRUSTED, 'of a fourth host the hotel is not asked')
    t.equal((await ask('WWW.other.example')).address, TRUSTED)
    t.match(await ask(PROBE, 65), { rcode: 0, address: undefined }, 'nothing sends a browser to HTTPS')
    t.match(await ask('Captive.APPLE.com'), { address: HOTEL }, 'in any case')

    await hotel.pay()
    t.equal(await gone, 0)
    t.match(said.err, /lets traffic through/)
    t.equal((await ask(PROBE)).address, TRUSTED, 'what the hotel said is gone')
    await daemon.until('protected')
    const sent = Number(/sent: (\d+)/.exec(said.err)?.[1])
    t.ok(sent > 0)
    t.equal(leftBy(daemon), sent)
    t.strictSame(allowed(daemon), ['captive-portal'])
    t.notOk(reasonsOf(daemon).includes('captive-portal'))
    for (const name of [...CHAIN.slice(0, 3), PROBE]) await ask(name)
    await sleep(4000)
    await capture.stop()
    t.equal(capture.count(`ip.dst == ${HOTEL} && udp.dstport == 53`), sent, 'each packet is in the ledger, and none left after')
    t.equal(capture.count('dns.flags.response == 0 && !(ip.dst == 127.0.0.0/8)'), sent, 'nobody else was asked')
    const names = new Set(hotel.asked.map((line) => line.split(' ')[0]))
    t.strictSame(
      [...names].filter((name) => /other|four/.test(name ?? '')),
      [],
    )
    t.ok(
      hotel.asked.every((line) => / (1|28)$/.test(line)),
      'for addresses only',
    )
    t.notMatch(kept(daemon), /hotel\.example|captive\.apple|gstatic|firefox/, 'no file and no log has a name')
  })

  t.test('ends after its time; the network is unchanged; with workers too', async (t) => {
    const { daemon, hotel, ask } = await scene(t, { chain: [], config: { workers: 2 } })
    for (let i = 0; i < 8; i++) await ask(PROBE)
    const { said, gone } = portal(t, daemon, '--for', '3s', '--resolver', HOTEL)
    await until('exposed', () => daemon.status()?.state === 'exposed')
    await until('asked', () => hotel.asked.length > 0)
    for (let i = 0; i < 8; i++) {
      const other = await udpClient(daemon.port)
      const reply = await other.ask(query({ name: PROBE }))
      other.close()
      t.ok(Buffer.from(reply).includes(Buffer.of(10, 7, 0, 1)), 'whichever thread is asked')
    }
    t.equal(await gone, 1)
    t.match(said.err, /The time is over/)
    await daemon.until('protected')
    const before = hotel.asked.length
    for (let i = 0; i < 8; i++) {
      const other = await udpClient(daemon.port)
      const reply = await other.ask(query({ name: PROBE }))
      other.close()
      t.ok(Buffer.from(reply).includes(Buffer.of(192, 0, 2, 1)), 'no thread kept it')
    }
    await sleep(500)
    t.equal(hotel.asked.length, before)
  })

  t.test('ends with the command, a reload, a network change, and the service', async (t) => {
    const { daemon, hotel } = await scene(t, { chain: ['login.hotel.example'] })
    const begun = async () => {
      const one = portal(t, daemon, '--resolver', `${HOTEL}:53`)
      await until('exposed', () => daemon.status()?.state === 'exposed')
      return one
    }
    const ended = async () => {
      await until('over', () => daemon.status()?.state !== 'exposed')
      const before = hotel.asked.length
      await sleep(3500)
      t.equal(hotel.asked.length, before, 'no packet after')
    }
    const first = await begun()
    const second = portal(t, daemon, '--resolver', HOTEL)
    t.equal(await second.gone, 1)
    t.match(second.said.err, /refused/)
    t.equal(daemon.status()?.state, 'exposed', 'one at a time')
    first.child.kill('SIGINT')
    await ended()

    const reloaded = await begun()
    daemon.kill('SIGHUP')
    t.equal(await reloaded.gone, 1)
    t.match(reloaded.said.err, /another configuration/)
    await ended()

    const moved = await begun()
    execFileSync('ip', ['addr', 'add', '10.7.0.3/24', 'dev', 'wlan0'])
    t.equal(await moved.gone, 1)
    t.match(moved.said.err, /The network changed/)
    await ended()

    const stopped = await begun()
    daemon.kill('SIGTERM')
    t.equal(await stopped.gone, 1)
    t.match(stopped.said.err, /The service stops/)
  })

  t.test('a silent resolver of the network: the client waits no longer than usual, and gets the reason', async (t) => {
    const { daemon, ask } = await scene(t, { chain: [], mute: true, config: { timeoutMs: 2000 } })
    const { child } = portal(t, daemon, '--resolver', HOTEL)
    await until('exposed', () => daemon.status()?.state === 'exposed')
    const beganMs = performance.now()
    t.match(await ask(PROBE), { rcode: 2, ede: 'deadline' })
    t.ok(performance.now() - beganMs < 2500)
    child.kill('SIGINT')
    await until('over', () => daemon.status()?.state !== 'exposed')
    t.match(await ask(PROBE), { rcode: 0, address: TRUSTED })
  })

  t.test('a policy that lets no query through refuses a portal session', async (t) => {
    const { daemon, hotel } = await scene(t, { chain: ['login.hotel.example'], config: { policy: { vpn: 'required' } } })
    const { said, gone } = portal(t, daemon, '--resolver', HOTEL)
    t.equal(await gone, 1)
    t.match(said.err, /refused: the policy lets nothing through now \(vpn-required\)/)
    t.strictSame(hotel.asked, [])
    t.equal(leftBy(daemon), 0)
    t.strictSame(allowed(daemon), [])
  })

  t.test('invalid requests are refused before any query is sent', async (t) => {
    const { daemon } = await scene(t, { chain: [] })
    for (const args of [
      ['--for', '2h'],
      ['--for', 'ever'],
      ['--resolver', 'router.example'],
      ['--resolver', '10.7.0.1:x'],
    ]) {
      const { said, gone } = portal(t, daemon, ...args)
      t.equal(await gone, 2, args.join(' '))
      t.not(said.err, '')
    }
    t.equal(daemon.status()?.state === 'exposed', false)
    execFileSync('ip', ['route', 'del', 'default'])
    useNameserver(t, '127.0.0.1')
    const { said, gone } = portal(t, daemon)
    t.equal(await gone, 3)
    t.match(said.err, /--resolver/)
  })
}
