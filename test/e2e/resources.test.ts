import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { dirname } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { createAuthority } from '../../src/demo/authority.ts'
import { framed } from '../../src/dns/framing.ts'
import { directoryOf } from '../support/directory.ts'
import { startDot } from '../support/dot-server.ts'
import { query } from '../support/messages.ts'
import { type DaemonSpec, identityOf, RESOLVER_NAME, type RunningDaemon, startDaemon } from '../support/real/daemon.ts'
import { type DnsClient, rcodeOf, tcpClient, udpClient } from '../support/real/dns-client.ts'
import { addressRecord, replyTo } from '../support/replies.ts'

const onlyLinux = process.platform === 'linux' ? false : 'reads /proc'
const mountable = spawnSync('unshare', ['-m', 'true']).status === 0 ? false : 'needs the right to mount'

/**
 * A resolver that answers every question after `delayMs` with one address, over DoT, and a
 * specification of a daemon that asks it.
 */
async function upstream(t: Test, delayMs = 0): Promise<DaemonSpec> {
  const authority = await createAuthority()
  const server = await startDot({
    identity: await identityOf(authority),
    answer: async (asked) => {
      if (delayMs > 0) await sleep(delayMs)
      return replyTo(asked, [addressRecord()])
    },
  })
  t.teardown(() => server.close())
  const resolver = {
    id: 'loop',
    authenticationDomainName: RESOLVER_NAME,
    addresses: ['127.0.0.1'],
    transports: { dot: { port: server.port } },
    caFile: 'ca.pem',
  }
  return { resolvers: [resolver], ca: authority.certificate }
}

async function running(t: Test, spec: DaemonSpec): Promise<{ readonly daemon: RunningDaemon; readonly udp: DnsClient }> {
  const daemon = await startDaemon(spec)
  t.teardown(() => daemon.stop())
  const udp = await udpClient(daemon.port)
  t.teardown(() => udp.close())
  return { daemon, udp }
}

let unique = 0
const fresh = () => query({ name: `q${unique++}.resources.example`, opt: {} })
const answered = (reply: Promise<Uint8Array>) => reply.then((wire) => rcodeOf(wire) === 0).catch(() => false)
const rssMb = (pid: number) => Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1]) / 1024
const descriptorsOf = (pid: number) => readdirSync(`/proc/${pid}/fd`).length

/**
 * Keeps connections open without a word; those that are closed are dialled again, as an impatient
 * client does.
 */
async function idlers(port: number, count: number): Promise<() => void> {
  const sockets = new Set<Socket>()
  let over = false
  const dial = () => {
    if (over) return
    const socket = connect(port, '127.0.0.1')
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => {
      sockets.delete(socket)
      setTimeout(dial, 50)
    })
  }
  for (let i = 0; i < count; i++) dial()
  await sleep(300)
  return () => {
    over = true
    for (const socket of sockets) socket.destroy()
  }
}

t.test('64 descriptors and 500 silent TCP clients', { skip: onlyLinux }, async (t) => {
  const { daemon, udp } = await running(t, { ...(await upstream(t)), under: ['sh', '-c', 'ulimit -n 64; exec "$@"', 'sh'] })
  const release = await idlers(daemon.port, 500)
  const good: boolean[] = []
  for (let i = 0; i < 20; i++) {
    good.push(...(await Promise.all(Array.from({ length: 20 }, () => answered(udp.ask(fresh()))))))
    await sleep(50)
  }
  t.ok(good.filter(Boolean).length >= 0.99 * good.length, `${good.filter(Boolean).length} of ${good.length} over UDP, none from the cache`)
  const open = descriptorsOf(daemon.pid)
  t.ok(open < 64, `${open} of 64 descriptors in use`)
  release()
  const releasedMs = performance.now()
  let tcp = false
  while (!tcp && performance.now() - releasedMs < 5000) {
    const client = await tcpClient(daemon.port)
    tcp = await answered(client.ask(fresh(), 500))
    client.close()
  }
  t.ok(tcp, `TCP answers ${(performance.now() - releasedMs).toFixed(0)} ms after they left`)
  t.equal(await daemon.stop(), 0)
})

/** A daemon without a free descriptor, and how many of 20 new names it answers, in order. */
async function withoutDescriptors(t: Test) {
  // So few that not one is left once the process runs; prlimit takes the rest away later.
  const { daemon, udp } = await running(t, await upstream(t))
  t.ok(await answered(udp.ask(fresh())))
  const limit = (soft: number) => spawnSync('prlimit', [`--pid=${daemon.pid}`, `--nofile=${soft}:4096`]).status
  t.equal(limit(descriptorsOf(daemon.pid)), 0)
  const release = await idlers(daemon.port, 50)
  const good: boolean[] = []
  for (let i = 0; i < 20; i++) good.push(await answered(udp.ask(fresh())))
  const free = () => {
    release()
    t.equal(limit(4096), 0)
  }
  return { daemon, udp, good, free }
}

