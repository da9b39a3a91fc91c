import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { nameFromText } from '../../src/dns/name.ts'
import { buildLists } from '../../src/rules/list-build.ts'
import { ListRules } from '../../src/rules/list-rules.ts'
import { type MadeList, makeLists, nameOf } from './made-lists.ts'
import { measureServer, SERVERS, type ServerFigures } from './servers.ts'

const HELP = `npm run bench:lists -- [options]
  lists of names: the table alone, then this program and others with the same lists
  --names N        names in three lists together; default 2200000
  --only WORD      table, or one of ${SERVERS.map(({ id }) => id).join(', ')}`

const { values: options } = parseArgs({
  options: {
    names: { type: 'string', default: '2200000' },
    only: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
})
const names = Number(options.names)
/** Names that are looked up. */
const ASKED = 100_000

if (options.help || !(names >= 1000)) console.log(HELP)
else {
  const dir = mkdtempSync(join(tmpdir(), 'enigm-dns-bench-lists-'))
  try {
    const made = makeLists(dir, names)
    if (options.only === undefined || options.only === 'table') table(made)
    for (const server of SERVERS) {
      if (options.only !== undefined && options.only !== server.id) continue
      const figures = await measureServer(server, { dir, made, names })
      console.log(typeof figures === 'string' ? `${server.id.padEnd(12)} ${figures}` : rowOf(server.id, figures))
    }
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}

/** CPU in milliseconds that `work` takes: others may be working here. */
function cpuMs(work: () => void): number {
  const before = process.cpuUsage()
  work()
  const { user, system } = process.cpuUsage(before)
  return (user + system) / 1000
}

/** Names one behind the other, as packets are in the buffer of a listener. */
interface Asked {
  readonly octets: Uint8Array
  readonly starts: Int32Array
}

function inOnePlace(nameAt: (i: number) => string): Asked {
  const all = Array.from({ length: ASKED }, (_, i) => nameFromText(nameAt(i)))
  const starts = new Int32Array(ASKED)
  for (let i = 1; i < ASKED; i++) starts[i] = (starts[i - 1] ?? 0) + (all[i - 1]?.length ?? 0)
  return { octets: Uint8Array.from(Buffer.concat(all)), starts }
}

/** The table in this process: its memory, its making, and its lookups. */
function table(made: readonly MadeList[]): void {
  const specs = made.map(({ id, file }) => ({ id, path: file, format: 'auto' as const, action: 'block' as const }))
  let built: ReturnType<typeof buildLists> | undefined
  const buildMs = cpuMs(() => {
    built = buildLists(specs, Buffer.from('an octet'))
  })
  if (built === undefined || 'faults' in built) throw new Error('the lists cannot be read')
  const rules = new ListRules(built)
  const set = Uint8Array.from(specs, () => 1)
  const absent = inOnePlace((i) => `www.cdn${i}.host${(i * 31) % 9999}.net`)
  const present = inOnePlace((i) => `www.${nameOf((i * 7919) % names)}`)
  const per = ({ octets, starts }: Asked, rounds: number) => {
    let found = 0
    const ms = cpuMs(() => {
      for (let round = 0; round < rounds; round++) for (const at of starts) if (rules.ofName(octets, at, set) !== undefined) found++
    })
    return { ns: (ms * 1e6) / (rounds * starts.length), found }
  }
  per(absent, 1)
  const [miss, hit] = [per(absent, 10), per(present, 10)]
  let wrong = 0
  const changing = nameFromText('aaaaaaaa.aaaa.example')
  for (let i = 0; i < 10_000_000; i++) {
    for (let rest = i, at = 1; at <= 6; at++, rest = Math.floor(rest / 26)) changing[at] = 97 + (rest % 26)
    if (rules.ofName(changing, 0, set) !== undefined) wrong++
  }
  console.log(`table        ${(rules.octets / 1e6).toFixed(1)} MB for ${names} names, made in ${(buildMs / 1000).toFixed(2)} s of CPU`)
  console.log(`lookup       ${miss.ns.toFixed(0)} ns of an absent name of four labels, ${hit.ns.toFixed(0)} ns of a blocked one`)
  console.log(`wrong blocks ${wrong} of 10000000 absent names`)
}

function rowOf(id: string, f: ServerFigures): string {
  const more = f.rssMb - f.bareRssMb
  return `${id.padEnd(12)} ${more.toFixed(0).padStart(5)} MB more (${f.rssMb.toFixed(0)} MB), loads with ${f.loadCpuS.toFixed(2)} s of CPU (${f.loadS.toFixed(2)} s), ${f.blockedUs.toFixed(1)} us of CPU a blocked query`
}
