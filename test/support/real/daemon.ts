import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { Authority } from '../../../src/demo/authority.ts'
import { freePort, type RealServer } from './server-process.ts'

/** The root of the project, from test/ and from build/test/ alike. */
const root = (function up(from: string): string {
  return existsSync(join(from, 'package.json')) ? from : up(dirname(from))
})(dirname(fileURLToPath(import.meta.url)))

/**
 * Settings for every daemon that does not say otherwise: `DAEMON_CONFIG='{"udp":"dgram"}' npm test
 * -- e2e` runs the same tests over another listener.
 */
const everyDaemon = JSON.parse(process.env.DAEMON_CONFIG ?? '{}') as Readonly<Record<string, unknown>>

/** The built command line, which users run: dist/, not build/. */
export const CLI = join(root, 'dist', 'main.js')

/** The authentication domain name that test certificates are issued for. */
export const RESOLVER_NAME = 'resolver.zone.example'

/** A start takes 0.2 s, and a few seconds on a machine under load. */
const READY_WITHIN_MS = 60_000

/** What a status file says; read loosely, since tests look at few keys. */
export interface StatusText {
  readonly state: string
  readonly plaintext: Readonly<Record<string, number>>
  readonly signals: Readonly<Record<string, { readonly state: string; readonly reasons: readonly { readonly code: string }[] }>>
  readonly resolvers: readonly { readonly id: string; readonly transport: string | null; readonly authenticated: string | null }[]
}

/** A daemon that runs, as `node dist/main.js run --config FILE`. */
export interface RunningDaemon {
  readonly port: number
  readonly pid: number
  readonly statusFile: string
  status(): StatusText | undefined
  /** The status once it says `state`. Rejects after `ms`, with what it says instead. */
  until(state: string, ms?: number): Promise<StatusText>
  /** SIGTERM; resolves to the exit code. */
  stop(): Promise<number | null>
  kill(signal: NodeJS.Signals): void
  /**
   * After SIGKILL: starts it again as it was, once it is gone; resolves to the time from exec to
   * `ready`, ms.
   */
  revive(): Promise<number>
  /** Whether the process is there. */
  readonly alive: boolean
  readonly dir: string
  /** What it logged so far. */
  log(): string
}

export interface DaemonSpec {
  readonly resolvers: readonly object[]
  readonly relays?: readonly object[]
  readonly ca?: string
  /**
   * Merged over the defaults; shaping is off by default, so that a measured time is the
   * transport's.
   */
  readonly config?: Readonly<Record<string, unknown>>
  readonly listen?: string
  /**
   * A command that runs what follows it in its own process (a `sh -c 'ulimit -n 64; exec "$@"' sh`,
   * say).
   */
  readonly under?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  /** More files beside its configuration, of mode 0600. */
  readonly files?: Readonly<Record<string, string>>
  /** Default: in the daemon's own directory. */
  readonly statusFile?: string
}

/** The trusted-set entry of a server; its kind is its id. */
export function entryOf(server: ServerPorts, over: readonly ('dot' | 'doh')[], extra: Readonly<Record<string, unknown>> = {}): object {
  return {
    id: server.kind,
    authenticationDomainName: RESOLVER_NAME,
    addresses: ['127.0.0.1'],
    transports: {
      ...(over.includes('dot') ? { dot: { port: server.dotPort } } : {}),
      ...(over.includes('doh') && server.dohPort !== undefined ? { doh: { port: server.dohPort, path: '/dns-query' } } : {}),
    },
    caFile: 'ca.pem',
    ...extra,
  }
}

type ServerPorts = Pick<RealServer, 'dotPort' | 'dohPort'> & { readonly kind: string }

/** A certificate for RESOLVER_NAME. */
export function identityOf(authority: Authority): ReturnType<Authority['issue']> {
  return authority.issue({ name: RESOLVER_NAME })
}

const running = new Set<ChildProcess>()
const directories = new Set<string>()
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
  for (const dir of directories) rmSync(dir, { recursive: true, force: true })
})

/**
 * Starts the built daemon and waits for `ready`. Its files lie in a directory of its own, gone
 * after `stop`.
 */
