import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { loadConfig } from '../../../src/config/load.ts'
import { type Daemon, type DaemonOptions, startDaemon } from '../../../src/daemon.ts'
import { createLog } from '../../../src/log.ts'
import { momentary } from './chance.ts'
import { settle, VirtualClock } from './clock.ts'
import { Listening } from './listeners.ts'
import { type Peer, Wire, type Wires } from './peer.ts'
import { noteSaved } from './saved.ts'
import { type Action, scriptOf, setupOf } from './script.ts'
import { standIn } from './stand-ins.ts'
import { Transcript } from './transcript.ts'

const DRAIN_MS = 6_000
const PORT = 53_000
const CLIENT_PORTS = 10_000

/**
 * Plays one seed and says what came of it, line by line. The daemon itself is played, as it is
 * started: time, chance, clients, resolvers and what the host looks
 * like are of the seed. Masked: the process number and start in status documents, the signature
 * beside them (only that there is one), the boot in the label of the
 * saved cache, and the directory of the run in sentences; IDs of upstream queries are written as
 * zero.
 */
export async function record(seed: number): Promise<string> {
  const clock = new VirtualClock()
  const transcript = new Transcript(() => clock.nowMs())
  const directory = mkdtempSync(join(tmpdir(), 'enigm-record-'))
  const place = { name: 'home', vpn: true }
  const setup = setupOf(seed)
  const peers: Peer[] = setup.rttsMs.map((rttMs, i) => ({
    ...{ address: `192.0.2.${i + 1}`, name: `r${i}.example`, rttMs, pads: i !== 1, mood: 'well' },
  }))
  const wires: Wires = { seed, clock, transcript, peers, open: new Set(), asked: new Map(), up: true, dials: 0 }
  const listening = new Listening(transcript)
  const paths = { state: join(directory, 'state'), status: join(directory, 'run', 'status.json') }
  const plain = (text: string) => text.replaceAll(directory, '<dir>')
  const putBack = standIn({
    clock,
    listening,
    dial(options) {
      const peer = peers.find(({ address }) => address === options.host)
      if (peer === undefined) throw new Error(`nobody lives at ${options.host}`)
      return new Wire(wires, peer, options)
    },
    replaced(path) {
      if (path === paths.status) transcript.add('status', statusText(readFileSync(path, 'utf8')))
    },
  })
  const run: Run = { seed, clock, transcript, directory, peers, wires, listening, place, paths, plain, kernelTells: () => {} }
  try {
    await life(run, setup.config, setup.reloads, scriptOf(seed))
    // A second start finds what the first one left.
    await life(run, setup.config, [], scriptOf(seed, 1))
    filesLeft(run)
  } finally {
    putBack()
    rmSync(directory, { recursive: true })
  }
  return transcript.text()
}

interface Run {
  readonly seed: number
  readonly clock: VirtualClock
  readonly transcript: Transcript
  readonly directory: string
  readonly peers: readonly Peer[]
  readonly wires: Wires
  readonly listening: Listening
  readonly place: { name: string; vpn: boolean }
  readonly paths: { readonly state: string; readonly status: string }
  readonly plain: (text: string) => string
  kernelTells: () => void
}

function statusText(text: string): string {
  const document = JSON.parse(text) as Record<string, unknown>
  for (const name of ['pid', 'processStart']) if (name in document) document[name] = `<${name}>`
  return JSON.stringify(document)
}

/** From a start to its stop. */
async function life(run: Run, config: object, reloads: readonly object[], script: readonly Action[]): Promise<void> {
  const { clock, transcript } = run
  const log = createLog('debug', (line) => transcript.add('log', run.plain(line.trimEnd())))
  const daemon = await startDaemon(await load(run, config), { ...optionsOf(run), log: told(run, log.event), warn: log.warn })
  const sinceMs = clock.nowMs()
  const left = [...reloads]
  const orders = { last: Promise.resolve<unknown>(undefined) }
  const order = (what: string, give: () => Promise<unknown>) => {
    orders.last = orders.last.then(give).then(
      (said) => transcript.add('note', run.plain(`${what}: ${JSON.stringify(said) ?? 'done'}`)),
      (error: unknown) => transcript.add('note', run.plain(`${what} failed: ${String(error)}`)),
    )
  }
  for (const action of script) {
    await clock.advanceTo(sinceMs + action.atMs)
    act(run, daemon, action, order, () => left.shift() ?? config)
  }
  await clock.advanceTo(clock.nowMs() + DRAIN_MS)
  await orders.last
  const stopped = daemon.stop()
  await clock.advanceTo(clock.nowMs() + DRAIN_MS)
  await stopped
  await settle()
  transcript.add('note', `stopped, ${clock.timers} timers left, ${run.wires.open.size} connections open`)
  for (const path of [join(run.paths.state, 'cache.sealed'), join(run.directory, 'run', 'cache.sealed')])
    noteSaved(path, run.paths.state, transcript)
}

const told =
  ({ transcript, plain }: Run, log: DaemonOptions['log']): DaemonOptions['log'] =>
  (event) => {
    transcript.add('event', plain(JSON.stringify(event)))
    log(event)
  }

