import { execFile } from 'node:child_process'

/** The result of a command. `code` is 127 if the command does not exist, and -1 after a signal. */
export interface CommandResult {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

export interface RunOptions {
  /** The standard input of the command. Default: empty. */
  readonly input?: string
  /** The command is ended after this time. Default: 10 s. */
  readonly limitMs?: number
}

/** Runs a program of the system to its end. Never rejects. */
export type RunCommand = (command: string, args: readonly string[], o?: RunOptions) => Promise<CommandResult>

const LIMIT_MS = 10_000
const MAX_OUTPUT_OCTETS = 1 << 20
/** The PATH of commands. It does not depend on the PATH of the caller. */
export const SYSTEM_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

/** Runs commands on this host. Their output is not paged and not translated. */
export const runCommand: RunCommand = (command, args, o = {}) =>
  new Promise((resolve) => {
    const env = { PATH: SYSTEM_PATH, LC_ALL: 'C', SYSTEMD_PAGER: '' }
    const limits = { timeout: o.limitMs ?? LIMIT_MS, maxBuffer: MAX_OUTPUT_OCTETS, env }
    const child = execFile(command, args, limits, (error, stdout, stderr) => {
      const missing = error !== null && error.code === 'ENOENT'
      resolve({ code: missing ? 127 : (child.exitCode ?? -1), stdout, stderr })
    })
    // A command may end before it has read all of its input. This is no error.
    child.stdin?.on('error', () => {})
    child.stdin?.end(o.input ?? '')
  })
