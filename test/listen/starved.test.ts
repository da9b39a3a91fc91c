import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { extname } from 'node:path'
import t from 'tap'
import { TcpClient, UdpClient } from './clients.ts'
import { query, until } from './fake-responder.ts'

/** A module beside this one, built or not, for a child process. */
const module = (path: string) => JSON.stringify(new URL(path + extname(import.meta.url), import.meta.url).href)

const PROGRAM = `
  const { listenUdp } = await import(${module('../../src/listen/udp')})
  const { listenTcp } = await import(${module('../../src/listen/tcp')})
  const { options } = await import(${module('./fake-responder')})
  const udp = await listenUdp(options())
  await listenTcp(options({ port: udp.port }))
  console.log(udp.port)`

t.test(
  'out of file descriptors: UDP continues, and TCP is back when there is one again',
  { skip: process.platform === 'win32' },
  async (t) => {
    // Without the test runner's loader, whose threads need more descriptors than these; the runner
    // puts it into every child's environment.
    const child = spawn(
      'sh',
      ['-c', 'unset NODE_OPTIONS; ulimit -n 40; exec "$0" --input-type=module -e "$1"', process.execPath, PROGRAM],
      {
        stdio: ['ignore', 'pipe', 'inherit'],
      },
    )
    t.teardown(() => child.kill('SIGKILL'))
    const [line] = (await once(child.stdout, 'data')) as [Buffer]
    const port = Number(line.toString())
    // Fewer than a client may have: what is closed is closed for want of a descriptor.
    const crowd = await Promise.all(Array.from({ length: 60 }, (_, i) => TcpClient.open(port, '127.0.0.1', `127.0.1.${1 + (i % 5)}`)))
    await until(() => crowd.some((client) => client.closed || client.ended))
    const client = new UdpClient('127.0.0.1')
    for (let id = 0; id < 100; id++) await client.ask(query(id), port)
    t.equal(client.replies.length, 100)
    client.close()
    for (const one of crowd) one.socket.destroy()
    const startedMs = performance.now()
    for (let answered = false; !answered; ) {
      const again = await TcpClient.open(port)
      again.send(query(1))
      await until(() => again.replies.length === 1 || again.closed || again.ended)
      answered = again.replies.length === 1
      again.socket.destroy()
    }
    t.ok(performance.now() - startedMs < 5_000)
    t.equal(child.exitCode, null)
  },
)
