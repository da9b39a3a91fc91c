import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import t from 'tap'
import { portOf } from '../dot-server.ts'
import { pause } from '../link-rig.ts'
import { startPath } from './path.ts'
import { seeded } from './seeded.ts'

t.test('a client that never ends its half of a connection does not keep the path open', async (t) => {
  const server = createServer((socket) => socket.destroy()).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const path = await startPath(portOf(server), seeded(1))
  const client = connect({ port: path.port, host: '127.0.0.1', allowHalfOpen: true }).on('error', () => {})
  client.resume()
  await once(client, 'end')
  while (path.live > 0) await pause(5)
  const closed = path.close().then(() => 'closed')
  t.equal(await Promise.race([closed, new Promise((resolve) => setTimeout(resolve, 2000, 'held open'))]), 'closed')
  client.destroy()
  server.close()
})
