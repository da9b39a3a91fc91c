import { type ChildProcess, spawn } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { createReadStream, createWriteStream, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { query } from '../../test/support/messages.ts'
import { freePort } from '../../test/support/real/server-process.ts'
import { pathOf, type Tool } from '../../test/support/real/tools.ts'
import { CORE, pin } from '../children.ts'
import { dnsperf } from '../load/dnsperf.ts'
import { costOf, rssMb } from '../load/process-cost.ts'
import { median } from '../report/run.ts'
import { type MadeList, nameOf } from './made-lists.ts'

/** The lists, and where files may be written. */
export interface ListScene {
  readonly dir: string
  readonly made: readonly MadeList[]
  readonly names: number
}

interface Launch {
  readonly command: string
  readonly args: readonly string[]
}

/** A program that blocks names of lists. `prepare` writes its configuration, with the lists or without. */
interface BlockingServer {
  readonly id: string
  readonly prepare: (scene: ListScene, dir: string, port: number, lists: boolean) => Promise<Launch | undefined>
}

export interface ServerFigures {
  readonly rssMb: number
  readonly bareRssMb: number
  readonly loadS: number
  readonly loadCpuS: number
  readonly blockedUs: number
}

const LOADS_MS = 120_000
const SETTLES_MS = 2000
/** Different names that are asked. */
const ASKED = 50_000
const IN_FLIGHT = 200
const ROUND_S = 3
const ROUNDS = 3

const main = new URL('../../../dist/main.js', import.meta.url).pathname

/** Writes the names of all lists in another form. */
async function rewritten({ made }: ListScene, file: string, head: string, line: (name: string) => string): Promise<void> {
  const out = createWriteStream(file)
  out.write(head)
  for (const { file: from } of made)
    for await (const text of createInterface({ input: createReadStream(from) })) {
      const name = text.replace(/^0\.0\.0\.0 |^\|\||\^$/g, '')
      if (!out.write(line(name))) await once(out, 'drain')
    }
  out.end()
  await once(out, 'finish')
}

function tool(name: Tool, ...args: string[]): Launch | undefined {
  const command = pathOf(name)
  return command === undefined ? undefined : { command, args }
}

export const SERVERS: readonly BlockingServer[] = [
  {
    id: 'enigm-dns',
    async prepare({ made }, dir, port, lists) {
      const resolver = { id: 'a', authenticationDomainName: 'a.example', addresses: ['127.0.0.1'], transports: { dot: { port: 1 } } }
      writeFileSync(join(dir, 'resolvers.json'), JSON.stringify({ version: 1, resolvers: [resolver] }), { mode: 0o600 })
      const files = { resolvers: 'resolvers.json', statusFile: join(dir, 'status.json'), stateDir: join(dir, 'state') }
      const config = { listen: [`127.0.0.1:${port}`], ...files, lists: lists ? made.map(({ id, file }) => ({ id, file })) : [] }
      writeFileSync(join(dir, 'config.json'), JSON.stringify(config), { mode: 0o600 })
      return { command: process.execPath, args: [main, 'run', '--config', join(dir, 'config.json')] }
    },
  },
  {
    id: 'unbound',
    async prepare(scene, dir, port, lists) {
      const zone = join(dir, 'rpz.zone')
      const head = '$TTL 60\n@ IN SOA localhost. root.localhost. 1 1h 15m 30d 2h\n@ IN NS localhost.\n'
      if (lists) await rewritten(scene, zone, head, (name) => `${name} CNAME .\n*.${name} CNAME .\n`)
      const rpz = lists ? `rpz:\n name: rpz.test\n zonefile: "${zone}"\n` : ''
      const server = `server:\n interface: 127.0.0.1@${port}\n chroot: ""\n username: ""\n directory: "${dir}"\n pidfile: ""\n use-syslog: no\n do-daemonize: no\n module-config: "respip iterator"\n`
      writeFileSync(join(dir, 'unbound.conf'), server + rpz)
      return tool('unbound', '-d', '-c', join(dir, 'unbound.conf'))
    },
  },
  {
    id: 'dnsmasq',
    async prepare(scene, dir, port, lists) {
      const head = `port=${port}\nlisten-address=127.0.0.1\nbind-interfaces\nuser=root\npid-file=\nno-resolv\nno-hosts\n`
      const file = join(dir, 'dnsmasq.conf')
      if (lists) await rewritten(scene, file, head, (name) => `address=/${name}/0.0.0.0\n`)
      else writeFileSync(file, head)
      return tool('dnsmasq', '-k', '-C', file)
    },
  },
  {
    id: 'smartdns',
    async prepare(scene, dir, port, lists) {
      const list = join(dir, 'names.list')
      if (lists) await rewritten(scene, list, '', (name) => `${name}\n`)
      const set = lists ? `domain-set -name ads -type list -file ${list}\naddress /domain-set:ads/0.0.0.0\n` : ''
      writeFileSync(
        join(dir, 'smartdns.conf'),
        `bind 127.0.0.1:${port}\nserver 127.0.0.1:1\nlog-file ${dir}/log\nlog-level fatal\ncache-persist no\n${set}`,
      )
      return tool('smartdns' as Tool, '-f', '-p', '-', '-c', join(dir, 'smartdns.conf'))
    },
  },
]

/** Measures one program with and without the lists; a text: why it could not be measured. */
export async function measureServer(server: BlockingServer, scene: ListScene): Promise<ServerFigures | string> {
  const bare = await started(server, scene, false)
  if (typeof bare === 'string') return bare
  await sleep(SETTLES_MS)
  const bareRssMb = rssMb(bare.pid)
  const bareCpuS = cpuTimeS(bare.pid)
  bare.end()
  const full = await started(server, scene, true)
  if (typeof full === 'string') return full
  try {
    if (!(await blocks(full.port, scene.names))) return `does not block within ${LOADS_MS / 1000} s`
    const loadS = (performance.now() - full.startedMs) / 1000
    const loadCpuS = Math.max(0, cpuTimeS(full.pid) - bareCpuS)
    await sleep(SETTLES_MS)
    const rss = rssMb(full.pid)
    return { rssMb: rss, bareRssMb, loadS, loadCpuS, blockedUs: await blockedUs(full.pid, full.port, scene) }
  } finally {
    full.end()
  }
}

/** CPU of a process so far, its ended threads included; in steps of 10 ms. */
function cpuTimeS(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ') ?? []
  return (Number(fields[11] ?? 0) + Number(fields[12] ?? 0)) / 100
}

async function started(server: BlockingServer, scene: ListScene, lists: boolean) {
  const port = await freePort()
  const dir = join(scene.dir, `${server.id}-${lists ? 'full' : 'bare'}`)
  mkdirSync(dir)
  const launch = await server.prepare(scene, dir, port, lists)
  if (launch === undefined) return 'is not installed'
  const startedMs = performance.now()
  const child: ChildProcess = spawn(launch.command, launch.args, { stdio: 'ignore' })
  const { pid } = child
  if (pid === undefined) return 'does not start'
  return { pid, port, startedMs, end: () => void child.kill('SIGKILL') }
}

/** Asks for the last name of the lists until it is blocked. */
async function blocks(port: number, names: number): Promise<boolean> {
  for (const end = performance.now() + LOADS_MS; performance.now() < end; await sleep(20)) {
    const socket = createSocket('udp4')
    socket.on('error', () => {})
    const answered = new Promise<Uint8Array | undefined>((resolve) => {
      socket.on('message', resolve)
      setTimeout(() => resolve(undefined), 500)
    })
    socket.send(query({ name: nameOf(names - 1) }), port, '127.0.0.1')
    const reply = await answered
    socket.close()
    if (reply !== undefined && isBlocked(reply)) return true
  }
  return false
}

const isBlocked = (reply: Uint8Array) =>
  ((reply[3] ?? 0) & 15) === 3 || (reply[7] === 1 && reply.subarray(-4).every((octet) => octet === 0))

/**
 * CPU of a blocked query in microseconds, the median of ROUNDS: many different names, asked as the
 * main bench asks for hits.
 */
async function blockedUs(pid: number, port: number, { dir, names }: ListScene): Promise<number> {
  const file = join(dir, 'blocked-queries')
  writeFileSync(file, Array.from({ length: ASKED }, (_, i) => `${nameOf((i * 7919) % names)} A\n`).join(''))
  pin(pid, CORE.server)
  const found: number[] = []
  // The first round is left out: compilers of the runtime get its queries for themselves.
  for (let round = 0; round <= ROUNDS; round++) {
    const before = costOf(pid).cpuNs
    const { completed, lost } = await dnsperf({ port, file, inFlight: IN_FLIGHT, seconds: ROUND_S })
    if (lost > completed / 1000) throw new Error(`${lost} of ${completed} queries were lost`)
    if (round > 0) found.push((costOf(pid).cpuNs - before) / 1000 / completed)
  }
  return median(found)
}
