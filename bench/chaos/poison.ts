import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { type Authority, createAuthority } from '../../src/demo/authority.ts'
import type { Fault, Protocol } from '../../test/support/faults/fault.ts'
import { seeded } from '../../test/support/faults/seeded.ts'
import { startFaultServer } from '../../test/support/faults/server.ts'
import { cleanUpOnExit } from '../children.ts'
import { ROOT } from '../compiled.ts'
import { type Machine, thisMachine } from '../machine.ts'
import { isInstalled, STUBS, type Stub, startStub, versionOf } from '../recovery/stubs.ts'
import { newName, quantile, type Told } from './asker.ts'

const USAGE = `npm run poison -- [--seconds 20] [--rtt 20] [--only CASE,...] [--stubs ID,...] [--list]

One question every P ms makes the resolver close its connection; other names are asked every 30 ms. How many of the others fail, and how long they take beside the time
without poison. enigm-dns beside unbound and dnsdist before the same fault server. Prints a Markdown table; writes bench/results/poison.json and poison.md.
What is not measured now (--only, --stubs) stays as it was measured last.`

const { values: o } = parseArgs({
  options: {
    seconds: { type: 'string', default: '20' },
    rtt: { type: 'string', default: '20' },
    only: { type: 'string' },
    stubs: { type: 'string' },
    list: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})

const OTHERS_EVERY_MS = 30
const NAMES: Readonly<Record<Protocol, string>> = { dot: 'DoT', h2: 'DoH', h1: 'DoH over HTTP/1.1' }
const RESET: Fault = { kind: 'reset', victims: true }

/** What the poison does, how often it is asked, and before how many resolvers. */
interface Case {
  readonly id: string
  readonly over: Protocol
  readonly everyMs: number
  readonly resolvers: 1 | 2
  readonly fault: Fault
  /** What it says beside the protocol and the pace. */
  readonly also?: string
}

const CASES: readonly Case[] = [
  ...(['dot', 'h2', 'h1'] as const).flatMap((over) =>
    [1000, 300].map((everyMs): Case => ({ id: `${over}-${everyMs}`, over, everyMs, resolvers: 1, fault: RESET })),
  ),
  ...(['dot', 'h2'] as const).flatMap((over) =>
    [3, 8].map(
      (inARow): Case => ({
        ...{ id: `${over}-${inARow}-in-a-row`, over, everyMs: 1000, resolvers: 1, fault: { ...RESET, inARow } },
        also: `and the next ${inARow} connections die unanswered`,
      }),
    ),
  ),
  ...(['dot', 'h2'] as const).map(
    (over): Case => ({ id: `${over}-two`, over, everyMs: 300, resolvers: 2, fault: RESET, also: 'two such resolvers' }),
  ),
  { id: 'goaway', over: 'h2', everyMs: 300, resolvers: 1, fault: { kind: 'goaway-0', victims: true }, also: 'GOAWAY instead of RST' },
]

/** How the others fared. */
interface Outcome {
  readonly failed: number
  readonly p50Ms: number
  readonly undisturbedMs: number
  /** How often one poison name was asked of one resolver, at most. */
  readonly tries: number
  readonly connections: number
}

interface Result {
  readonly id: string
  readonly of: Readonly<Record<string, Outcome>>
}

if (o.help) console.log(USAGE)
else if (o.list) for (const { id } of CASES) console.log(id)
else await run()

async function run(): Promise<void> {
  cleanUpOnExit()
  const machine = thisMachine()
  const authority = await createAuthority()
  const stubs = STUBS.filter((stub) => stub.id !== 'stubby' && isInstalled(stub))
  const file = join(ROOT, 'bench', 'results', 'poison.json')
  const before = existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as { readonly results: readonly Result[] }).results : []
  const results: Result[] = []
  for (const one of CASES) {
    const of = { ...before.find(({ id }) => id === one.id)?.of }
    results.push({ id: one.id, of })
    if (o.only?.split(',').includes(one.id) === false) continue
    for (const stub of stubs.filter(({ id, carries }) => carries.includes(one.over) && (o.stubs?.split(',').includes(id) ?? true))) {
      of[stub.id] = await measured(stub, one, authority)
      console.error(one.id, stub.id, JSON.stringify(of[stub.id]))
    }
  }
  const table = tableOf(stubs, results, machine)
  console.log(table)
  mkdirSync(join(ROOT, 'bench', 'results'), { recursive: true })
  writeFileSync(file, `${JSON.stringify({ machine, seconds: Number(o.seconds), rttMs: Number(o.rtt), results }, undefined, 1)}\n`)
  writeFileSync(join(ROOT, 'bench', 'results', 'poison.md'), `${table}\n`)
  process.exit(0)
}

