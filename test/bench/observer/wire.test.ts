import { connect } from 'node:tls'
import t from 'tap'
import { chance } from '../../../bench/observer/chance.ts'
import { captures } from '../../../bench/observer/wire/captures.ts'
import { startWireResolver } from '../../../bench/observer/wire/resolver.ts'
import { watched } from '../../../bench/observer/wire/servers.ts'
import type { WireRow } from '../../../bench/observer/wire/wire-row.ts'
import { recordCounter, tapLink } from '../../../src/demo/link-tap.ts'
import { withPaddedOpt } from '../../../src/dns/edns.ts'
import { FrameReader, framed } from '../../../src/dns/framing.ts'
import { nameFromText } from '../../../src/dns/name.ts'

t.test('the tap reads record headers across any chunking', (t) => {
  const stream = Buffer.concat([record(22, 5), record(23, 147), record(23, 0), record(23, 487)])
  for (const step of [1, 2, 3, 7, 150, stream.length]) {
    const seen: unknown[] = []
    const count = recordCounter((one) => seen.push(one))
    for (let at = 0; at < stream.length; at += step) count(stream.subarray(at, at + step))
    t.strictSame(
      seen,
      [10, 152, 5, 492].map((octets, i) => ({ octets, applicationData: i > 0 })),
      `chunks of ${step}`,
    )
  }
  t.end()
})

t.test('the resolver of wire runs answers correctly, in cells, through a tap', async (t) => {
  const resolver = await startWireResolver(chance('resolver'))
  const tap = await tapLink(resolver.port, () => performance.now())
  const { ca, name } = resolver.behind(tap.port)
  const socket = connect({ port: tap.port, host: '127.0.0.1', ca, servername: name, ALPNProtocols: ['dot'] })
  const replies: Buffer[] = []
  const reader = new FrameReader()
  const three = new Promise<void>((resolve) =>
    socket.on('data', (chunk) =>
      reader.push(chunk, (frame) => {
        replies.push(Buffer.from(frame))
        if (replies.length === 3) resolve()
      }),
    ),
  )
  await new Promise((resolve) => socket.once('secureConnect', resolve))
  socket.write(framed(padded(question('a.page.bench.example', 1))))
  socket.write(framed(padded(question('b.NX.bench.example', 1))))
  socket.write(framed(question('c.page.bench.example', 28)))
  await three
  const byName = (label: number) => replies.find((reply) => reply[13] === label) ?? Buffer.alloc(12)
  const [a, b, c] = ['a', 'b', 'c'].map((letter) => byName(letter.charCodeAt(0))) as [Buffer, Buffer, Buffer]
  t.equal(a.length, 468)
  t.equal(a[7], 1, 'an address')
  t.equal((b[3] ?? 0) & 15, 3, 'NXDOMAIN below nx')
  t.equal(b.length, 468)
  t.ok(c.length < 60 && c[7] === 0, 'an unpadded question gets an unpadded reply')
  const bodies = tap.records.filter(({ applicationData }) => applicationData).map(({ octets, direction }) => `${direction} ${octets - 5}`)
  t.ok(bodies.includes('out 147') && bodies.includes('in 487'), 'the sizes that virtual time counts with')
  socket.destroy()
  await tap.close()
  await resolver.close()
})

t.test('the observed client and its summary', (t) => {
  t.ok(['off', 'jitter', 'lite', 'balanced', 'always-on'].every((id) => watched().some((one) => one.id === id)))
  const config = watched()
    .find(({ id }) => id === 'lite')
    ?.peer.launch({
      via: 'dot',
      port: 1,
      dir: '/nowhere',
      entries: 1,
      cacheBytes: 65_536,
      upstream: { kind: 'answer.c', dnsPort: 1, dotPort: 1, dohPort: 1, name: 'x', caFile: 'x', ca: '', cpuNs: () => 0 },
    }).files?.['config.json']
  t.match(JSON.parse(config ?? '{}'), { shaping: { profile: 'lite' }, transports: ['dot'] })
  const row = {
    title: 'enigm-dns, `off`',
    sample: [
      [0, 147],
      [20, -487],
    ],
  } as unknown as WireRow
  t.match(captures([row]), /<svg[\s\S]*M150\.0 67v-7\.6[\s\S]*<\/svg>/)
  t.end()
})

function record(type: number, length: number): Buffer {
  return Buffer.concat([Buffer.of(type, 3, 3, length >> 8, length & 255), Buffer.alloc(length, 23)])
}

function question(name: string, type: number): Uint8Array {
  return Buffer.concat([Buffer.of(1, 2, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0), nameFromText(name), Buffer.of(0, type, 0, 1)])
}

const padded = (message: Uint8Array) => withPaddedOpt(message, { dnssecOk: false, block: 128, keepalive: false })
