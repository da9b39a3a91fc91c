import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { type Authority, createAuthority } from '../../src/demo/authority.ts'
import { seeded } from '../../test/support/faults/seeded.ts'
import { startFaultServer } from '../../test/support/faults/server.ts'
import { cleanUpOnExit } from '../children.ts'
import { ROOT } from '../compiled.ts'
import { thisMachine } from '../machine.ts'
import { spliced } from '../report/readme.ts'
import { CASES, type Case, type Plan } from './cases.ts'
import { isInstalled, STUBS, type Stub, startStub, versionOf } from './stubs.ts'
import { type Result, tableOf } from './table.ts'

const USAGE = `npm run bench:recovery -- [--deaths 30] [--outage 60] [--rtt 20] [--only CASE,...] [--stubs ID,...] [--docs]

From a fault to the first right answer: enigm-dns, unbound, stubby and dnsdist before the same fault server (DoT), each with its own settings' defaults. A client asks a new name
every 50 ms from the fault (or its end) on. Prints a Markdown table; writes bench/results/recovery.json and recovery.md, and with --docs the table of docs/recovery.md.
What is not measured now (--only none: nothing is) stays as it was measured last.`

const { values: o } = parseArgs({
  options: {
    deaths: { type: 'string', default: '30' },
    outage: { type: 'string', default: '60' },
    rtt: { type: 'string', default: '20' },
    only: { type: 'string' },
    stubs: { type: 'string' },
    docs: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})
const plan: Plan = { deaths: Number(o.deaths), awayMs: 5000, outageMs: Number(o.outage) * 1000, giveUpMs: 60_000 }
const RTT_MS = Number(o.rtt)

if (o.help) console.log(USAGE)
else await run()

async function run(): Promise<void> {
  cleanUpOnExit()
  const machine = thisMachine()
  const authority = await createAuthority()
  const wanted = o.stubs?.split(',')
  const stubs = STUBS.filter((stub) => (wanted?.includes(stub.id) ?? true) && isInstalled(stub))
  const absent = STUBS.filter((stub) => !isInstalled(stub)).map(({ id }) => id)
  const cases = CASES.filter(({ id }) => o.only?.split(',').includes(id) ?? true)
  const times = new Map<Case, Map<string, readonly number[]>>()
  for (const one of cases) {
    const of = new Map<string, readonly number[]>()
    times.set(one, of)
    const measure = async (stub: Stub) => {
      of.set(stub.id, await timesOf(stub, one, authority))
      console.error(
        `${one.id} ${stub.id}: ${of
          .get(stub.id)
          ?.map((ms) => ms.toFixed(0))
          .join(' ')}`,
      )
    }
    if (one.together) await Promise.all(stubs.map(measure))
    else for (const stub of stubs) await measure(stub)
  }
  const dir = join(ROOT, 'bench', 'results')
  const results = merged(join(dir, 'recovery.json'), times)
  const everyStub = STUBS.filter(isInstalled)
  const names = everyStub.map(({ id }) => id)
  const table = tableOf(names, results, plan.giveUpMs)
  const foot = [
    `Time to the first right answer after the fault (or after its end), with an RTT of ${RTT_MS} ms and a client that asks a new name every 50 ms. A resolver that restarts is away for ${plan.awayMs / 1000} to ${plan.awayMs / 1000 + 1} s. The dark network lasts ${plan.outageMs / 1000} s, with 5 queries per second.`,
    `${everyStub.map((stub) => `${stub.id} ${versionOf(stub)}`).join(', ')}. ${machine.cpu}, ${machine.cores} cores, load before ${machine.loadBefore.toFixed(1)}.${absent.length > 0 ? ` Not installed: ${absent.join(', ')}.` : ''}`,
  ].join('\n')
  console.log(`${table}\n\n${foot}`)
  mkdirSync(dir, { recursive: true })
  writeFileSync(join(dir, 'recovery.json'), `${JSON.stringify({ machine, rttMs: RTT_MS, plan, results }, undefined, 1)}\n`)
  writeFileSync(join(dir, 'recovery.md'), `${table}\n\n${foot}\n`)
  if (o.docs) {
    const file = join(ROOT, 'docs', 'recovery.md')
    const made = 'Medians. Made by `npm run bench:recovery -- --docs`; every time: [recovery.json](../bench/results/recovery.json).'
    writeFileSync(file, spliced(readFileSync(file, 'utf8'), `${table}\n\n${foot}\n${made}`, 'recovery'))
  }
  process.exit(0)
}

/** Starts `stub` before fault servers of its own and takes it through one case. */
async function timesOf(stub: Stub, one: Case, authority: Authority): Promise<readonly number[]> {
  const servers = await Promise.all(
    Array.from({ length: one.resolvers }, () =>
      startFaultServer({ authority, protocol: 'dot', chance: seeded(1), usual: { rttMs: RTT_MS }, unexpected: false }),
    ),
  )
  const { asker, stop } = await startStub(stub, servers, authority)
  try {
    return await one.run({ id: stub.id, servers, asker }, plan)
  } finally {
    await stop()
    await Promise.all(servers.map((server) => server.close()))
  }
}

/** What was measured now, and of an earlier run what was not (`--only`, `--stubs`). */
function merged(file: string, times: ReadonlyMap<Case, ReadonlyMap<string, readonly number[]>>): readonly Result[] {
  const before = existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as { readonly results: readonly Result[] }).results : []
  return CASES.map((one) => {
    const { timesMs } = before.find(({ id }) => id === one.id) ?? { timesMs: {} }
    return { id: one.id, title: one.title, resolvers: one.resolvers, timesMs: { ...timesMs, ...Object.fromEntries(times.get(one) ?? []) } }
  })
}
