import { readFileSync } from 'node:fs'
import { Server } from 'node:net'
import { extname } from 'node:path'
import t from 'tap'
import { EnigmError } from '../../src/errors.ts'
import { type BindOptions, bindAll, bindRefusal, type HolderOf, neverAskedByResolved } from '../../src/listen/bind.ts'
import { listenTcp } from '../../src/listen/tcp.ts'
import { listenUdp } from '../../src/listen/udp.ts'
import { datagramCalls } from '../../src/system/datagram-calls.ts'
import { run, TcpClient, UdpClient } from './clients.ts'
import { options, query, until } from './fake-responder.ts'

function bindOptions(holder: HolderOf = async () => undefined): BindOptions {
  return { ...options(), holder }
}

/** The one sentence of a refusal; fails the test if there is none. */
async function sentence(attempt: Promise<unknown>): Promise<string> {
  try {
    await attempt
  } catch (error) {
    if (error instanceof EnigmError && error.code === 'listen') return error.message
    throw error
  }
  throw new Error('it was bound')
}

t.test('UDP and TCP on every endpoint, on one port each', async (t) => {
  const endpoints = [
    { address: '127.0.0.1', port: 0 },
    { address: '::1', port: 0 },
    { address: '0.0.0.0', port: 0 },
  ]
  const listeners = await bindAll(endpoints, bindOptions())
  t.same(
    listeners.map(({ address, transport }) => [address, transport]),
    endpoints.flatMap(({ address }) => [
      [address, 'udp'],
      [address, 'tcp'],
    ]),
  )
  for (let i = 0; i < listeners.length; i += 2) {
    const [udp, tcp] = listeners.slice(i, i + 2)
    t.equal(udp?.port, tcp?.port)
    const host = udp?.address === '0.0.0.0' ? '127.0.0.1' : (udp?.address ?? '')
    const client = new UdpClient(host)
    await client.ask(query(1), udp?.port ?? 0)
    client.close()
    const stream = await TcpClient.open(tcp?.port ?? 0, host)
    stream.send(query(2))
    await until(() => stream.replies.length === 1)
    stream.socket.destroy()
  }
  await Promise.all(listeners.map((listener) => listener.close()))
})

t.test('all or none: opened sockets are closed again', async (t) => {
  const taken = await listenTcp(options({ address: '127.0.0.2' }))
  t.teardown(() => taken.close())
  const attempt = bindAll(
    [
      { address: '127.0.0.1', port: taken.port },
      { address: '127.0.0.2', port: taken.port },
    ],
    bindOptions(),
  )
  t.match(await sentence(attempt), `127.0.0.2:${taken.port} is taken by another process`)
  for (const address of ['127.0.0.1', '127.0.0.2']) await (await listenUdp(options({ address, port: taken.port }))).close()
  await (await listenTcp(options({ address: '127.0.0.1', port: taken.port }))).close()
})

t.test('port 0: if TCP loses the race for the port, another one is tried, a limited number of times', async (t) => {
  const listen = Server.prototype.listen
  t.teardown(() => {
    Server.prototype.listen = listen
  })
  let attempts = 0
  let collisions = 3
  Server.prototype.listen = function (this: Server, ...args: unknown[]) {
    attempts++
    if (collisions-- <= 0) return Reflect.apply(listen, this, args)
    process.nextTick(() => this.emit('error', Object.assign(new Error('listen'), { code: 'EADDRINUSE' })))
    return this
  } as typeof listen
  const listeners = await bindAll([{ address: '127.0.0.1', port: 0 }], bindOptions())
  t.equal(attempts, 4)
  t.equal(listeners[0]?.port, listeners[1]?.port)
  await Promise.all(listeners.map((listener) => listener.close()))
  attempts = 0
  collisions = 1_000
  t.match(await sentence(bindAll([{ address: '127.0.0.1', port: 0 }], bindOptions())), /is taken by another process/)
  t.equal(attempts, 8)
})

t.test('a taken port: who holds it is asked for that address, port and transport, and named', async (t) => {
  const taken = await listenUdp(options())
  t.teardown(() => taken.close())
  const asked: unknown[] = []
  const holder: HolderOf = async (...place) => {
    asked.push(place)
    return 'dnsmasq (pid 123)'
  }
  const message = await sentence(bindAll([{ address: '127.0.0.1', port: taken.port }], bindOptions(holder)))
  t.equal(message, `127.0.0.1:${taken.port} is taken by dnsmasq (pid 123): stop it, or choose another address or port with --listen`)
  t.same(asked, [['127.0.0.1', taken.port, 'udp']])
})

t.test('an address of no interface', async (t) => {
  t.match(await sentence(bindAll([{ address: '192.0.2.77', port: 0 }], bindOptions())), '192.0.2.77 is on no interface')
})

