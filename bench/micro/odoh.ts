/**
 * CPU of one oblivious query. `npm run bench:micro -- odoh`: sealing it with a fresh key, and
 * opening its response; the target's part is done beforehand and is not counted. `odoh-daemon`:
 * all that the built daemon does for a query, against DoH.
 */
import { readFileSync } from 'node:fs'
import { targetKeyOf } from '../../src/config/odoh-config.ts'
import { createAuthority } from '../../src/demo/authority.ts'
import { newKeyPair, openQuery, startRelay, startTarget } from '../../src/demo/oblivious-pair.ts'
import { withPaddedOpt } from '../../src/dns/edns.ts'
import { sealQuery, targetKey } from '../../src/link/odoh/message.ts'
import { startDoh } from '../../test/support/doh-server.ts'
import { query } from '../../test/support/messages.ts'
import { startDaemon } from '../../test/support/real/daemon.ts'
import { udpClient } from '../../test/support/real/dns-client.ts'
import { addressRecord, replyTo } from '../../test/support/replies.ts'
import { median } from '../report/run.ts'

const ROUNDS = 9
const QUERIES = 500
const QUERY_OCTETS = 128
const REPLY_OCTETS = 468

/** Prints the median of nine rounds of 500 queries, in ms a query. */
export function measureSealing(): void {
  const keys = newKeyPair()
  const published = targetKeyOf(keys.configs)
  const key = typeof published === 'string' ? undefined : targetKey(published)
  if (key === undefined) throw new Error('the keys are malformed')
  const query = new Uint8Array(QUERY_OCTETS)
  const reply = new Uint8Array(REPLY_OCTETS)
  const [sealing, opening]: [number[], number[]] = [[], []]
  for (let round = 0; round < ROUNDS; round++) {
    const sealed: ReturnType<typeof sealQuery>[] = []
    sealing.push(cpuMs(() => void sealed.push(sealQuery(key, query))))
    const replies = sealed.map(({ body }) => openQuery(keys, body)?.reply(reply) ?? reply)
    let at = 0
    opening.push(
      cpuMs(() => {
        const found = sealed[at]?.open(replies[at] ?? reply)
        if (!(found instanceof Uint8Array)) throw new Error('a response was refused')
        at++
      }),
    )
  }
  const [seal, open] = [median(sealing), median(opening)]
  console.log(`seal ${seal.toFixed(3)} ms, open ${open.toFixed(3)} ms, together ${(seal + open).toFixed(3)} ms of CPU per query`)
}

function cpuMs(work: () => void): number {
  const before = process.cpuUsage()
  for (let i = 0; i < QUERIES; i++) work()
  const { user, system } = process.cpuUsage(before)
  return (user + system) / 1000 / QUERIES
}

const DAEMON_QUERIES = 3000
const WARM_QUERIES = 1000
const AT_ONCE = 20
const TICK_MS = 10

/** Prints the CPU of the built daemon in ms a query, over DoH and over ODoH on loopback. */
export async function measureDaemons(): Promise<void> {
  const authority = await createAuthority()
  const ca = authority.certificate
  const identity = await authority.issue({ name: 'target.test' })
  const answer = (q: Uint8Array) => withPaddedOpt(replyTo(q, [addressRecord()]), { dnssecOk: false, block: REPLY_OCTETS, keepalive: false })
  const [target, doh] = await Promise.all([startTarget({ identity, answer }), startDoh({ identity, answer })])
  const relayIdentity = await authority.issue({ name: 'relay.test' })
  const relay = await startRelay({ identity: relayIdentity, targets: { [`target.test:${target.port}`]: { port: target.port, ca } } })
  const common = { addresses: ['127.0.0.1'], caFile: 'ca.pem' }
  const relays = [
    { id: 'relay', operator: 'Relays', type: 'odoh', authenticationDomainName: 'relay.test', port: relay.port, path: '/proxy', ...common },
  ]
  const odoh = { port: target.port, relay: 'relay', config: target.config() }
  const resolvers = [
    { id: 'target', operator: 'Names', authenticationDomainName: 'target.test', transports: { doh: { port: doh.port }, odoh }, ...common },
  ]
  for (const transport of ['doh', 'odoh']) {
    const daemon = await startDaemon({ ca, config: { transports: [transport] }, relays, resolvers })
    const client = await udpClient(daemon.port)
    const ask = async (from: number, count: number) => {
      for (let i = from; i < from + count; i += AT_ONCE)
        await Promise.all(Array.from({ length: AT_ONCE }, (_, k) => client.ask(query({ name: `n${i + k}.example` }))))
    }
    await ask(0, WARM_QUERIES)
    const before = ticksOf(daemon.pid)
    await ask(WARM_QUERIES, DAEMON_QUERIES)
    const ms = ((ticksOf(daemon.pid) - before) * TICK_MS) / DAEMON_QUERIES
    console.log(`${transport.padEnd(5)} ${ms.toFixed(3)} ms of CPU per query`)
    client.close()
    await daemon.stop()
  }
  await Promise.all([relay, target, doh].map((server) => server.close()))
}

/** User and system time of a process, in ticks of 10 ms (proc(5)). */
function ticksOf(pid: number): number {
  const [, after = ''] = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')
  const fields = after.split(' ')
  return Number(fields[11]) + Number(fields[12])
}
