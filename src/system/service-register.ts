import { lstatSync, readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { type Account, defaultStatusFile } from '../config/paths.ts'
import { systemCode } from '../errors.ts'
import { isRecord } from '../files/json.ts'
import { ownershipFault, readSmall, targetOf, textOf } from '../files/reading.ts'
import { type Owners, owners, writingFaults } from '../files/trust.ts'
import { makeDirectory, remove, replaceFile } from '../files/writing.ts'
import { isSame, type ProcessIdentity } from './process-identity.ts'

/**
 * The facts that a service publishes so that every command finds it: no queried name, no client.
 */
export interface ServiceRecord {
  readonly pid: number
  /** Boot and start time within it; undefined if the system does not report it. */
  readonly processStart: string | undefined
  /** The network namespace in which it listens; undefined if the system does not report it. */
  readonly namespace: string | undefined
  /** Absolute path of the configuration file; undefined: it uses the defaults. */
  readonly config: string | undefined
  /** The values of --listen; undefined: the configuration has the listen addresses. */
  readonly listenOption: readonly string[] | undefined
  /** The listen addresses, ADDRESS:PORT each. */
  readonly listen: readonly string[]
  readonly statusFile: string
  readonly stateDir: string
}

/**
 * A running service, and the numeric user who wrote its record; undefined if the system has none.
 */
export type RunningService = ServiceRecord & { readonly uid: number | undefined }

/** A record that has been written. */
export interface Registration {
  /** Writes it again if it was removed. Costs a stat. Never throws. */
  heal(): void
  /** Replaces the listen addresses. Never throws. */
  listensOn(listen: readonly string[]): void
  withdraw(): void
}

/** In a runtime directory; one file per service, named by its process. */
const DIRECTORY = 'services'
const NAME = /^[1-9]\d{0,9}\.json$/
const MAX_RECORDS = 64
const MAX_OCTETS = 65_536

/** The directory of the records in a runtime directory. */
export function registerIn(directory: string): string {
  return join(directory, DIRECTORY)
}

/**
 * The system's runtime directory, which only root can give to another user, and that of this
 * account.
 */
export function runtimeDirectories(account: Account): readonly string[] {
  const system = dirname(defaultStatusFile({ ...account, uid: 0 }))
  const own = dirname(defaultStatusFile(account))
  return own === system ? [system] : [system, own]
}

/**
 * Writes the record to the first of `directories` that is ours, 0644: any user of this host may
 * know that a service runs, and its addresses. If that is not possible, returns the reason as a
 * clause. Removes records that killed processes left there.
 */
export function register(directories: readonly string[], record: ServiceRecord): Registration | string {
  let why = 'there is no runtime directory'
  for (const directory of directories) {
    const refused = placeProblem(directory)
    if (refused === undefined) return putRecord(registerIn(directory), record)
    why = refused
  }
  return why
}

/** Why `register` could write a record to none of `directories`. Changes nothing. */
export function registerFault(directories: readonly string[]): string | undefined {
  const faults = directories.map(unsafePlace)
  return faults.includes(undefined) ? undefined : faults.at(-1)
}

function unsafePlace(directory: string): string | undefined {
  try {
    const found = lstatSync(directory, { throwIfNoEntry: false })
    const uid = process.geteuid?.()
    if (found !== undefined && uid !== undefined && found.uid !== uid) return foreignOwner(directory, found.uid, uid)
    return writingFaults(registerIn(directory), owners())[0]
  } catch (error) {
    return `${registerIn(directory)} cannot be made (${systemCode(error) ?? 'unknown error'})`
  }
}

/** What a service that ran as another user leaves until the host restarts. */
function foreignOwner(directory: string, theirs: number, ours: number): string {
  const remedy = ours === 0 ? `; if no service of that user runs, remove it: rm -r ${directory}` : ''
  return `${directory} belongs to user ${theirs}${remedy}`
}

function placeProblem(directory: string): string | undefined {
  const unsafe = unsafePlace(directory)
  if (unsafe !== undefined) return unsafe
  const place = registerIn(directory)
  try {
    makeDirectory(place, 0o755)
    sweepDead(place)
    return undefined
  } catch (error) {
    return `${place} cannot be made (${systemCode(error) ?? 'unknown error'})`
  }
}

function putRecord(place: string, first: ServiceRecord): Registration {
  const path = join(place, `${first.pid}.json`)
  let record = first
  const write = () => {
    try {
      makeDirectory(place, 0o755)
      replaceFile(path, `${JSON.stringify(record)}\n`, 0o644)
    } catch {
      // The next heartbeat tries again.
    }
  }
  write()
  return {
    heal() {
      if (lstatSync(path, { throwIfNoEntry: false }) === undefined) write()
    },
    listensOn(listen) {
      record = { ...record, listen }
      write()
    },
    withdraw: () => remove(path),
  }
}

function sweepDead(place: string): void {
  for (const { name, record } of recordsIn(place, owners())) if (record !== undefined && !isAlive(record)) remove(join(place, name))
}

const isAlive = ({ pid, processStart }: ServiceRecord) => isSame(pid, processStart) !== false

/**
 * The registered running services, in the order of `directories`. Only records of root or this user
 * are trusted, and in the system's runtime directory also those of its owner, whom root chose.
 * Never throws.
 */
export function runningServices(directories: readonly string[]): readonly RunningService[] {
  return directories.flatMap((directory) => {
    try {
      const { uid } = lstatSync(directory)
      const trusted = isRoots(dirname(directory)) ? owners(uid) : owners()
      const place = registerIn(directory)
      if (writingFaults(place, trusted).length > 0) return []
      return recordsIn(place, trusted).flatMap(({ record, uid }) => (record !== undefined && isAlive(record) ? [{ ...record, uid }] : []))
    } catch {
      return []
    }
  })
}

/** Only root can create files in it. */
function isRoots(directory: string): boolean {
  const { uid, mode } = lstatSync(directory)
  return uid === 0 && (mode & 0o022) === 0
}

interface RegisterEntry {
  readonly name: string
  readonly record: ServiceRecord | undefined
  readonly uid: number | undefined
}

function recordsIn(place: string, trusted: Owners): readonly RegisterEntry[] {
  const names = readdirSync(place).filter((name) => NAME.test(name))
  return names.slice(0, MAX_RECORDS).map((name) => {
    let uid: number | undefined
    const judge = (found: Parameters<typeof ownershipFault>[0]) => {
      uid = trusted === undefined ? undefined : found.uid
      return ownershipFault(found, trusted)
    }
    try {
      const octets = readSmall(join(place, name), MAX_OCTETS, judge, false)
      return { name, uid, record: typeof octets === 'string' ? undefined : asRecord(JSON.parse(octets.toString())) }
    } catch {
      return { name, uid, record: undefined }
    }
  })
}

function asRecord(value: unknown): ServiceRecord | undefined {
  if (!isRecord(value)) return undefined
  const { pid, statusFile, stateDir } = value
  const text = (key: string) => (typeof value[key] === 'string' ? value[key] : undefined)
  const texts = (key: string) => {
    const list = value[key]
    return Array.isArray(list) ? list.filter((one) => typeof one === 'string') : undefined
  }
  if (typeof pid !== 'number' || typeof statusFile !== 'string' || typeof stateDir !== 'string') return undefined
  const optional = { processStart: text('processStart'), namespace: text('namespace'), config: text('config') }
  return { pid, statusFile, stateDir, ...optional, listenOption: texts('listenOption'), listen: texts('listen') ?? [] }
}

/**
 * The network namespace of a process of this user, opaque; undefined if the system does not report
 * it.
 */
export function networkNamespace(pid: number | 'self' = 'self'): string | undefined {
  return process.platform === 'linux' ? targetOf(`/proc/${pid}/ns/net`) : undefined
}

/** The arguments of Node when this program is started; `run` follows. */
const PROGRAM = /(^|\/)(enigm-dns|dist\/main\.js|src\/setup\.mjs)$/

/**
 * Processes of any user that look like a service of this program by their command line, in this
 * network namespace as far as that is visible. Undefined if processes of others are not visible at
 * all (no /proc, or hidepid).
 */
export function likelyServices(self: Pick<ProcessIdentity, 'pid'>): readonly number[] | undefined {
  if (process.platform !== 'linux' || (textOf('/proc/1/cmdline') ?? '') === '') return undefined
  const here = networkNamespace()
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== self.pid)
    .map(Number)
    .filter((pid) => {
      const words = (textOf(`/proc/${pid}/cmdline`) ?? '').split('\0')
      if (!/(^|\/)node[^/]*$/.test(words[0] ?? '') || !words.some((word, i) => PROGRAM.test(word) && words[i + 1] === 'run')) return false
      const there = networkNamespace(pid)
      return there === undefined || there === here
    })
}
