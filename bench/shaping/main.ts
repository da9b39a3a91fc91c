// What a running profile costs the machine: `node bench/run.mjs shaping/main [SECONDS [PROFILE]]`.
// Whether the times of records tell real cells from covers, `bench:observer --parts timing` says.
import { writeFileSync } from 'node:fs'
import { cpus, loadavg } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { createAuthority } from '../../src/demo/authority.ts'
import { isPaced, PACES } from '../../src/shaping/profiles.ts'
import { startDot } from '../../test/support/dot-server.ts'
import { optRecord, query } from '../../test/support/messages.ts'
import { RESOLVER_NAME, startDaemon } from '../../test/support/real/daemon.ts'
import { udpClient } from '../../test/support/real/dns-client.ts'
import { addressRecord, replyTo } from '../../test/support/replies.ts'
import { cleanUpOnExit, end, newPlace, start } from '../children.ts'
import { costOf } from '../load/process-cost.ts'
import { chance } from '../observer/chance.ts'

cleanUpOnExit()
const seconds = Number(process.argv[2] ?? 120)
const profile = process.argv[3] ?? 'balanced'
if (!isPaced(profile)) throw new Error(`${profile} keeps no schedule`)
const pace = PACES[profile]
const QUIET_MS = 10_000
/** A program has started, and its connection is up. */
const STARTS_MS = 3000
/** Between two real queries, on average. */
const GAP_MS = 90
const REPLY_OCTETS = 468

const random = chance('cost')
const resolver = await startResolver()
const entry = {
  id: 'watched',
  authenticationDomainName: RESOLVER_NAME,
  addresses: ['127.0.0.1'],
  transports: { dot: { port: resolver.port } },
  caFile: 'ca.pem',
}
const daemon = await startDaemon({ resolvers: [entry], ca: resolver.ca, config: { shaping: { profile }, heartbeatS: 10 } })
const client = await udpClient(daemon.port)
let asked = 0
const ask = () => client.ask(query({ name: `r${asked++}.real.example`, opt: {} })).catch(() => undefined)

/** A DoT server that pads its replies, and answers after 5 to 30 ms. */
async function startResolver() {
  const authority = await createAuthority()
  const server = await startDot({
    identity: await authority.issue({ name: RESOLVER_NAME }),
    answer: (asked) => new Promise((resolve) => setTimeout(() => resolve(padded(asked)), 5 + random.below(25))),
  })
  return { port: server.port, ca: authority.certificate, close: () => server.close() }
}

function padded(asked: Uint8Array): Uint8Array {
  const bare = Buffer.from(replyTo(asked, [addressRecord()]))
  bare.writeUInt16BE(1, 10)
  const zeros = REPLY_OCTETS - bare.length - 15
  return Buffer.concat([bare, optRecord({ options: Uint8Array.of(0, 12, zeros >> 8, zeros & 255, ...new Uint8Array(zeros)) })])
}

/** The CPU of a process during `work`, as a share of a core. */
async function share(work: () => Promise<unknown>, pid = daemon.pid): Promise<number> {
  const [before, startedMs] = [costOf(pid).cpuNs, performance.now()]
  await work()
  return (costOf(pid).cpuNs - before) / 1e6 / (performance.now() - startedMs)
}

/** The share of a program that does nothing but exchange as many records. */
async function bareShare(everyMs: number): Promise<number> {
  const other = await startResolver()
  const caFile = join(newPlace('bare'), 'ca.pem')
  writeFileSync(caFile, other.ca)
  const program = fileURLToPath(new URL('bare-exchange.js', import.meta.url))
  const bare = start('0,1', process.execPath, [program, String(other.port), String(everyMs), caFile, RESOLVER_NAME])
  await sleep(STARTS_MS)
  const found = await share(() => sleep(QUIET_MS), bare.pid)
  await end(bare)
  await other.close()
  return found
}

/** The mean distance of records of an open session, ms: the minimal program writes as many. */
function meanGapMs(): number {
  if (pace.restartsEachStep !== true) return pace.everyMs
  const openingMs = pace.opening.reduce((sum, { cells, everyMs }) => sum + cells * everyMs, 0)
  const cells = pace.opening.reduce((sum, part) => sum + part.cells, 0)
  return pace.stepMs / (cells + (pace.stepMs - openingMs) / pace.everyMs)
}

await sleep(2000)
const bare = [await bareShare(meanGapMs())]
const before = await share(() => sleep(QUIET_MS))
const waiting = [ask()]
const covers = await share(() => sleep(Number.isFinite(pace.stepMs) ? pace.stepMs : 3 * QUIET_MS))
const active = await share(async () => {
  for (const untilMs = performance.now() + seconds * 1000; performance.now() < untilMs; ) {
    await sleep(random.exponential(GAP_MS))
    waiting.push(ask())
  }
})
await Promise.all(waiting)
if (!pace.alwaysOn) await sleep(2 * pace.stepMs + pace.idleMs)
const after = await share(() => sleep(QUIET_MS))
bare.push(await bareShare(meanGapMs()))
client.close()
await daemon.stop()
await resolver.close()

const percent = (of: number) => `${(of * 100).toFixed(2)} %`
const floor = bare.reduce((sum, one) => sum + one, 0) / bare.length
console.log(`${cpus()[0]?.model}, load average ${loadavg().map((l) => l.toFixed(1))}, Node ${process.version}`)
console.log(
  `CPU of ${profile}, of a core: ${percent(active)} with ${asked} real queries in ${seconds} s, ${percent(covers)} with covers alone`,
)
console.log(
  `CPU of a bare Node program that exchanges as many TLS records, before and after: ${bare.map(percent).join(', ')}: ${(active / floor).toFixed(2)} x and ${(covers / floor).toFixed(2)} x`,
)
console.log(
  `CPU before the first query ${percent(before)}, after the session ${percent(after)} (heartbeats and the watch for network changes)`,
)
process.exit(0)
