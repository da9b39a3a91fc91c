/**
 * CPU per DoH request of the two HTTP/2 clients, against a server in another process that answers
 * every POST from memory and does nothing else. `npm run bench:micro -- doh [requests in flight
 * ...]`. Runs are interleaved; the median of five is printed.
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { createSecureServer } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import { systemClock, systemRandom } from '../../src/clock.ts'
import { createAuthority } from '../../src/demo/authority.ts'
import { withPaddedOpt } from '../../src/dns/edns.ts'
import { upstreamQuery } from '../../src/dns/message.ts'
import { nameFromText } from '../../src/dns/name.ts'
import { EnigmError } from '../../src/errors.ts'
import type { Carrier, CarrierTools } from '../../src/link/carriers/carrier.ts'
import { leanH2Carrier } from '../../src/link/carriers/h2/connection.ts'
import { type Connection, connect } from '../../src/link/dial/connect.ts'
import { DialPace } from '../../src/link/dial/dial-pace.ts'
import type { StrictEndpoint } from '../../src/link/dial/endpoint.ts'
import { tlsSessions } from '../../src/link/dial/sessions.ts'
import { nodeH2Carrier } from '../../test/support/doh-h2.ts'
import { median } from '../report/run.ts'

const NAME = 'resolver.test'
const ROUNDS = 5
const REQUESTS = 20_000
const REPLY_OCTETS = 468
type Make = (connection: Connection, endpoint: StrictEndpoint, tools: CarrierTools) => Carrier

const CLIENTS: Readonly<Record<string, Make>> = {
  'node:http2': nodeH2Carrier,
  lean: leanH2Carrier,
}

/** The server's process. */
function serve(key: string, cert: string): void {
  const tail = Buffer.alloc(REPLY_OCTETS)
  const server = createSecureServer({ key, cert, settings: { maxConcurrentStreams: 2000 } })
  server.on('stream', (stream) => {
    stream.on('error', () => {})
    let query: Buffer = Buffer.alloc(0)
    stream.on('data', (chunk: Buffer) => {
      query = query.length === 0 ? chunk : Buffer.concat([query, chunk])
    })
    stream.on('end', () => {
      const reply = Buffer.concat([query, tail]).subarray(0, REPLY_OCTETS)
      reply[2] = 0x81
      reply[11] = 0
      stream.respond({ ':status': 200, 'content-type': 'application/dns-message', 'content-length': reply.length })
      stream.end(reply)
    })
  })
  server.listen(0, '127.0.0.1', () => process.send?.((server.address() as AddressInfo).port))
}

/** CPU of this process in us per request, with `inFlight` requests under way all the time. */
async function measure(make: Make, endpoint: StrictEndpoint, inFlight: number, requests: number): Promise<number> {
  const clock = systemClock()
  const connection = await connect(endpoint, 'doh', { clock, sessions: tlsSessions(clock), pace: new DialPace(clock, () => undefined) })
  const watcher = { heard() {}, draining() {}, idle() {}, mismatch() {}, down() {} }
  const carrier = make(connection, endpoint, { clock, random: systemRandom, watcher })
  const name = nameFromText('www.example.com')
  const wire = Uint8Array.from([...name, 0, 1, 0, 1])
  const query = withPaddedOpt(upstreamQuery({ lower: wire, type: 1, class: 1 }, false), {
    dnssecOk: false,
    block: 128,
    keepalive: false,
  })
  const run = (count: number) =>
    new Promise<void>((resolve, reject) => {
      let sent = 0
      let left = count
      const ticket = {
        answered: () => {
          if (--left === 0) resolve()
          else if (sent < count) send()
        },
        failed: reject,
      }
      const send = () => {
        sent++
        carrier.send(query, ticket)
      }
      for (let i = 0; i < Math.min(inFlight, count); i++) send()
    })
  await run(Math.max(1000, Math.ceil(requests / 4)))
  const before = process.cpuUsage()
  await run(requests)
  const { user, system } = process.cpuUsage(before)
  carrier.destroy(new EnigmError('closed', 'measured'))
  return (user + system) / requests
}

/** Measures both with each number of requests in flight, and prints a line for each. */
export async function compareClients(depths: readonly number[]): Promise<void> {
  const authority = await createAuthority()
  const identity = await authority.issue({ name: NAME })
  const server = fork(fileURLToPath(import.meta.url), ['serve', identity.key, identity.cert])
  server.on('exit', (code) => process.exit(code ?? 0))
  const [port] = (await once(server, 'message')) as [number]
  const endpoint: StrictEndpoint = {
    ...{ resolver: 'bench', addresses: ['127.0.0.1'], authenticationDomainName: NAME, spkiPins: [], ca: authority.certificate },
    ...{ doh: { port, path: '/dns-query' }, usageProfile: 'strict' },
  }
  for (const inFlight of depths.length > 0 ? depths : [1, 10, 100, 800]) {
    const requests = inFlight === 1 ? REQUESTS / 10 : REQUESTS
    const found = new Map<string, number[]>(Object.keys(CLIENTS).map((client) => [client, []]))
    for (let round = 0; round < ROUNDS; round++) {
      for (const [client, make] of Object.entries(CLIENTS)) found.get(client)?.push(await measure(make, endpoint, inFlight, requests))
    }
    const line = [...found].map(([client, values]) => `${client} ${median(values).toFixed(1)}`)
    console.log(`${inFlight} in flight, CPU us a request: ${line.join(', ')}`)
  }
  server.kill()
}

// The server is this file in a process of its own.
if (process.argv[2] === 'serve') serve(process.argv[3] ?? '', process.argv[4] ?? '')
