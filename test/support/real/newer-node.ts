import { spawn, spawnSync } from 'node:child_process'
import type { Test } from 'tap'
import { requireThat } from './tools.ts'

const MAX_FETCH_MS = 120_000
/** A long test (HOSTILE_DATAGRAMS) has an hour. */
const MAX_RUN_MS = process.env.HOSTILE_DATAGRAMS === undefined ? 100_000 : 3_600_000
const found = new Map<number, string | undefined>()

/**
 * The binary of a newer Node, from the npm package `node` (in npm's cache after the first use).
 * Undefined, and said in `t`, if it cannot be had.
 */
export function newerNode(t: Test, major: 24 | 26): string | undefined {
  if (!found.has(major)) {
    const named = process.env[`ENIGM_DNS_NODE${major}`]
    const options = { encoding: 'utf8', timeout: MAX_FETCH_MS, cwd: '/' } as const
    const { stdout } = spawnSync('npx', ['-y', `node@${major}`, '-p', 'process.execPath'], options)
    const path = named ?? stdout.trim()
    found.set(major, path === '' ? undefined : path)
  }
  const path = found.get(major)
  return requireThat(t, path === undefined ? `needs Node ${major}: npx -y node@${major}` : undefined) ? path : undefined
}

/**
 * Runs a file (a test that plays two parts) in another Node with `env` besides PATH; resolves with
 * what it wrote. Rejects with its error output if it fails.
 */
export function runIn(node: string, file: string, env: Readonly<Record<string, string>>, flags: readonly string[] = []): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(node, [...flags, file], { env: { PATH: process.env.PATH, ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
    const limit = setTimeout(() => child.kill('SIGKILL'), MAX_RUN_MS)
    let said = ''
    let faults = ''
    child.stdout.on('data', (chunk: Buffer) => {
      said += chunk.toString()
    })
    child.stderr.on('data', (chunk: Buffer) => {
      faults += chunk.toString()
    })
    child.on('close', (code, signal) => {
      clearTimeout(limit)
      if (code === 0) resolve(said)
      else reject(new Error(`${node} ended with ${code ?? signal}: ${faults.slice(-2000)}`))
    })
  })
}
