import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePort as aFreePort } from '../../../src/demo/demo-daemon.ts'
import { pathOf, type Tool } from './tools.ts'

/** What a server shows the world: a certificate and its key, PEM. */
export interface Identity {
  readonly key: string
  readonly cert: string
}

/**
 * A real name server on loopback. Ports that its Debian version has no listener for are undefined.
 */
export interface RealServer {
  readonly kind: Tool
  readonly dnsPort: number
  readonly dotPort: number
  readonly dohPort: number | undefined
  /** SIGKILL, as a crash. */
  kill(): Promise<void>
  /** Starts it again on the same ports after `kill`. */
  restart(): Promise<void>
  /** Ends it and removes its files. */
  stop(): Promise<void>
}

/**
 * How to run one kind of server. `files` and `args` get the directory that holds everything and the
 * ports to use.
 */
export interface Recipe {
  readonly tool: Tool
  readonly doh: boolean
  /** It listens at `dnsPort` only. */
  readonly plain?: true
  /** It has processes of its own, which end with it. */
  readonly forks?: true
  files(at: Place): Readonly<Record<string, string>>
  args(at: Place): readonly string[]
}
export interface Place {
  readonly dir: string
  readonly dnsPort: number
  readonly dotPort: number
  readonly dohPort: number
}

const running = new Set<ChildProcess>()
const groups = new Set<number>()
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
  for (const group of groups) {
    try {
      process.kill(-group, 'SIGKILL')
    } catch {
      // All of it has ended.
    }
  }
})

/**
 * Starts a server by its recipe, in a directory of its own, and waits until all its ports accept.
 * Another set of ports is tried when somebody else took one.
 */
export async function runServer(recipe: Recipe, identity: Identity): Promise<RealServer> {
  let lastWords = ''
  for (let attempt = 0; attempt < 3; attempt++) {
    const dir = mkdtempSync(join(tmpdir(), `enigm-dns-${recipe.tool}-`))
    const place = { dir, dnsPort: await freePort(), dotPort: await freePort(), dohPort: await freePort() }
    const files = { 'cert.pem': identity.cert, 'key.pem': identity.key, ...recipe.files(place) }
    for (const [name, text] of Object.entries(files)) writeFileSync(join(dir, name), text, { mode: 0o600 })
    const started = await launch(recipe, place)
    if (typeof started !== 'string') return server(recipe, place, started)
    lastWords = started
    rmSync(dir, { recursive: true, force: true })
  }
  throw new Error(`${recipe.tool} did not start: ${lastWords}`)
}

function server(recipe: Recipe, place: Place, first: ChildProcess): RealServer {
  let child = first
  const kill = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return
    const gone = once(child, 'exit')
    if (recipe.forks) process.kill(-(child.pid ?? 0), 'SIGKILL')
    else child.kill('SIGKILL')
    await gone
  }
  return {
    kind: recipe.tool,
    dnsPort: place.dnsPort,
    dotPort: place.dotPort,
    dohPort: recipe.doh ? place.dohPort : undefined,
    kill,
    async restart() {
      const again = await launch(recipe, place)
      if (typeof again === 'string') throw new Error(again)
      child = again
    },
    async stop() {
      await kill()
      rmSync(place.dir, { recursive: true, force: true })
    },
  }
}

/** The process once its ports accept, or what it said when it ended or took longer than 20 s. */
async function launch(recipe: Recipe, place: Place): Promise<ChildProcess | string> {
  const child = spawn(pathOf(recipe.tool) ?? recipe.tool, recipe.args(place), {
    cwd: place.dir,
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: recipe.forks === true,
  })
  let said = ''
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => {
      said = (said + chunk.toString()).slice(-3000)
    })
  running.add(child)
  if (recipe.forks && child.pid !== undefined) groups.add(child.pid)
  child.on('exit', () => running.delete(child))
  child.on('error', (error) => {
    said += error.message
  })
  const ports = recipe.plain ? [place.dnsPort] : [place.dnsPort, place.dotPort, ...(recipe.doh ? [place.dohPort] : [])]
  for (let waited = 0; waited < 20_000; waited += 50) {
    if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return said
    if ((await Promise.all(ports.map(accepts))).every(Boolean)) return child
    await sleep(50)
  }
  child.kill('SIGKILL')
  return `ports never opened: ${said}`
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.on('connect', () => resolve(true))
    socket.on('connect', () => socket.destroy())
    socket.on('error', () => resolve(false))
  })
}

/**
 * What `freePort` gave: never again, since a server that shares ports (SO_REUSEPORT, as named does)
 * would take one port for two of its protocols.
 */
const given = new Set<number>()

/** A loopback port that is free for TCP and UDP alike, and that was not given before. */
export async function freePort(): Promise<number> {
  let port = await aFreePort()
  while (given.has(port)) port = await aFreePort()
  given.add(port)
  return port
}
