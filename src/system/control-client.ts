import { lstatSync } from 'node:fs'
import { connect } from 'node:net'
import type { Clock } from '../clock.ts'

const MAX_REPLY_OCTETS = 64 * 1024
const PATIENCE_MS = 10_000

/** Sends an order and resolves to the answer; undefined where nobody answers there in time, or not in JSON, or the socket is another user's, who would say anything. */
export function sendOrder(path: string, order: string, clock: Clock): Promise<unknown> {
  if (!isTrusted(path)) return Promise.resolve(undefined)
  return new Promise((resolve) => {
    let reply = ''
    const socket = connect(path)
    const late = clock.setTimer(PATIENCE_MS, () => socket.destroy())
    socket.on('connect', () => socket.write(`${order}\n`))
    socket.on('data', (chunk: Buffer) => {
      reply += chunk.toString()
      if (reply.length > MAX_REPLY_OCTETS) socket.destroy()
    })
    socket.on('error', () => {})
    socket.on('close', () => {
      late.cancel()
      resolve(parsed(reply))
    })
  })
}

/**
 * Sends an order that is answered line by line and calls `line` for each, until the other end hangs up, or `limitMs` is over. Resolves to whether there was any line.
 * As with `sendOrder` a socket of another user is not asked.
 */
export function followOrder(path: string, order: string, clock: Clock, limitMs: number, line: (value: unknown) => void): Promise<boolean> {
  if (!isTrusted(path)) return Promise.resolve(false)
  return new Promise((resolve) => {
    let rest = ''
    let any = false
    const socket = connect(path).setEncoding('utf8')
    const late = clock.setTimer(limitMs + PATIENCE_MS, () => socket.destroy())
    socket.on('connect', () => socket.write(`${order}\n`))
    socket.on('data', (chunk: string) => {
      const lines = (rest + chunk).split('\n')
      rest = lines.pop() ?? ''
      if (rest.length > MAX_REPLY_OCTETS) return socket.destroy()
      any ||= lines.length > 0
      for (const one of lines) line(parsed(one))
    })
    socket.on('error', () => {})
    socket.on('close', () => {
      late.cancel()
      resolve(any)
    })
  })
}

function isTrusted(path: string): boolean {
  const uid = process.geteuid?.()
  try {
    const { uid: owner } = lstatSync(path)
    return uid === undefined || uid === 0 || owner === uid || owner === 0
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
