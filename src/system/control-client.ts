import { lstatSync } from 'node:fs'
import { connect } from 'node:net'
import { dirname } from 'node:path'
import type { Clock } from '../clock.ts'
import { socketAccess } from '../files/socket.ts'
import { owners, writingFaults } from '../files/trust.ts'

const MAX_REPLY_OCTETS = 64 * 1024
/** How long a command waits for its answer. */
export const ANSWER_LIMIT_MS = 10_000

/**
 * Sends a command and resolves to the answer. Undefined: no JSON answer came within `limitMs`, or
 * the socket belongs to another user and must not be trusted.
 */
export async function sendCommand(path: string, command: string, clock: Clock, limitMs = ANSWER_LIMIT_MS): Promise<unknown> {
  let reply = ''
  await exchangeLines(path, command, clock, limitMs, (text) => {
    reply += text
    return reply.length <= MAX_REPLY_OCTETS
  })
  return parsed(reply)
}

/**
 * Sends a command whose answer has many lines, and calls `line` for each, until the other end
 * closes or `limitMs` is over. Resolves to whether any line came. A socket of another user is not
 * used.
 */
export async function followCommand(
  path: string,
  command: string,
  clock: Clock,
  limitMs: number,
  line: (value: unknown) => void,
): Promise<boolean> {
  let rest = ''
  let any = false
  await exchangeLines(path, command, clock, limitMs + ANSWER_LIMIT_MS, (text) => {
    const lines = (rest + text).split('\n')
    rest = lines.pop() ?? ''
    if (rest.length > MAX_REPLY_OCTETS) return false
    any ||= lines.length > 0
    for (const one of lines) line(parsed(one))
    return true
  })
  return any
}

/**
 * Sends a command and reads until the other end closes, `limitMs` is over or `said` returns true.
 */
function exchangeLines(path: string, command: string, clock: Clock, limitMs: number, said: (text: string) => boolean): Promise<void> {
  if (!isTrusted(path)) return Promise.resolve()
  return new Promise((resolve) => {
    const socket = connect(path).setEncoding('utf8')
    const late = clock.setTimer(limitMs, () => socket.destroy())
    socket.on('connect', () => socket.write(`${command}\n`))
    socket.on('data', (text: string) => {
      if (!said(text)) socket.destroy()
    })
    socket.on('error', () => {})
    socket.on('close', () => {
      late.cancel()
      resolve()
    })
  })
}

/**
 * Why a command could not be sent to a socket: it is missing, or not for this user. Undefined:
 * it could be sent.
 */
export function socketProblem(path: string): 'missing' | 'not ours' | undefined {
  const access = socketAccess(path)
  return access ?? (isTrusted(path) ? undefined : 'not ours')
}

/**
 * Whether a socket can be trusted. In a directory that others can write, the socket may belong to
 * anybody. Root may also send orders to a service of another user, if only that user could have
 * made the socket.
 */
function isTrusted(path: string): boolean {
  try {
    const { uid } = lstatSync(path)
    const allowed = process.geteuid?.() === 0 ? owners(uid) : owners()
    return allowed === undefined || (allowed.has(uid) && writingFaults(dirname(path), allowed).length === 0)
  } catch {
    return false
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