async function measured(stub: Stub, { over, everyMs, resolvers, fault }: Case, authority: Authority): Promise<Outcome> {
  const usual = { rttMs: Number(o.rtt) }
  const servers = await Promise.all(
    Array.from({ length: resolvers }, () => startFaultServer({ authority, protocol: over, chance: seeded(1), usual, unexpected: false })),
  )
  const { asker, stop } = await startStub(stub, servers, authority)
  const others = async (ms: number) => {
    const asked: Promise<Told>[] = []
    const untilMs = performance.now() + ms
    for (let dueMs = performance.now(); dueMs < untilMs; dueMs += OTHERS_EVERY_MS) {
      await sleep(Math.max(0, dueMs - performance.now()))
      asked.push(asker.ask(newName('other')))
    }
    return Promise.all(asked)
  }
  try {
    const calm = await others(3000)
    for (const server of servers) server.begin(fault)
    const dialledBefore = servers.map(({ path }) => path.dialledAtMs.length)
    const poison = setInterval(() => void asker.ask(newName('victim')), everyMs)
    const told = await others(Number(o.seconds) * 1000)
    clearInterval(poison)
    const took = (all: readonly Told[]) => all.filter(({ right }) => right).map(({ tookMs }) => tookMs)
    const tries = servers.flatMap(({ asked }) => [...asked].filter(([name]) => name.startsWith('victim')).map(([, times]) => times))
    return {
      failed: told.filter(({ right }) => !right).length / told.length,
      p50Ms: quantile(took(told), 0.5),
      undisturbedMs: quantile(took(calm), 0.5),
      tries: Math.max(0, ...tries),
      connections: servers.reduce((sum, { path }, i) => sum + path.dialledAtMs.length - (dialledBefore[i] ?? 0), 0),
    }
  } finally {
    await stop()
    await Promise.all(servers.map((server) => server.close()))
  }
}

function tableOf(stubs: readonly Stub[], results: readonly Result[], machine: Machine): string {
  const lines = CASES.map(({ id, over, everyMs, also }) => {
    const of = results.find((result) => result.id === id)?.of ?? {}
    const what = `${NAMES[over]}, poison every ${everyMs} ms${also === undefined ? '' : `, ${also}`}`
    return `| ${[what, ...stubs.map((stub) => cell(of[stub.id]))].join(' | ')} |`
  })
  const head = `| ${['others that fail; their p50 beside undisturbed; tries of one poison', ...stubs.map(({ id }) => id)].join(' | ')} |`
  return [
    head,
    `| --- |${' ---: |'.repeat(stubs.length)}`,
    ...lines,
    '',
    `One poison question every P ms, other names every ${OTHERS_EVERY_MS} ms for ${o.seconds} s, RTT ${o.rtt} ms. ${stubs.map((stub) => `${stub.id} ${versionOf(stub)}`).join(', ')}. ${machine.cpu}, ${machine.cores} cores, load before ${machine.loadBefore.toFixed(1)}.`,
  ].join('\n')
}

function cell(outcome: Outcome | undefined): string {
  if (outcome === undefined) return '-'
  const { failed, p50Ms, undisturbedMs, tries } = outcome
  const p50 = Number.isFinite(p50Ms) ? `${(p50Ms / undisturbedMs).toFixed(2)} x` : '-'
  return `${(failed * 100).toFixed(1)} %; ${p50}; ${tries}`
}