t.test('every descriptor taken: service continues, and recovers', { skip: onlyLinux }, async (t) => {
  let attempt = await withoutDescriptors(t)
  // A machine that is busy elsewhere makes a link look dead, and none can take its place then.
  for (let again = 0; attempt.good[0] !== true && again < 2; again++) {
    attempt.free()
    await attempt.daemon.stop()
    attempt = await withoutDescriptors(t)
  }
  const { daemon, udp, good, free } = attempt
  t.ok(good[0], 'the link that stands goes on')
  t.comment(`${good.filter(Boolean).length} of 20 answered`)
  free()
  const freed = performance.now()
  const both = async () => {
    const client = await tcpClient(daemon.port)
    const replies = await Promise.all([answered(client.ask(fresh(), 1000)), answered(udp.ask(fresh(), 1000))])
    client.close()
    return replies.every(Boolean)
  }
  let recovered = await both()
  while (!recovered && performance.now() - freed < 10_000) recovered = await both()
  t.ok(recovered, `UDP and TCP again after ${(performance.now() - freed).toFixed(0)} ms`)
  t.equal(await daemon.stop(), 0)
})

t.test('the directory of the status file vanishes', { skip: onlyLinux }, async (t) => {
  const { daemon, udp } = await running(t, { ...(await upstream(t)), config: { heartbeatS: 1 } })
  const dir = dirname(daemon.statusFile)
  renameSync(dir, `${dir}.gone`)
  t.teardown(() => rmSync(`${dir}.gone`, { recursive: true, force: true }))
  for (const until = performance.now() + 10_000; !existsSync(daemon.statusFile) && performance.now() < until; ) {
    t.ok(await answered(udp.ask(fresh())))
    await sleep(100)
  }
  t.match(daemon.status(), { state: 'protected' }, 'made again, with a status')
})

/**
 * The status file on a small file system of its own, which only the daemon sees; the test reaches
 * it through /proc.
 */
async function troubled(t: Test, spoil: (root: string, pid: number) => void, mend: (root: string, pid: number) => void): Promise<void> {
  const dir = directoryOf(t, { mnt: {} })
  const mount = `mount -t tmpfs -o size=64k,mode=755 none ${dir}/mnt && exec "$@"`
  const spec = { ...(await upstream(t)), config: { heartbeatS: 1 }, statusFile: `${dir}/mnt/status.json` }
  const { daemon, udp } = await running(t, { ...spec, under: ['unshare', '-m', 'sh', '-c', mount, 'sh'] })
  const root = `/proc/${daemon.pid}/root${dir}/mnt`
  const updatedAt = () => (JSON.parse(readFileSync(`${root}/status.json`, 'utf8')) as { updatedAt: string }).updatedAt
  t.ok(await answered(udp.ask(fresh())))
  spoil(root, daemon.pid)
  const spoilt = updatedAt()
  const good: boolean[] = []
  for (let i = 0; i < 25; i++) {
    good.push(await answered(udp.ask(fresh())))
    t.equal(updatedAt(), spoilt, 'the old document, whole')
    await sleep(100)
  }
  t.ok(good.every(Boolean), 'service untouched')
  t.equal(daemon.log().split('status file cannot be written').length - 1, 1, 'one log line')
  mend(root, daemon.pid)
  for (const until = performance.now() + 10_000; updatedAt() === spoilt && performance.now() < until; ) await sleep(50)
  t.not(updatedAt(), spoilt, 'recovers')
}
const remount = (how: string) => (root: string, pid: number) =>
  void spawnSync('nsenter', ['-t', String(pid), '-m', 'mount', '-o', `remount,${how}`, root.replace(`/proc/${pid}/root`, '')])

t.test('the disk of the status file is full', { skip: onlyLinux || mountable }, (t) =>
  troubled(
    t,
    (root) => {
      try {
        writeFileSync(`${root}/fill`, Buffer.alloc(1 << 20))
      } catch {}
    },
    (root) => rmSync(`${root}/fill`),
  ),
)
t.test('the file system of the status file is read-only', { skip: onlyLinux || mountable }, (t) =>
  troubled(t, remount('ro'), remount('rw')),
)

