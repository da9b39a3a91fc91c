import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { createAuthority } from '../../../src/demo/authority.ts'
import type { Protocol } from './fault.ts'
import { play, SCENARIOS, stepsOf } from './scenario.ts'
import { seeded } from './seeded.ts'
import { startFaultServer } from './server.ts'
import { faultEntry } from './trusted.ts'

const USAGE = `npm run faults -- [--scenario NAME] [--seed N] [--over dot,h2,h1] [--rtt MS] [--every S] [--host ADDRESS] [--anybody] [--list]

Resolvers on loopback that fail as NAME says (default: fair), until Ctrl-C. One resolver for each word of --over (default: dot,h2).
It prints where they listen and the resolvers.json to put into a configuration: enigm-dns run --config FILE with { "resolvers": ".../resolvers.json" }.
It ends with an error as soon as a client does what enigm-dns never does, unless --anybody is given.`
const DAY_MS = 86_400_000

const { values: o } = parseArgs({
  options: {
    scenario: { type: 'string', default: 'fair' },
    seed: { type: 'string', default: '1' },
    over: { type: 'string', default: 'dot,h2' },
    rtt: { type: 'string', default: '0' },
    every: { type: 'string', default: '60' },
    host: { type: 'string', default: '127.0.0.1' },
    anybody: { type: 'boolean', default: false },
    list: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})

if (o.help) console.log(USAGE)
else if (o.list) for (const [name, what] of Object.entries(SCENARIOS)) console.log(`${name.padEnd(16)} ${what}`)
else await run()

async function run(): Promise<void> {
  const protocols = o.over.split(',').map(protocolOf)
  const chance = seeded(numberOf('seed', o.seed))
  const steps = stepsOf(o.scenario, chance, { protocols, lengthMs: DAY_MS, everyMs: numberOf('every', o.every) * 1000 })
  const authority = await createAuthority()
  const usual = { rttMs: numberOf('rtt', o.rtt) }
  const servers = await Promise.all(
    protocols.map((protocol) =>
      startFaultServer({
        authority,
        protocol,
        host: o.host,
        chance: chance.branch(),
        usual,
        ...(o.anybody ? { unexpected: false as const } : {}),
      }),
    ),
  )
  const dir = mkdtempSync(join(tmpdir(), 'enigm-dns-faults-'))
  process.on('exit', () => rmSync(dir, { recursive: true, force: true }))
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => process.exit(0))
  const resolvers = servers.map(({ protocol, port }, i) => faultEntry(`fault${i + 1}`, protocol, port, o.host))
  writeFileSync(join(dir, 'ca.pem'), authority.certificate, { mode: 0o600 })
  writeFileSync(join(dir, 'resolvers.json'), `${JSON.stringify({ version: 1, resolvers }, undefined, 2)}\n`, { mode: 0o600 })
  servers.forEach(({ protocol, port }, i) => {
    console.log(`fault${i + 1} ${protocol} ${o.host}:${port}`)
  })
  console.log(`ca ${join(dir, 'ca.pem')}\nresolvers ${join(dir, 'resolvers.json')}\nscenario ${o.scenario} seed ${o.seed}`)
  const beganMs = performance.now()
  play(steps, servers, ({ fault, server }, what) => {
    const { kind, ...measure } = fault
    console.log(`${((performance.now() - beganMs) / 1000).toFixed(1)} s: ${kind} ${what} at fault${server + 1} ${JSON.stringify(measure)}`)
  })
}

function protocolOf(word: string): Protocol {
  if (word === 'dot' || word === 'h2' || word === 'h1') return word
  throw new Error(`--over takes dot, h2 and h1, not ${word}`)
}

function numberOf(option: string, text: string): number {
  const value = Number(text)
  if (text === '' || !Number.isFinite(value) || value < 0) throw new Error(`--${option} takes a number, not ${text}`)
  return value
}
