import { once } from 'node:events'
import { type AddressInfo, connect, createServer } from 'node:net'
import fc from 'fast-check'
import t from 'tap'
import { recordCounter, tapLink } from '../../src/demo/link-tap.ts'

const record = (type: number, length: number) => Uint8Array.of(type, 3, 3, length >> 8, length & 255, ...new Uint8Array(length))

t.test('records are counted for any division into chunks, after any greeting to a proxy', (t) => {
  const cases = fc.tuple(
    fc.array(fc.nat(255).filter((octet) => octet !== 22)),
    fc.array(fc.tuple(fc.constantFrom(20, 22, 23), fc.nat(300)), { maxLength: 8 }),
    fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 1 }),
  )
  fc.assert(
    fc.property(cases, ([greeting, others, cuts]) => {
      // TLS begins with a handshake record.
      const records = [[22, 5] as const, ...others]
      const stream = Uint8Array.from([...greeting, ...records.flatMap(([type, length]) => [...record(type, length)])])
      const seen: [boolean, number][] = []
      const count = recordCounter((r) => seen.push([r.applicationData, r.octets]))
      for (let at = 0, i = 0; at < stream.length; i++) {
        const cut = cuts[i % cuts.length] ?? 1
        count(stream.subarray(at, at + cut))
        at += cut
      }
      return JSON.stringify(seen) === JSON.stringify(records.map(([type, length]) => [type === 23, length + 5]))
    }),
  )
  t.end()
})

t.test('every octet passes, in both directions', async (t) => {
  const echo = createServer((socket) => socket.pipe(socket)).listen(0, '127.0.0.1')
  await once(echo, 'listening')
  let now = 5
  const tap = await tapLink((echo.address() as AddressInfo).port, () => now++)
  t.teardown(async () => {
    await tap.close()
    echo.close()
  })
  const client = connect(tap.port, '127.0.0.1')
  const sent = Buffer.concat([record(22, 100), record(23, 20_000), record(23, 7)])
  client.write(sent)
  const chunks: Buffer[] = []
  for (let octets = 0; octets < sent.length; ) {
    const [chunk] = (await once(client, 'data')) as [Buffer]
    chunks.push(chunk)
    octets += chunk.length
  }
  t.ok(Buffer.concat(chunks).equals(sent))
  const sizes = (direction: 'out' | 'in') => tap.records.filter((r) => r.direction === direction).map((r) => r.octets)
  t.strictSame(sizes('out'), [105, 20_005, 12])
  t.strictSame(sizes('in'), [105, 20_005, 12])
  t.equal(tap.connections, 1)
  client.destroy()
})