t.test(
  '10,000 TCP queries whose answers are not read, and garbage: memory is bounded and is freed',
  { skip: onlyLinux, timeout: 120_000 },
  async (t) => {
    const { daemon, udp } = await running(t, await upstream(t))
    for (let i = 0; i < 2000; i++) await answered(udp.ask(fresh()))
    const before = rssMb(daemon.pid)
    const frames = Buffer.concat(
      Array.from({ length: 10_000 }, (_, i) => framed(query({ id: i, name: `q${i % 1500}.resources.example`, opt: {} }))),
    )
    const deaf = connect(daemon.port, '127.0.0.1')
    deaf.on('error', () => {})
    await once(deaf, 'connect')
    deaf.pause()
    deaf.write(frames)
    const noise: Socket[] = []
    for (let i = 0; i < 100; i++) {
      const socket = connect(daemon.port, '127.0.0.1')
      socket.on('error', () => {})
      socket.on('connect', () => socket.write(randomBytes(65_533)))
      noise.push(socket)
    }
    let worst = before
    const tookMs: number[] = []
    for (let i = 0; i < 20; i++) {
      const began = performance.now()
      t.ok(await answered(udp.ask(fresh())), 'a second client is answered')
      tookMs.push(performance.now() - began)
      worst = Math.max(worst, rssMb(daemon.pid))
      await sleep(50)
    }
    tookMs.sort((a, b) => a - b)
    t.ok((tookMs[10] ?? 9999) < 1000, `in ${tookMs[10]?.toFixed(0)} ms (median), ${tookMs.at(-1)?.toFixed(0)} ms at most`)
    t.ok(worst - before <= 64, `RSS ${before.toFixed(0)} MB, at most ${(worst - before).toFixed(0)} MB more`)
    for (const socket of [deaf, ...noise]) socket.destroy()
    let after = rssMb(daemon.pid)
    // The row says 10 MB within a minute, and `npm run chaos` waits that long: when the collector
    // runs is its own affair, so here only growth without end is caught.
    for (const until = performance.now() + 5000; after - before > 10 && performance.now() < until; await sleep(500)) {
      await answered(udp.ask(fresh()))
      after = rssMb(daemon.pid)
    }
    t.ok(after - before <= 64, `${(after - before).toFixed(0)} MB over the start afterwards`)
  },
)

t.test('SIGTERM with more pipelined than may be in flight, and with dgram', async (t) => {
  const { daemon, udp } = await running(t, { ...(await upstream(t, 5)), config: { udp: 'dgram' } })
  const tcp = await tcpClient(daemon.port)
  t.ok(await answered(udp.ask(fresh())))
  t.ok(await answered(tcp.ask(fresh())))
  const asking = Array.from({ length: 400 }, (_, i) => answered((i < 300 ? tcp : udp).ask(fresh())))
  await Promise.race(asking)
  const began = performance.now()
  const code = await daemon.stop()
  const stoppedMs = performance.now() - began
  const good = await Promise.all(asking)
  // A second is what the end may take: on a machine that is too busy for 400 answers in it, some
  // are lost.
  const least = stoppedMs < 900 ? [300, 100] : [100, 50]
  t.ok(good.slice(0, 300).filter(Boolean).length >= (least[0] ?? 0), `of 300 on one TCP connection, stopped in ${stoppedMs.toFixed(0)} ms`)
  t.ok(good.slice(300).filter(Boolean).length >= (least[1] ?? 0), 'of 100 over dgram')
  t.equal(code, 0)
  tcp.close()
})

/** A hundred in a full run (KILLS=100). */
const KILLS = Number(process.env.KILLS ?? 4)
t.test('SIGKILL under load, repeatedly', { timeout: 600_000 }, async (t) => {
  const statusDir = directoryOf(t)
  const statusFile = `${statusDir}/status.json`
  const began = performance.now()
  const { daemon, udp } = await running(t, { ...(await upstream(t)), statusFile, config: { heartbeatS: 1 } })
  const firstMs = performance.now() - began
  const readyMs: number[] = []
  let whole = 0
  for (let i = 0; i < KILLS; i++) {
    const load = Array.from({ length: 200 }, () => answered(udp.ask(fresh(), 200)))
    await sleep(i % 40)
    daemon.kill('SIGKILL')
    await Promise.all(load)
    if (!existsSync(statusFile) || typeof JSON.parse(readFileSync(statusFile, 'utf8')) === 'object') whole++
    readyMs.push(await daemon.revive())
    t.ok(await answered(udp.ask(fresh())), 'answers on the same port')
  }
  readyMs.sort((a, b) => a - b)
  const medianMs = readyMs[readyMs.length >> 1] ?? Number.NaN
  t.comment(`ready after ${medianMs.toFixed(0)} ms (median), ${readyMs.at(-1)?.toFixed(0)} ms at most`)
  t.ok(medianMs < Math.max(1000, 2 * firstMs), `binds again within a second, or as fast as the first time (${firstMs.toFixed(0)} ms)`)
  t.equal(whole, KILLS, 'every status file is whole or absent')
  // The first write of the status sweeps, and may come after the first answer.
  const untilMs = performance.now() + 10_000
  while (readdirSync(statusDir).length > 4 && performance.now() < untilMs) await sleep(20)
  t.ok(readdirSync(statusDir).length <= 4, 'what killed writers left is swept')
})
