import { spawn } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import t from 'tap'
import { portHolder } from '../../src/system/port-holder.ts'

const skip = process.platform !== 'linux' && 'Linux only'
const self = new RegExp(`^.+ \\(pid ${process.pid}\\)$`)

async function udp(address: string): Promise<{ port: number; close: () => void }> {
  const socket = createSocket({ type: address.includes(':') ? 'udp6' : 'udp4' })
  await new Promise<void>((resolve) => socket.bind(0, address, resolve))
  return { port: socket.address().port, close: () => socket.close() }
}

async function tcp(address: string): Promise<{ port: number; close: () => void }> {
  const server = createServer().listen(0, address)
  await once(server, 'listening')
  return { port: (server.address() as AddressInfo).port, close: () => server.close() }
}

t.test('finds the holder of each family and transport', { skip }, async (t) => {
  for (const [transport, open] of [
    ['udp', udp],
    ['tcp', tcp],
  ] as const) {
    for (const address of ['127.0.0.1', '127.0.0.53', '::1']) {
      const { port, close } = await open(address)
      t.match(await portHolder(address, port, transport), self, `${transport} ${address}`)
      const elsewhere = address === '127.0.0.1' ? '127.0.0.2' : '127.0.0.1'
      t.equal(await portHolder(elsewhere, port, transport), undefined, 'another address is not in the way')
      t.match(await portHolder(address.includes(':') ? '::' : '0.0.0.0', port, transport), self, 'a wildcard meets it')
      t.equal(await portHolder(address, port, transport === 'udp' ? 'tcp' : 'udp'), undefined)
      close()
      t.equal(await portHolder(address, port, transport), undefined)
    }
  }
})

t.test('a wildcard holds every address, and :: holds IPv4 too', { skip }, async (t) => {
  for (const [wildcard, addresses] of [
    ['0.0.0.0', ['127.0.0.1', '127.0.0.53', '0.0.0.0']],
    ['::', ['::1', '127.0.0.1', 'fe80::1%lo']],
  ] as const) {
    const { port, close } = await udp(wildcard)
    for (const address of addresses) t.match(await portHolder(address, port, 'udp'), self, `${wildcard} holds ${address}`)
    close()
  }
})

t.test('a connection is not a listener', { skip }, async (t) => {
  const { port, close } = await tcp('127.0.0.1')
  t.match(await portHolder('127.0.0.1', port, 'tcp'), self)
  const { connect } = await import('node:net')
  const client = connect(port, '127.0.0.1')
  await once(client, 'connect')
  t.equal(await portHolder('127.0.0.1', client.localPort ?? 0, 'tcp'), undefined)
  client.destroy()
  close()
})

t.test('a Node process is named by what it runs', { skip }, async (t) => {
  const { port, close } = await udp('127.0.0.1')
  t.equal(await portHolder('127.0.0.1', port, 'udp'), `node port-holder.test.js (pid ${process.pid})`)
  close()
})

t.test('a process whose name would break a log', { skip }, async (t) => {
  const program = `process.title = 'a\\x1b[2J\\nb'
    const s = require('dgram').createSocket('udp4')
    s.bind(0, '127.0.0.1', () => console.log(s.address().port))`
  const child = spawn(process.execPath, ['-e', program], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(() => child.kill('SIGKILL'))
  const [line] = (await once(child.stdout, 'data')) as [Buffer]
  t.equal(await portHolder('127.0.0.1', Number(line.toString()), 'udp'), `a?[2J?b (pid ${child.pid})`)
})

t.test('invalid input has no holder', { skip }, async (t) => {
  t.equal(await portHolder('not an address', 53, 'udp'), undefined)
  t.equal(await portHolder('[::', 1, 'tcp'), undefined)
})
