import { writeSync } from 'node:fs'
import { createRequire } from 'node:module'
import type { Logger, pino } from 'pino'
import { systemCode } from './errors.ts'
import type { Emit, Event } from './events.ts'

/**
 * JSON lines on standard error. No query name and no client address can appear, because no event
 * contains one.
 */
export interface Log {
  readonly event: Emit
  info(message: string): void
  warn(message: string): void
  /** Sets the level from now on. */
  setLevel(level: string): void
}

/**
 * The same error of the same link is written at most once a minute: a dead network must not fill a
 * disk.
 */
const REPEAT_MS = 60_000
const MAX_REMEMBERED = 256

const LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']
/** A slow reader delays us by at most this time per line; then the line is dropped. */
const FULL_PIPE_MS = 100
const FULL_PIPE_PAUSE_MS = 5

/**
 * Creates a log at `level`. Writing is synchronous, because the last line before a crash is the
 * important one. pino is loaded with the first line: at each start it would cost 10 ms and 4 MB
 * before the first answer. `write` is replaced in tests; `load` returns pino synchronously, and
 * differs in a bundle.
 */
export function createLog(level: string, write = standardError(), load: LoadPino = fromModules): Log {
  let least = level
  let logger: Logger | undefined
  const put = (at: LogLine['level'], fields: LogLine['fields'], message: string) => {
    if (LEVELS.indexOf(at) < LEVELS.indexOf(least)) return
    logger ??= jsonLogger(load(), least, write)
    logger[at](fields, message)
  }
  const written = new Map<string, number>()
  const isRepeat = (key: string) => {
    const now = performance.now()
    const last = written.get(key)
    if (last !== undefined && now - last < REPEAT_MS) return true
    if (written.size >= MAX_REMEMBERED) written.clear()
    written.set(key, now)
    return false
  }
  return {
    event(event) {
      const line = lineOf(event)
      if (line === undefined || (line.level === 'warn' && isRepeat(JSON.stringify(line.fields)))) return
      put(line.level, line.fields, line.message)
    },
    info: (message) => put('info', {}, message),
    warn: (message) => put('warn', {}, message),
    setLevel: (next) => {
      least = next
      if (logger !== undefined) logger.level = next
    },
  }
}

/** Returns the library, not a promise: a line must not wait for one. */
export type LoadPino = () => { readonly pino: typeof pino }

const fromModules: LoadPino = () => createRequire(import.meta.url)('pino')

function jsonLogger({ pino }: ReturnType<LoadPino>, level: string, write: (line: string) => void): Logger {
  const { isoTime } = pino.stdTimeFunctions
  return pino({ level, base: null, timestamp: isoTime, formatters: { level: (label) => ({ level: label }) } }, { write })
}

/**
 * Lines that cannot be written are dropped: a full disk or a closed pipe must not stop names from
 * resolving. After a dropped line no line waits until one is written.
 */
function standardError(): (line: string) => void {
  let stuck = false
  return (line) => {
    let rest = Buffer.from(line)
    for (let waitedMs = stuck ? FULL_PIPE_MS : 0; rest.length > 0; ) {
      try {
        rest = rest.subarray(writeSync(2, rest))
      } catch (error) {
        stuck = waitedMs >= FULL_PIPE_MS || systemCode(error) !== 'EAGAIN'
        if (stuck) return
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, FULL_PIPE_PAUSE_MS)
        waitedMs += FULL_PIPE_PAUSE_MS
      }
    }
    stuck = false
  }
}

interface LogLine {
  readonly level: 'info' | 'warn' | 'debug'
  readonly fields: Readonly<Record<string, unknown>>
  readonly message: string
}

function lineOf(event: Event): LogLine | undefined {
  switch (event.type) {
    case 'link.up': {
      const { resolver, transport, address, handshakeMs } = event
      const { validity: _dates, ...protection } = event.protection
      return {
        level: 'info',
        fields: { resolver, transport, address, handshakeMs: Math.round(handshakeMs), ...protection },
        message: 'link up',
      }
    }
    case 'link.down':
      return { level: 'debug', fields: { resolver: event.resolver, transport: event.transport, code: event.code }, message: 'link down' }
    case 'link.failed':
      return {
        level: 'warn',
        fields: {
          ...{ resolver: event.resolver, transport: event.transport, code: event.code, detail: event.detail },
          ...(event.hop === undefined ? {} : { hop: event.hop }),
        },
        message: 'link failed',
      }
    case 'link.mismatch':
      return {
        level: 'warn',
        fields: { resolver: event.resolver, transport: event.transport },
        message: 'a reply that matches no question was ignored',
      }
    case 'network.changed':
      return { level: 'info', fields: { online: event.online }, message: 'the network changed' }
    case 'woke':
      return { level: 'info', fields: { awayMs: event.awayMs }, message: 'the machine slept, or this process was stopped' }
    case 'clock.moved':
      return { level: 'info', fields: { byMs: event.byMs }, message: 'the wall clock was set' }
    case 'trace':
      return {
        level: 'info',
        fields: event.untilWallMs === undefined ? {} : { until: new Date(event.untilWallMs).toISOString() },
        message: event.untilWallMs === undefined ? 'the query trace ended' : 'a query trace began',
      }
    case 'seen.takeover': {
      if (event.state === 'off') return undefined
      const held = event.state === 'held'
      const message = held ? 'the system asks this service' : "somebody else has taken the system's DNS"
      return { level: held ? 'info' : 'warn', fields: { state: event.state, by: event.by }, message }
    }
    case 'seen.sources': {
      const all = event.sources.flatMap(({ changes }) => changes)
      const ids = (of: typeof all) => [...new Set(of.map(({ id }) => id))]
      const changes = ids(all.filter(({ applied }) => applied !== true))
      const applied = ids(all.filter((one) => one.applied === true))
      const refused = event.sources.filter(({ why }) => why !== undefined)
      if (all.length === 0 && refused.length === 0) return undefined
      const fields = { changes, ...(applied.length === 0 ? {} : { applied }), refused: refused.map(({ id, why }) => `${id} ${why}`) }
      const inForce = applied.length === 0 ? '' : 'changes that are in force, '
      return { level: 'warn', fields, message: `lists of resolvers: ${inForce}changes that wait for a person, and lists that were refused` }
    }
    case 'portal':
      return {
        level: 'warn',
        fields: event.untilWallMs === undefined ? {} : { until: new Date(event.untilWallMs).toISOString() },
        message:
          event.untilWallMs === undefined
            ? "the network's own resolver is not asked any more"
            : "the network's own resolver is asked in cleartext for its login page",
      }
    case 'lists': {
      const faults = event.faults.map(({ id, why }) => `${id}: ${why}`)
      return faults.length === 0
        ? { level: 'info', fields: {}, message: 'every list is in force' }
        : { level: 'warn', fields: { faults }, message: 'lists are missing, or have their earlier rules' }
    }
    case 'forward.loop':
      return {
        level: 'warn',
        fields: { zone: event.zone },
        message: event.found ? 'a forward zone leads back to this service' : 'a forward zone does not lead back any more',
      }
    case 'fault':
      return { level: 'warn', fields: { where: event.where }, message: 'an internal fault' }
    case 'service.started':
    case 'service.stopping':
      return { level: 'info', fields: {}, message: event.type.replace('.', ' ') }
    default:
      return undefined
  }
}
