import fc from 'fast-check'
import t from 'tap'
import { framed } from '../../src/dns/framing.ts'
import { listenTcp } from '../../src/listen/tcp.ts'
import { TcpClient } from './clients.ts'
import { options, query, response, until } from './fake-responder.ts'

t.test('for any division of the stream, the same queries arrive and each is answered once', async (t) => {
  const o = options({ limits: { inFlightPerConnection: 3 } })
  const arrived: string[] = []
  o.responder.hit = (packet) => (((packet[1] ?? 0) & 1) === 1 ? response(packet) : undefined)
  const now = o.responder.hit
  o.responder.hit = (packet) => {
    arrived.push(Buffer.from(packet).toString('hex'))
    return now(packet)
  }
  const listener = await listenTcp(o)
  const client = await TcpClient.open(listener.port)
  t.teardown(() => Promise.all([client.socket.destroy(), listener.close()]))
  const ids = fc.array(fc.integer({ min: 0, max: 65_535 }), { minLength: 1, maxLength: 12 })
  const cuts = fc.array(fc.integer({ min: 0, max: 600 }), { maxLength: 12 })
  await fc.assert(
    fc.asyncProperty(ids, cuts, async (ids, cuts) => {
      arrived.length = 0
      client.replies.length = 0
      const queries = ids.map((id) => query(id))
      const stream = Buffer.concat(queries.map(framed))
      const places = [...cuts.filter((cut) => cut < stream.length).sort((a, b) => a - b), stream.length]
      let from = 0
      for (const to of places) {
        client.socket.write(stream.subarray(from, to))
        from = to
        await new Promise((resolve) => setImmediate(resolve))
      }
      await until(() => client.replies.length === ids.length)
      const same = arrived.join() === queries.map((wire) => wire.toString('hex')).join()
      const answered = client.replies.map((wire) => wire.readUInt16BE(0)).sort()
      return same && answered.join() === [...ids].sort().join()
    }),
    { numRuns: 150 },
  )
})