t.test('addresses that systemd-resolved never asks', (t) => {
  for (const address of ['127.0.0.53', '127.0.0.54']) {
    t.match(
      neverAskedByResolved({ address, port: 5353 }),
      new RegExp(`takes no server at ${address.replaceAll('.', '\\.')}.*127\\.0\\.0\\.55:53`),
    )
    t.equal(neverAskedByResolved({ address, port: 53 }), undefined, 'where resolved is not, it is as good as any')
  }
  t.equal(neverAskedByResolved({ address: '127.0.0.55', port: 5353 }), undefined)
  t.end()
})

t.test('the sentences', (t) => {
  const stub = { address: '127.0.0.53', port: 53 }
  const resolved = bindRefusal('EADDRINUSE', stub, 'udp', 'systemd-resolved (pid 123)')
  t.match(resolved, /^127\.0\.0\.53:53 is taken by systemd-resolved \(pid 123\): .*--listen 127\.0\.0\.55:53.*docs\/system\.md/)
  t.match(bindRefusal('EADDRINUSE', stub, 'udp', undefined), /another process, most likely systemd-resolved: .*127\.0\.0\.55:53/)
  t.notMatch(resolved, 'DNSStubListener', 'without its stub, resolv.conf names the servers of the links beside us')
  t.match(bindRefusal('EADDRINUSE', { address: '::1', port: 53 }, 'tcp', undefined), /^\[::1\]:53 is taken by another process: stop it/)
  t.match(bindRefusal('EADDRINUSE', stub, 'tcp', `node (pid ${process.pid})`), /this process already/)
  t.match(bindRefusal('EACCES', stub, 'udp', undefined), /CAP_NET_BIND_SERVICE.*setcap.*ip_unprivileged_port_start=53/)
  t.match(bindRefusal('EADDRNOTAVAIL', stub, 'udp', undefined), /on no interface/)
  t.match(bindRefusal('EAFNOSUPPORT', { address: '::1', port: 53 }, 'udp', undefined), /no IPv6/)
  for (const code of ['EINVAL', 'ENODEV', 'EADDRNOTAVAIL'])
    t.match(bindRefusal(code, { address: 'fe80::1%eth7', port: 53 }, 'udp', undefined), /^\[fe80::1%eth7\]:53 .*on no interface.*dev eth7/)
  t.match(bindRefusal('EINVAL', stub, 'tcp', undefined), /for TCP \(EINVAL\)/)
  for (const code of ['EADDRINUSE', 'EACCES', 'EADDRNOTAVAIL', 'EAFNOSUPPORT', 'EINVAL']) {
    t.notMatch(bindRefusal(code, stub, 'udp', undefined), /\n|\.$/, 'one line, no full stop: it stands in a log field')
  }
  t.end()
})

const firstFreePort = process.platform === 'linux' ? Number(readFileSync('/proc/sys/net/ipv4/ip_unprivileged_port_start', 'latin1')) : 0
const skip = process.getuid?.() !== 0 ? 'needs root' : firstFreePort === 0 ? 'every port is free to all here' : false

t.test('a privileged port without the privilege', { skip }, async (t) => {
  const module = (path: string) => JSON.stringify(new URL(path + extname(import.meta.url), import.meta.url).href)
  const { code, out } = await run(
    process.execPath,
    '--input-type=module',
    '-e',
    `const { bindAll } = await import(${module('../../src/listen/bind')})
     const { options } = await import(${module('./fake-responder')})
     process.setgid(65534); process.setuid(65534)
     try { await bindAll([{ address: '127.0.0.1', port: ${firstFreePort - 1} }], { ...options(), holder: async () => undefined }) }
     catch (error) { console.log(error.code + ': ' + error.message) }`,
  )
  t.equal(code, 0, out)
  t.match(out, `listen: 127.0.0.1:${firstFreePort - 1} needs root or CAP_NET_BIND_SERVICE`)
  t.notMatch(out, /unit/, 'none is shipped')
})

const calls = datagramCalls()
if (calls !== undefined) {
  t.test('shared: if TCP is held, UDP is not opened, because the holder would lose queries to it', async (t) => {
    const opened: number[] = []
    const shared = {
      ...bindOptions(),
      reusePort: true,
      datagramCalls: {
        ...calls,
        open: (address: string, port: number, reusePort: boolean) => {
          opened.push(port)
          return calls.open(address, port, reusePort)
        },
      },
    }
    const [udp, tcp] = await bindAll([{ address: '127.0.0.1', port: 0 }], shared)
    t.teardown(() => Promise.all([udp?.close(), tcp?.close()]))
    t.same([udp?.transport, tcp?.transport], ['udp', 'tcp'])
    t.equal(udp?.port, tcp?.port)
    const port = tcp?.port ?? 0
    t.match(await sentence(bindAll([{ address: '127.0.0.1', port }], shared)), `127.0.0.1:${port} is taken by`)
    t.same(opened, [port])
  })
}
