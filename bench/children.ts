import { type ChildProcess, execFileSync, type SpawnOptions, spawn } from 'node:child_process'
import { accessSync, constants, mkdtempSync, rmSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'

const cores = availableParallelism()

/**
 * Where things run: the server under test on one core, whoever loads it (dnsperf, the upstream,
 * this process) on another. `servers` and `loads` are for a server with two threads: with fewer
 * than four cores one of its threads shares a core with the load.
 */
export const CORE =
  cores >= 4 ? { server: '0', load: '1', servers: '0,2', loads: '1,3' } : { server: '0', load: '1', servers: '0,1', loads: '1' }

/** Whether two threads of a server and their load have cores of their own. */
export const hasCoresForTwo = cores >= 4

const running = new Set<ChildProcess>()
const places: string[] = []

/** Kills every child and removes every directory of this run, however it ends. */
export function cleanUpOnExit(): void {
  process.on('exit', () => {
    for (const child of running) child.kill('SIGKILL')
    for (const place of places) rmSync(place, { recursive: true, force: true })
  })
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => process.exit(130))
}

/** A directory that is gone when this process is. */
export function newPlace(what: string): string {
  const place = mkdtempSync(join(tmpdir(), `enigm-dns-bench-${what}-`))
  places.push(place)
  return place
}

/**
 * Absolute path of a program, or undefined. The sbin directories count whatever PATH says: servers
 * live there.
 */
export function pathOf(tool: string): string | undefined {
  const directories = [...(process.env.PATH ?? '').split(delimiter), '/usr/local/sbin', '/usr/sbin', '/sbin']
  return directories.map((directory) => join(directory, tool)).find(isExecutable)
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

const taskset = cores > 1 ? pathOf('taskset') : undefined

/** Whether servers and load stand on cores of their own. */
export const isPinned = taskset !== undefined

/** Moves a running process with all its threads to `on`, a list of cores. */
export function pin(pid: number, on: string): void {
  if (taskset !== undefined) execFileSync(taskset, ['-a', '-cp', on, String(pid)], { stdio: 'ignore' })
}

/** Moves this process, and so what it starts by `start` without a core, to the core of the load. */
export const pinSelf = () => pin(process.pid, CORE.load)

/**
 * Starts a program on `on`, a list of cores; taskset replaces itself by it, so the child's pid is
 * the program's.
 */
export function start(on: string, command: string, args: readonly string[], options: SpawnOptions = {}): ChildProcess {
  const child =
    taskset === undefined
      ? spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], ...options })
      : spawn(taskset, ['-c', on, command, ...args], { stdio: ['ignore', 'pipe', 'pipe'], ...options })
  running.add(child)
  child.once('exit', () => running.delete(child))
  return child
}

/** Kills a child of ours and waits until it is gone. */
export async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const gone = new Promise((resolve) => child.once('exit', resolve))
  child.kill('SIGKILL')
  await gone
}

/**
 * Runs a program to its end, on the core of the load unless told; its standard output. Rejects,
 * with what it complained about, when it fails.
 */
export function output(command: string, args: readonly string[], on = CORE.load): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = start(on, command, args)
    let out = ''
    let complaint = ''
    child.stdout?.on('data', (chunk: Buffer) => {
      out += chunk.toString()
    })
    child.stderr?.on('data', (chunk: Buffer) => {
      complaint = (complaint + chunk.toString()).slice(-2000)
    })
    child.once('error', reject)
    child.once('close', (code) =>
      code === 0 ? resolve(out) : reject(new Error(`${command} ended with ${code}: ${complaint}${out.slice(-500)}`)),
    )
  })
}
