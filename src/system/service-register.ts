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
 * What a running service publishes, so that every command finds it. It holds no queried names and
 * no clients.
 */
export interface ServiceRecord {
  readonly pid: number
  /**
   * Identifies the boot and the start time of the process. Undefined: the system does not report
   * it.
   */
  readonly processStart: string | undefined
  /** The network namespace in which it listens. Undefined: the system does not report it. */
  readonly namespace: string | undefined
  /** The absolute path of the configuration file. Undefined: the service uses the defaults. */
  readonly config: string | undefined
  /** The values of --listen. Undefined: the listen addresses come from the configuration. */
  readonly listenOption: readonly string[] | undefined
  /** The listen addresses, each as ADDRESS:PORT. */
  readonly listen: readonly string[]
  readonly statusFile: string
  readonly stateDir: string
}

/**
 * A running service. `uid`: the user who wrote its record; undefined if this system has no numeric
 * users.
 */
export type RunningService = ServiceRecord & { readonly uid: number | undefined }

/** A record that has been written. */
export interface Registration {
  /** Writes the record again if it was removed. Costs a stat. Never throws. */
  heal(): void
  /** Replaces the listen addresses. Never throws. */
  listensOn(listen: readonly string[]): void
  withdraw(): void
}

/** The directory of the records. Each service has one file, named after its process number. */
const DIRECTORY = 'services'
const NAME = /^[1-9]\d{0,9}\.json$/
const MAX_RECORDS = 64
const MAX_OCTETS = 65_536

/** The directory of the records in a runtime directory. */
export function registerIn(directory: string): string {
  return join(directory, DIRECTORY)
}

/**
 * The runtime directories to search: that of the system, which only root can give to another user,
 * and that of this account.
 */
export function runtimeDirectories(account: Account): readonly string[] {
  const system = dirname(defaultStatusFile({ ...account, uid: 0 }))
  const own = dirname(defaultStatusFile(account))
  return own === system ? [system] : [system, own]
}

/**
 * Writes the record to the first of `directories` that belongs to our user. Its mode is 0644,
 * because every user of this host may know that a service runs, and its addresses. Removes records
 * of dead processes there. If nothing can be written, returns a clause that says why.
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

/**
 * Why `register` cannot write a record to any of `directories`. Undefined: it can. Changes nothing.
 */
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

/** The fault of a directory that a service of another user left behind. A restart removes it. */
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
 * The registered services that run, in the order of `directories`. Only records of root and of this
 * user are trusted. In the system's runtime directory, records of its owner are trusted too,
 * because root chose the owner. Never throws.
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

/** Whether only root can create files in a directory. */
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
 * Identifies the network namespace of a process of this user. Opaque. Undefined: the system does
 * not report it.
 */
export function networkNamespace(pid: number | 'self' = 'self'): string | undefined {
  return process.platform === 'linux' ? targetOf(`/proc/${pid}/ns/net`) : undefined
}

/** The script in the command line of this program. `run` follows it. */
const PROGRAM = /(^|\/)(enigm-dns|dist\/main\.js|src\/setup\.mjs)$/

/**
 * The processes of any user whose command line looks like a service of this program. Those in
 * another network namespace are left out if this is visible. Undefined: processes of other users
 * are not visible at all (no /proc, or hidepid).
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
