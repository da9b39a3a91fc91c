import { execFile } from 'node:child_process'

/** What a command said. `code` is 127 where there is no such command, -1 after a signal. */
export interface CommandResult {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

export interface RunOptions {
  /** Its standard input; empty unless told. */
  readonly input?: string
  /** After this it is ended; 10 s unless told. */
  readonly limitMs?: number
}

/** Runs a program of the system to its end. Never rejects. */
export type RunCommand = (command: string, args: readonly string[], o?: RunOptions) => Promise<CommandResult>

const LIMIT_MS = 10_000
const MAX_OUTPUT_OCTETS = 1 << 20
/** A program is found whatever the PATH of the caller is. */
export const SYSTEM_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

/** Of this host. Output is neither paged nor translated. */
export const runCommand: RunCommand = (command, args, o = {}) =>
  new Promise((resolve) => {
    const env = { PATH: SYSTEM_PATH, LC_ALL: 'C', SYSTEMD_PAGER: '' }
    const limits = { timeout: o.limitMs ?? LIMIT_MS, maxBuffer: MAX_OUTPUT_OCTETS, env }
    const child = execFile(command, args, limits, (error, stdout, stderr) => {
      const missing = error !== null && error.code === 'ENOENT'
      resolve({ code: missing ? 127 : (child.exitCode ?? -1), stdout, stderr })
    })
    // One that ends before it has read all is no fault of ours.
    child.stdin?.on('error', () => {})
    child.stdin?.end(o.input ?? '')
  })