export async function startDaemon(spec: DaemonSpec): Promise<RunningDaemon> {
  const dir = mkdtempSync(join(tmpdir(), 'enigm-dns-e2e-'))
  directories.add(dir)
  const port = spec.listen === undefined ? await freePort() : Number(spec.listen.split(':').at(-1))
  const write = (name: string, text: string) => writeFileSync(join(dir, name), text, { mode: 0o600 })
  if (spec.ca !== undefined) write('ca.pem', spec.ca)
  for (const [name, text] of Object.entries(spec.files ?? {})) write(name, text)
  write('resolvers.json', JSON.stringify({ version: 1, resolvers: spec.resolvers, relays: spec.relays }))
  const statusFile = spec.statusFile ?? join(dir, 'status.json')
  const defaults = { shaping: { profile: 'off' }, heartbeatS: 1, log: { level: 'info' }, ...everyDaemon }
  const paths = { listen: [spec.listen ?? `127.0.0.1:${port}`], resolvers: 'resolvers.json', statusFile, stateDir: join(dir, 'state') }
  write('config.json', JSON.stringify({ ...defaults, ...spec.config, ...paths }))
  const [command = process.execPath, ...args] = [...(spec.under ?? []), process.execPath, CLI, 'run', '--config', join(dir, 'config.json')]
  let log = ''
  const launch = () => {
    const started = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...plainEnvironment(), ...spec.env } })
    running.add(started)
    started.on('exit', () => running.delete(started))
    started.stderr.on('data', (chunk: Buffer) => {
      log += chunk.toString()
    })
    return started
  }
  let child = launch()
  await ready(child, () => log)
  const status = () => readStatus(statusFile)
  return {
    port,
    dir,
    get pid() {
      return child.pid ?? 0
    },
    get alive() {
      return child.exitCode === null && child.signalCode === null
    },
    async revive() {
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
      const beganMs = performance.now()
      child = launch()
      await ready(child, () => log)
      return performance.now() - beganMs
    },
    statusFile,
    status,
    until: (state, ms = 10_000) => untilState(state, ms, status, () => log),
    async stop() {
      if (child.exitCode === null && child.signalCode === null) {
        const gone = once(child, 'exit')
        child.kill('SIGTERM')
        const late = setTimeout(() => child.kill('SIGKILL'), 10_000)
        await gone
        clearTimeout(late)
      }
      rmSync(dir, { recursive: true, force: true })
      return child.exitCode
    },
    kill: (signal) => void child.kill(signal),
    log: () => log,
  }
}

/**
 * Without what a machine may set for Node (an extra CA, say), which the daemon refuses. The test
 * runner adds its coverage again.
 */
export function plainEnvironment(): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(([name]) => !/^(NODE_|SSL|npm_)/.test(name))
  return Object.fromEntries(kept)
}

/** Rejects with what the daemon said if it does not become ready in READY_WITHIN_MS. */
function ready(child: ChildProcess, log: () => string): Promise<void> {
  return new Promise((resolve, reject) => {
    let said = ''
    const failed = (why: string) => reject(new Error(`the daemon ${why}: ${JSON.stringify(said)}\n${log()}`))
    const late = setTimeout(() => failed(`was not ready after ${READY_WITHIN_MS} ms`), READY_WITHIN_MS)
    child.stdout?.on('data', (chunk: Buffer) => {
      said += chunk.toString()
      if (!/^ready$/m.test(said)) return
      clearTimeout(late)
      resolve()
    })
    child.once('error', reject)
    child.once('exit', (code, signal) => {
      clearTimeout(late)
      failed(`ended (${code ?? signal})`)
    })
  })
}

function readStatus(file: string): StatusText | undefined {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as StatusText
  } catch {
    return undefined
  }
}

async function untilState(state: string, ms: number, status: () => StatusText | undefined, log: () => string): Promise<StatusText> {
  for (const until = performance.now() + ms; performance.now() < until; await sleep(10)) {
    const now = status()
    if (now?.state === state) return now
  }
  throw new Error(`not ${state} after ${ms} ms: ${JSON.stringify(status())}\n${log()}`)
}

interface Ended {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** Runs a command of the built CLI to its end. */
export function cli(...args: readonly string[]): Promise<Ended> {
  return toItsEnd(process.execPath, [CLI, ...args], plainEnvironment())
}

/** Needs root. Runs a command of the built CLI as a user who is nobody here and has no home. */
export function cliAsNobody(...args: readonly string[]): Promise<Ended> {
  const words = ['--reuid', '65534', '--regid', '65534', '--clear-groups', process.execPath, CLI, ...args]
  return toItsEnd('setpriv', words, { PATH: process.env.PATH ?? '', HOME: '/nonexistent' })
}

function toItsEnd(command: string, args: readonly string[], env: NodeJS.ProcessEnv): Promise<Ended> {
  return new Promise((resolve) => {
    const child = execFile(command, args, { env, timeout: 30_000 }, (_error, stdout, stderr) =>
      resolve({ code: child.exitCode ?? -1, stdout, stderr }),
    )
  })
}
