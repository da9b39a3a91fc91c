// What a running profile costs the machine, and whether the moment at which a record leaves tells
// real cells from covers: `node bench/run.mjs shaping/main [SECONDS [PROFILE]]`. Needs tcpdump,
// tshark and the right to capture on loopback.
import { writeFileSync } from 'node:fs'
import { cpus, loadavg } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { isPaced, PACES } from '../../src/shaping/profiles.ts'
import { query } from '../../test/support/messages.ts'
import { RESOLVER_NAME, startDaemon } from '../../test/support/real/daemon.ts'
import { udpClient } from '../../test/support/real/dns-client.ts'
import { auc, wilson } from '../adversary/metrics.ts'
import { cleanUpOnExit, end, newPlace, start } from '../children.ts'
import { ROOT } from '../compiled.ts'
import { costOf } from '../load/process-cost.ts'
import { chance } from '../observer/chance.ts'
import { classify } from './micro-timing.ts'
import { REAL, startWatchedResolver } from './watched-resolver.ts'

cleanUpOnExit()
const seconds = Number(process.argv[2] ?? 120)
const profile = process.argv[3] ?? 'balanced'
if (!isPaced(profile)) throw new Error(`${profile} keeps no schedule`)
const pace = PACES[profile]
const QUIET_MS = 10_000
/** The dense opening and what belongs to it are over. */
const OPENING_MS = 8000
/** Between two real queries, on average: about one cell in three is real then. */
const GAP_MS = 90

const random = chance('micro-timing')
const resolver = await startWatchedResolver(random.fork('resolver'))
const entry = {
  id: 'watched',
  authenticationDomainName: RESOLVER_NAME,
  addresses: ['127.0.0.1'],
  transports: { dot: { port: resolver.port } },
  caFile: 'ca.pem',
}
const daemon = await startDaemon({
  resolvers: [entry],
  ca: resolver.authority.certificate,
  config: { shaping: { profile }, heartbeatS: 10 },
})
const client = await udpClient(daemon.port)
let asked = 0
const ask = () => client.ask(query({ name: `r${asked++}.${REAL}`, opt: {} })).catch(() => undefined)

/** CPU of the daemon, or of another process, during `work`, as a share of a core. */
async function share(work: () => Promise<unknown>, pid = daemon.pid): Promise<number> {
  const [before, startedMs] = [costOf(pid).cpuNs, performance.now()]
  await work()
  return (costOf(pid).cpuNs - before) / 1e6 / (performance.now() - startedMs)
}

/** The same of a program that does nothing but exchange as many records. */
async function bareShare(): Promise<number> {
  const other = await startWatchedResolver(random.fork('bare'))
  const caFile = join(newPlace('bare'), 'ca.pem')
  writeFileSync(caFile, other.authority.certificate)
  const program = join(ROOT, 'build-bench', 'bench', 'shaping', 'bare-exchange.js')
  const bare = start('0,1', process.execPath, [program, String(other.port), String(pace.everyMs), caFile, RESOLVER_NAME])
  await sleep(OPENING_MS)
  const found = await share(() => sleep(QUIET_MS), bare.pid)
  await end(bare)
  await other.close()
  return found
}

await sleep(2000)
const bare = [await bareShare()]
const before = await share(() => sleep(QUIET_MS))
const waiting = [ask()]
await sleep(OPENING_MS)
const covers = await share(() => sleep(QUIET_MS))
const active = await share(async () => {
  for (const untilMs = performance.now() + seconds * 1000; performance.now() < untilMs; ) {
    await sleep(random.exponential(GAP_MS))
    waiting.push(ask())
  }
})
await Promise.all(waiting)
if (!pace.alwaysOn) await sleep(2 * pace.stepMs + pace.idleMs)
const after = await share(() => sleep(QUIET_MS))
bare.push(await bareShare())
client.close()
await daemon.stop()
// A link that is always on speaks until then.
const cells = (await resolver.cells()).slice(pace.opening.reduce((sum, { cells }) => sum + cells, 0))
await resolver.close()

const percent = (of: number) => `${(of * 100).toFixed(2)} %`
const { right, tested, positives, negatives } = classify(cells, pace.everyMs)
const found = wilson(right, tested)
const spread = auc(positives, negatives)
console.log(`${cpus()[0]?.model}, load average ${loadavg().map((l) => l.toFixed(1))}, Node ${process.version}`)
console.log(
  `CPU of ${profile}, of a core: ${percent(active)} with ${asked} real queries in ${seconds} s, ${percent(covers)} with covers alone`,
)
console.log(`CPU of a bare Node program that exchanges as many TLS records, before and after: ${bare.map(percent).join(', ')}`)
console.log(
  `CPU before the first query ${percent(before)}, after the session ${percent(after)} (heartbeats and the watch for network changes)`,
)
console.log(`cells ${cells.length}, real ${cells.filter(({ real }) => real).length}`)
console.log(
  `real or cover by micro-timing: ${percent(found.value)} right (95 %: ${percent(found.low)} to ${percent(found.high)}; ${tested} cells)`,
)
console.log(`by lateness within the slot alone: AUC ${spread.value.toFixed(3)} (${spread.low.toFixed(3)} to ${spread.high.toFixed(3)})`)
process.exit(0)
