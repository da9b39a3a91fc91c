// Sockets that a service manager opened, and what it is told, with the real command line. The real
// systemd is in service-lab.test.ts.
import { spawn } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { encodeQuestion } from '../../src/dns/presentation.ts'
import { CLI, startDaemon } from '../support/real/daemon.ts'
import { type DnsClient, rcodeOf, tcpClient, udpClient } from '../support/real/dns-client.ts'
import { freePort } from '../support/real/server-process.ts'
import { underServiceManager } from '../support/real/service-manager.ts'
import { requireTool } from '../support/real/tools.ts'

const RESOLVER = { id: 'none', authenticationDomainName: 'dns.example', addresses: ['127.0.0.1'] }
const LOCALHOST = encodeQuestion('localhost', 'A', 7)

/** Asks what is answered locally. */
const asks = async (client: DnsClient) => rcodeOf(await client.ask(LOCALHOST, 3000))

async function activated(t: Test, config: object, ...more: readonly string[]) {
  // Takes connections and says nothing.
  const silent = createServer()
  silent.listen(0, '127.0.0.1')
  await once(silent, 'listening')
  t.teardown(() => void silent.close())
  const port = await freePort()
  const place = `127.0.0.1:${port}`
  const started = await startDaemon({
    resolvers: [{ ...RESOLVER, transports: { dot: { port: (silent.address() as AddressInfo).port } } }],
    listen: place,
    config: { ...config },
    under: underServiceManager(place, ...more),
  })
  let stopped = false
  const stop = async () => {
    stopped = true
    return started.stop()
  }
  t.teardown(() => (stopped ? undefined : started.stop()))
  const child = () => Number(/child (\d+)\n(?![\s\S]*child \d+\n)/.exec(started.log())?.[1])
  const until = async (what: RegExp) => {
    for (let i = 0; i < 500 && !what.test(started.log()); i++) await sleep(10)
    t.match(started.log(), what)
  }
  return { ...started, log: started.log, port, child, until, stop }
}

if (requireTool(t, 'python3')) {
  for (const [what, config] of [
    ['one worker, in batches', { workers: 1 }],
    ['two workers share the descriptor', { workers: 2 }],
    ['one datagram at a time', { udp: 'dgram' }],
  ] as const)
    t.test(what, async (t) => {
      const daemon = await activated(t, config)
      const clients = await Promise.all([...Array.from({ length: 8 }, () => udpClient(daemon.port)), tcpClient(daemon.port)])
      t.teardown(() => clients.forEach((client) => void client.close()))
      for (const client of clients) t.equal(await asks(client), 0)
      await daemon.until(/notify READY=1/)
      await daemon.until(/notify STATUS=offline: no trusted resolver/)
      await daemon.until(/notify WATCHDOG=1[\s\S]*notify WATCHDOG=1/)

      // A reload keeps the sockets, whatever "listen" says.
      const other = await freePort()
      const file = join(daemon.dir, 'config.json')
      const paths = { resolvers: 'resolvers.json', statusFile: daemon.statusFile, stateDir: join(daemon.dir, 'state') }
      writeFileSync(file, JSON.stringify({ ...config, ...paths, heartbeatS: 1, listen: [`127.0.0.1:${other}`] }))
      await daemon.until(/notify RELOADING=1 MONOTONIC_USEC=\d+[\s\S]*notify READY=1/)
      await daemon.until(/the new configuration is in force/)
      clients.push(await udpClient(other))
      for (const client of clients) t.equal(await asks(client), 0, 'after the reload')

      // Killed: what is asked meanwhile waits in the socket.
      process.kill(daemon.child(), 'SIGKILL')
      await sleep(50)
      t.equal(await asks(clients[0] as DnsClient), 0, 'the next process answers')
      await daemon.until(/child[\s\S]*child[\s\S]*notify READY=1/)
      t.equal(await daemon.stop(), 0)
      t.match(daemon.log(), /notify STOPPING=1/)
    })

  t.test('queries after the shutdown began wait for the next process', async (t) => {
    const daemon = await activated(t, {})
    const socket = createSocket('udp4')
    t.teardown(() => void socket.close())
    // A question that is being asked holds the process for its drain.
    socket.send(encodeQuestion('held.example.com', 'A', 1), daemon.port, '127.0.0.1')
    await sleep(100)
    const stopped = daemon.stop()
    await daemon.until(/notify STOPPING=1/)
    await sleep(100)
    socket.send(LOCALHOST, daemon.port, '127.0.0.1')
    await stopped
    t.match(daemon.log(), /waiting [12]/)
  })

  t.test('IPv6, and an address that only the service manager opens', async (t) => {
    const port = await freePort()
    const daemon = await activated(t, {}, `[::1]:${port}`)
    const client = await udpClient(daemon.port)
    t.teardown(() => client.close())
    t.equal(await asks(client), 0)
    const socket = createSocket('udp6')
    t.teardown(() => void socket.close())
    socket.send(LOCALHOST, port, '::1')
    await once(socket, 'message', { signal: AbortSignal.timeout(3000) })
    t.pass('and over IPv6')
  })

  t.test('unusable sockets are refused with the fix, without a fast restart loop', async (t) => {
    const refused = async (places: readonly string[], says: RegExp) => {
      const beganMs = performance.now()
      const env = { PATH: process.env.PATH ?? '', HOME: t.testdir() }
      const [command = '', ...args] = [...underServiceManager(...places), process.execPath, CLI, 'run']
      const child = spawn(command, args, { env, stdio: ['ignore', 'ignore', 'pipe'] })
      let said = ''
      child.stderr.on('data', (chunk: Buffer) => {
        said += chunk
      })
      await once(child, 'close')
      t.equal(child.exitCode, 2, said)
      t.match(said, says)
      t.ok(performance.now() - beganMs > 1000, 'a query that waits would start it again at once')
    }
    const port = await freePort()
    await refused([`u:0.0.0.0:${port}`], /0\.0\.0\.0:\d+ is a UDP socket for every address of this host: fix the socket unit/)
    await refused([`x:${join(tmpdir(), `enigm-dns-x-${process.pid}`)}`], /^Descriptor 3 of the service manager is neither/m)
    await refused([`u:127.0.0.1:${port}`, `t:0.0.0.0:${port}`], /0\.0\.0\.0:\d+: can be reached from other hosts; list the allowed clients/)
  })
}
