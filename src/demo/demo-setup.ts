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
import { createAuthority } from './authority.ts'
import { startEmbeddedResolver } from './embedded-resolver.ts'
import { type LinkTap, tapLink } from './link-tap.ts'
import { DEMO_ZONE, parseZone, zoneOf } from './zone.ts'

const NAME = 'resolver.demo.example'
const START_LIMIT_MS = 15_000
/**
 * Longer than the daemon's own drain (one query's deadline), so that only a daemon that hangs gets
 * SIGKILL.
 */
const STOP_LIMIT_MS = 8000

/**
 * All parts of the demo: a daemon, the resolver that it trusts, and a tap on the link between them.
 */
export interface DemoSetup {
  readonly port: number
  readonly tap: LinkTap
  readonly statusFile: string
  /**
   * The status document when it says `protected`; after the time limit, the current one; undefined
   * if there is none.
   */
  status(): Promise<StatusDocument | undefined>
  /** Rejects if the daemon ends by itself. */
  readonly daemonEnded: Promise<never>
  /** Stops the daemon and removes every file. May be called repeatedly. */
  takeDown(): Promise<void>
}

/**
 * Starts all parts, in a directory that only this user can read. If one part fails, the earlier
 * ones are stopped.
 */
export async function startDemo(time: Clock): Promise<DemoSetup> {
  const undo: (() => Promise<unknown>)[] = []
  const takeDown = async () => {
    for (let step = undo.pop(); step !== undefined; step = undo.pop()) await step()
  }
  try {
    const directory = await mkdtemp(join(tmpdir(), 'enigm-dns-demo-'))
    undo.push(() => rm(directory, { recursive: true, force: true }))
    const authority = await createAuthority()
    const identity = await authority.issue({ name: NAME })
    const resolver = await startEmbeddedResolver(zoneOf(parseZone(DEMO_ZONE)), identity)
    undo.push(() => resolver.close())
    const tap = await tapLink(resolver.dotPort, () => time.nowMs())
    undo.push(() => tap.close())
    const port = await freePort()
    const files = { directory, ca: authority.certificate, pin: identity.spkiPin, port, dotPort: tap.port, dohPort: resolver.dohPort }
    const statusFile = await writeFiles(files)
    const daemon = spawn(
      process.execPath,
      [fileURLToPath(new URL('../main.js', import.meta.url)), 'run', '--config', join(directory, 'config.json')],
      {
        stdio: ['ignore', 'pipe', 'pipe'],
        env: trimmedEnvironment(),
      },
    )
    const last = () => daemon.kill('SIGKILL')
    process.once('exit', last)
    undo.push(() => stopDaemon(daemon, time).finally(() => process.off('exit', last)))
    const daemonEnded = endOf(daemon)
    await Promise.race([ready(daemon), daemonEnded, failAfter(START_LIMIT_MS, time, 'the daemon did not get ready')])
    return { port, tap, statusFile, daemonEnded: daemonEnded, takeDown: takeDown, status: () => statusOnceProtected(statusFile, time) }
  } catch (error) {
    await takeDown()
    throw error
  }
}

async function writeFiles(o: {
  directory: string
  ca: string
  pin: string
  port: number
  dotPort: number
  dohPort: number
}): Promise<string> {
  const at = (name: string) => join(o.directory, name)
  const write = (name: string, text: string) => writeFile(at(name), text, { mode: 0o600 })
  await write('ca.pem', o.ca)
  const resolver = {
    id: 'demo',
    operator: 'the embedded resolver of this demo',
    authenticationDomainName: NAME,
    addresses: ['127.0.0.1'],
    transports: { dot: { port: o.dotPort }, doh: { port: o.dohPort } },
    spkiPins: [o.pin],
    caFile: 'ca.pem',
  }
  await write('resolvers.json', JSON.stringify({ version: 1, resolvers: [resolver] }, null, 2))
  const config = {
    listen: [`127.0.0.1:${o.port}`],
    resolvers: 'resolvers.json',
    statusFile: at('status.json'),
    stateDir: at('state'),
    heartbeatS: 1,
  }
  await write('config.json', JSON.stringify(config, null, 2))
  return at('status.json')
}

/**
 * The daemon refuses to start if the environment adds trusted roots for TLS; a demo that trusts
 * only its own authority does not need them.
 */
function trimmedEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(NODE|SSL)_/.test(name)))
}

/** A port that is free for both TCP and UDP at this moment. */
async function freePort(): Promise<number> {
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
