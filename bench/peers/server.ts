import { writeFileSync } from 'node:fs'
import { isAbsolute, join } from 'node:path'
import { freePort } from '../../test/support/real/server-process.ts'
import { CORE, end, newPlace, pathOf, start } from '../children.ts'
import { ask } from '../load/ask.ts'
import { type Cost, costOf, rssMb, threadsNs } from '../load/process-cost.ts'
import { ADDRESS, type Upstream } from '../upstream/upstream.ts'
import type { Peer, Via, Wish } from './peer.ts'

/** A server under test that runs. */
export interface Server {
  readonly peer: Peer
  readonly via: Via
  readonly port: number
  cost(): Cost
  /** CPU of each of its threads. */
  threadsNs(): ReadonlyMap<string, number>
  rssMb(): number
  stop(): Promise<void>
}

/** How large a cache may be: by answers for those who count them, by octets for the others. */
export interface CacheSize {
  readonly entries: number
  readonly cacheBytes: number
}

const READY_MS = 15_000
let checks = 0

/**
 * Starts `peer` on `on`, a list of cores. Rejects, with its last words, where it ends or does not
 * answer as the upstream does: A with the right address, and NXDOMAIN.
 */
export async function startServer(peer: Peer, via: Via, size: CacheSize, upstream: Upstream, on: string = CORE.server): Promise<Server> {
  const { server, said } = await launch(peer, via, size, upstream, on)
  try {
    if (peer.role === 'floor') return await answering(server, 'any.bench.example').then(() => server)
    const { addresses } = await answering(server, `check${checks++}.bench.example`)
    if (addresses.join() !== ADDRESS) throw new Error(`it answers ${addresses.join() || 'nothing'} where ${ADDRESS} is right`)
    const { rcode } = await answering(server, `check${checks++}.nx.bench.example`)
    if (rcode !== 3) throw new Error(`it answers RCODE ${rcode} for a name that does not exist`)
    return server
  } catch (error) {
    await server.stop()
    throw new Error(`${error instanceof Error ? error.message : error}${said() === '' ? '' : `; it said: ${said()}`}`)
  }
}

async function answering({ port }: Server, name: string) {
  const reply = await ask(port, name, READY_MS)
  if (reply === undefined) throw new Error(`no answer within ${READY_MS / 1000} s`)
  return reply
}

/** From just before the program is started to its first right answer, ms. */
export async function firstAnswerMs(peer: Peer, via: Via, size: CacheSize, upstream: Upstream): Promise<number> {
  const { server, startedMs } = await launch(peer, via, size, upstream, CORE.server)
  const reply = await ask(server.port, `first${checks++}.bench.example`, READY_MS, 1)
  const tookMs = performance.now() - startedMs
  await server.stop()
  if (reply === undefined) throw new Error('no answer')
  return tookMs
}

async function launch(peer: Peer, via: Via, size: CacheSize, upstream: Upstream, on: string) {
  const wish: Wish = { via, port: await freePort(), dir: newPlace('server'), upstream, ...size }
  const { args, files, env } = peer.launch(wish)
  for (const [name, text] of Object.entries(files ?? {})) writeFileSync(join(wish.dir, name), text, { mode: 0o600 })
  const tool = isAbsolute(peer.tool) ? peer.tool : (pathOf(peer.tool) ?? peer.tool)
  const startedMs = performance.now()
  const child = start(on, tool, args, { cwd: wish.dir, env: { ...plainEnvironment(), ...env } })
  let words = ''
  for (const stream of [child.stdout, child.stderr])
    stream?.on('data', (chunk: Buffer) => {
      words = (words + chunk.toString()).slice(-600)
    })
  const pid = child.pid ?? 0
  const server: Server = {
    peer,
    via,
    port: wish.port,
    cost: () => costOf(pid),
    threadsNs: () => threadsNs(pid),
    rssMb: () => rssMb(pid),
    stop: () => end(child),
  }
  return { server, startedMs, said: () => words.trim() }
}

/** As a service manager would start it: nothing of npm's, nothing that changes Node. */
function plainEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(NODE_|npm_)/.test(name)))
}
