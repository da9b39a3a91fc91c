import { type ChildProcess, spawn } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Clock } from '../clock.ts'
import { asStatusDocument, type StatusDocument } from '../posture/document.ts'

const START_LIMIT_MS = 15_000
/**
 * Longer than the daemon's own drain (one query's deadline), so that only a daemon that hangs gets
 * SIGKILL.
 */
const STOP_LIMIT_MS = 8000

/** A daemon of a demo, on a free port of loopback. */
export interface DemoDaemon {
  readonly port: number
  readonly statusFile: string
  /**
   * The status document when it says `protected`; after the time limit, the current one; undefined
   * if there is none.
   */
  status(): Promise<StatusDocument | undefined>
  /** Rejects if the daemon ends by itself. */
  readonly daemonEnded: Promise<never>
}

/** What was started and must be stopped, in order. */
export class Undo {
  readonly #steps: (() => Promise<unknown>)[] = []

  add(step: () => Promise<unknown>): void {
    this.#steps.push(step)
  }

  /** Stops everything, the newest first. May be called repeatedly. */
  async all(): Promise<void> {
    for (let step = this.#steps.pop(); step !== undefined; step = this.#steps.pop()) await step()
  }
}

/**
 * Starts a daemon in a new directory that only this user can read, with this trusted set, the files
 * that it names, and these settings.
 */
export async function startDemoDaemon(
  o: { readonly set: object; readonly files: Readonly<Record<string, string>>; readonly config?: object },
  time: Clock,
  undo: Undo,
): Promise<DemoDaemon> {
  const directory = await mkdtemp(join(tmpdir(), 'enigm-dns-demo-'))
  undo.add(() => rm(directory, { recursive: true, force: true }))
  const port = await freePort()
  const at = (name: string) => join(directory, name)
  const statusFile = at('status.json')
  const own = { listen: [`127.0.0.1:${port}`], resolvers: 'resolvers.json', statusFile, stateDir: at('state'), heartbeatS: 1 }
  const files = {
    ...o.files,
    'resolvers.json': JSON.stringify({ version: 1, ...o.set }, null, 2),
    'config.json': JSON.stringify({ ...o.config, ...own }, null, 2),
  }
  for (const [name, text] of Object.entries(files)) await writeFile(at(name), text, { mode: 0o600 })
  const main = fileURLToPath(new URL('../main.js', import.meta.url))
  const daemon = spawn(process.execPath, [main, 'run', '--config', at('config.json')], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: trimmedEnvironment(),
  })
  const last = () => daemon.kill('SIGKILL')
  process.once('exit', last)
  undo.add(() => stopDaemon(daemon, time).finally(() => process.off('exit', last)))
  const daemonEnded = endOf(daemon)
  await Promise.race([ready(daemon), daemonEnded, failAfter(START_LIMIT_MS, time, 'the daemon did not get ready')])
  return { port, statusFile, daemonEnded, status: () => statusOnceProtected(statusFile, time) }
}

/**
 * The daemon refuses to start if the environment adds trusted roots for TLS; a demo that trusts
 * only its own authority does not need them.
 */
function trimmedEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(NODE|SSL)_/.test(name)))
}

/** A port of loopback that is free for TCP and UDP alike, at this moment. */
export async function freePort(): Promise<number> {
  for (;;) {
    const tcp = createServer().listen(0, '127.0.0.1')
    await once(tcp, 'listening')
    const address = tcp.address()
    const port = typeof address === 'object' ? (address?.port ?? 0) : 0
    const udp = createSocket('udp4')
    const free = await new Promise<boolean>((resolve) => {
      udp.once('error', () => resolve(false))
      udp.bind(port, '127.0.0.1', () => resolve(true))
    })
    udp.close()
    await new Promise((resolve) => tcp.close(resolve))
    if (free) return port
  }
}

/** Rejects with the daemon's last output if it ends by itself. */
function endOf(daemon: ChildProcess): Promise<never> {
  let words = ''
  daemon.stderr?.on('data', (chunk: Buffer) => {
    words = (words + chunk.toString()).slice(-4000)
  })
  const broken = new Promise<never>((_, reject) => {
    daemon.once('error', reject)
    daemon.once('exit', (code, signal) => reject(new Error(`the daemon ended (${code ?? signal}):\n${words}`)))
  })
  broken.catch(() => {}) // also if no caller waits any more
  return broken
}

function ready(daemon: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    let said = ''
    daemon.stdout?.on('data', (chunk: Buffer) => {
      said += chunk.toString()
      if (said.split('\n').includes('ready')) resolve()
    })
  })
}

function failAfter(ms: number, time: Clock, what: string): Promise<never> {
  return new Promise((_, reject) => void time.setTimer(ms, () => reject(new Error(what))))
}

async function stopDaemon(daemon: ChildProcess, time: Clock): Promise<void> {
  if (daemon.exitCode !== null || daemon.signalCode !== null) return
  const gone = once(daemon, 'exit')
  daemon.kill('SIGTERM')
  const timer = time.setTimer(STOP_LIMIT_MS, () => daemon.kill('SIGKILL'))
  await gone
  timer.cancel()
}

async function statusOnceProtected(file: string, time: Clock): Promise<StatusDocument | undefined> {
  const until = time.nowMs() + START_LIMIT_MS
  for (;;) {
    const document = await readFile(file, 'utf8').then(
      (text) => asStatusDocument(JSON.parse(text)),
      () => undefined,
    )
    if (document?.state === 'protected' || time.nowMs() > until) return document
    await new Promise<void>((resolve) => void time.setTimer(20, resolve))
  }
}