function optionsOf(run: Run): Omit<DaemonOptions, 'log' | 'warn'> {
  const { clock, place, wires } = run
  return {
    ...{ clock, random: momentary(run.seed, () => clock.nowMs()), version: 'recorded' },
    network: {
      read: () => ({ text: place.name, online: wires.up }),
      listen(heard) {
        run.kernelTells = heard
        return { close() {} }
      },
    },
    system: {
      egress: async (addresses) => ({
        ...{ vpn: place.vpn ? addresses.length : 0, other: place.vpn ? 0 : addresses.length, unknown: 0, unreachable: 0 },
      }),
      network: () => ({ known: true, id: place.name, matches: ({ gateway }) => gateway === '10.0.0.1' && place.name === 'place 1' }),
      resolver: () => ({ asks: 'us', by: 'the recorder', stays: false }),
      ask: async () => {},
      bypass: async () => ({ flows: 0, through: ['sockets'] }),
    },
  }
}

/** Read as it is at a start, defaults and checks with it. */
function load({ directory, peers, paths }: Run, config: object) {
  const write = (name: string, value: unknown) => writeFileSync(join(directory, name), JSON.stringify(value), { mode: 0o600 })
  const resolvers = peers.map(({ address, name }, i) => ({
    ...{ id: `r${i}`, operator: `Operator ${i}`, jurisdiction: 'CH', authenticationDomainName: name, addresses: [address] },
    transports: { dot: { port: 853 }, doh: { port: 443, path: '/dns-query' } },
    claims: i === 1 ? { coverTraffic: false, logging: false } : {},
  }))
  write('resolvers.json', { version: 1, resolvers })
  const places = { resolvers: 'resolvers.json', listen: [`127.0.0.1:${PORT}`], statusFile: paths.status, stateDir: paths.state }
  write('config.json', { ...places, udp: 'dgram', heartbeatS: 10, log: { level: 'debug' }, ...config })
  return loadConfig(join(directory, 'config.json'))
}

type Order = (what: string, give: () => Promise<unknown>) => void

function act(run: Run, daemon: Daemon, action: Action, order: Order, nextConfig: () => object): void {
  const { clock, transcript, wires, peers, place } = run
  if (action.do !== 'ask') transcript.add('note', JSON.stringify(action))
  const forget = () => {
    for (const wire of wires.open) wire.deaf = true
  }
  switch (action.do) {
    case 'ask':
      return void ask(run, action)
    case 'mood': {
      const peer = peers[action.peer % peers.length]
      if (peer !== undefined) peer.mood = action.mood
      if (action.mood === 'half-open') forget()
      return
    }
    case 'mend':
      for (const peer of peers) peer.mood = 'well'
      return
    case 'die':
      return void forget()
    case 'roam':
      place.name = action.to
      forget()
      return void run.kernelTells()
    case 'online':
      wires.up = action.up
      forget()
      place.name = action.up ? 'home' : 'nowhere'
      return void run.kernelTells()
    case 'suspend':
      forget()
      return void clock.suspend(action.forMs)
    case 'stop-for':
      return void clock.stopFor(action.forMs)
    case 'wall':
      return void clock.jumpWall(action.byMs)
    case 'vpn':
      place.vpn = action.there
      return
    case 'reload':
      return void order('reload', async () => void (await daemon.reload(await load(run, nextConfig()))))
    case 'refuse':
      return void daemon.refuseReload('a configuration that will not do')
    case 'forget':
      return void order('forget', async () => {
        const { files, ...counts } = await daemon.forget()
        return { ...counts, files: files.toSorted() }
      })
    case 'trace': {
      daemon.trace.begin(action.forMs, {
        send: (lines) => {
          for (const line of lines) transcript.add('trace', JSON.stringify(line))
          return true
        },
        end: () => transcript.add('trace', 'end'),
      })
      return
    }
  }
}

function ask({ listening }: Run, { from, port, over, queries, thenDone }: Extract<Action, { readonly do: 'ask' }>): void {
  const clientPort = CLIENT_PORTS + port
  if (over === 'udp') for (const query of queries) listening.udp.get(PORT)?.came(query, from, clientPort)
  else {
    const client = listening.tcp.get(PORT)?.connect(from, clientPort)
    client?.ask(queries)
    if (thenDone) client?.done()
  }
}

/** Names and modes of what is left, and the audit log. */
function filesLeft({ directory, paths, transcript }: Run): void {
  for (const folder of ['run', 'state']) {
    const path = join(directory, folder)
    if (!existsSync(path)) continue
    for (const name of readdirSync(path).toSorted())
      transcript.add('files', `${folder}/${name} ${(statSync(join(path, name)).mode & 0o777).toString(8)}`)
  }
  const audit = join(paths.state, 'audit.jsonl')
  if (existsSync(audit)) for (const line of readFileSync(audit, 'utf8').trimEnd().split('\n')) transcript.add('audit', line)
}

/**
 * How often each stream of a transcript has a line; and whether it says that anything was left
 * behind.
 */
export function countsOf(text: string): Readonly<Record<string, number>> {
  const counts: Record<string, number> = {}
  for (const line of text.trimEnd().split('\n')) {
    const stream = line.split(' ', 2)[1] ?? ''
    counts[stream] = (counts[stream] ?? 0) + 1
  }
  return counts
}
