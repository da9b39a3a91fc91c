import { EnigmError, systemCode } from '../errors.ts'
import { MAX_TEXT_OCTETS, textOf } from '../files/reading.ts'
import { type Koffi, withKoffi } from './koffi.ts'

/** The user to which the service changes. */
export interface ServiceAccount {
  /** Undefined: the account has only a number. */
  readonly name: string | undefined
  readonly uid: number
  readonly gid: number
  /** The other groups of the account. */
  readonly groups: readonly number[]
}

/* Constants of linux/prctl.h and linux/capability.h. */
const PR_SET_KEEPCAPS = 8
const PR_CAPBSET_DROP = 24
const PR_SET_NO_NEW_PRIVS = 38
const CAP_NET_BIND_SERVICE = 10
const CAPABILITY_VERSION_3 = 0x20080522
/** More capabilities than exist (41 in Linux 6.x). The kernel returns EINVAL for the others. */
const MAX_CAPABILITIES = 64

/** What is left of the rights of root after `become`, and how to give up the rest. */
export interface Privileges {
  /** Runs `bind` with the right to use ports below 1024. */
  withLowPorts<T>(bind: () => Promise<T>): Promise<T>
  /** Gives up root permanently. Must be called when everything is bound. */
  settle(): void
  /**
   * A sentence about what the process can no longer do. Undefined: it can do all that the service
   * needs.
   */
  readonly lost: string | undefined
}

/** The privileges of a process that does not change its user. */
export const UNCHANGED: Privileges = { withLowPorts: (bind) => bind(), settle() {}, lost: undefined }

/**
 * Finds the account that `user` of a configuration names: a name in /etc/passwd, a user number, or
 * UID:GID. Its groups come from /etc/group. `tables`: the texts of these files. Throws an
 * EnigmError `config` if a name, or a number alone, is not in /etc/passwd, if a number is out of
 * range, and for root. UID:GID need not be in a file.
 */
export function accountOf(user: string, tables: Tables = systemTables()): ServiceAccount {
  const [, uid, gid] = /^(\d+)(?::(\d+))?$/.exec(user) ?? []
  const rows = rowsOf(tables.passwd)
  const row = rows.find((fields) => (uid === undefined ? fields[0] === user : Number(fields[2]) === Number(uid)))
  const account = row === undefined ? undefined : { name: row[0], uid: Number(row[2]), gid: Number(gid ?? row[3]) }
  const found = account ?? (uid !== undefined && gid !== undefined ? { name: undefined, uid: Number(uid), gid: Number(gid) } : undefined)
  if (found === undefined && uid !== undefined)
    throw accountRefusal(`number ${uid} is not in /etc/passwd, so its group is not known: write "${uid}:GID", or name another user`)
  if (found === undefined)
    throw accountRefusal(`there is no user "${user}" in /etc/passwd: add it (useradd --system ${user}), or name another one`)
  if (![found.uid, found.gid].every((id) => Number.isInteger(id) && id <= 0xfffffffe))
    throw accountRefusal(`"${user}" has no user and group number from 0 to 4294967294: name another user`)
  if (found.uid === 0) throw accountRefusal(`"${user}" is root: name an ordinary user, or remove "user"`)
  return { ...found, groups: groupsOf(found.name, tables.group) }
}

/**
 * The account to which this process changes, see `accountOf`. Also throws an EnigmError `config` if
 * this process is not root and cannot change to it.
 */
export function serviceAccount(user: string): ServiceAccount {
  const account = accountOf(user)
  const uid = process.geteuid?.()
  if (uid === 0 || isAlready(account)) return account
  const who = account.name ?? String(account.uid)
  throw accountRefusal(
    `only root can switch to "${who}", and the service runs as user ${uid ?? '(without a number)'}: start it as root, or remove "user"`,
  )
}

function isAlready({ uid }: ServiceAccount): boolean {
  return process.geteuid?.() === uid && process.getuid?.() === uid
}

interface Tables {
  readonly passwd: string
  readonly group: string
}

function systemTables(): Tables {
  return { passwd: textOf('/etc/passwd') ?? '', group: textOf('/etc/group') ?? '' }
}

/**
 * The rows of a table. If the table was too long to be read completely, the last row is left out:
 * it may be cut and hold wrong numbers and names.
 */
function rowsOf(table: string): readonly (readonly string[])[] {
  const whole = table.length < MAX_TEXT_OCTETS ? table : table.slice(0, table.lastIndexOf('\n') + 1)
  return whole.split('\n').map((line) => line.split(':'))
}

function groupsOf(name: string | undefined, group: string): readonly number[] {
  const named = rowsOf(group).filter(([, , , members = '']) => name !== undefined && members.split(',').includes(name))
  return named.map(([, , gid]) => Number(gid)).filter((gid) => Number.isInteger(gid) && gid > 0)
}

function accountRefusal(clause: string): EnigmError {
  return new EnigmError('config', `user: ${clause}.`)
}

/**
 * Changes to `account` and its groups, in every thread. Only the capability CAP_NET_BIND_SERVICE
 * stays, in this thread and those that it starts. The process cannot get other capabilities later
 * (PR_SET_NO_NEW_PRIVS). Without koffi the capability cannot be kept: then `withLowPorts` becomes
 * root again, until `settle`. Throws an EnigmError `config` if the change is not possible.
 */
export function become(account: ServiceAccount): Privileges {
  if (isAlready(account)) return UNCHANGED
  try {
    const calls = withKoffi(linuxCalls)
    return calls === undefined ? withoutCapability(account) : keepingCapability(calls, account)
  } catch (error) {
    if (error instanceof EnigmError) throw error
    throw accountRefusal(
      `cannot switch to user "${account.name ?? account.uid}" (${systemCode(error) ?? 'unknown error'}): the service manager may have removed CAP_SETUID or CAP_SETGID`,
    )
  }
}

/**
 * A sentence about what `become` cannot keep on this system. Undefined: nothing is lost. Changes
 * nothing.
 */
export function lostPrivileges(): string | undefined {
  return withKoffi(linuxCalls) === undefined ? NO_CALLS : undefined
}

interface LinuxCalls {
  prctl(option: number, value: number): number
  /**
   * Sets `bits` as the effective and the permitted capabilities of this thread, and removes the
   * inheritable ones.
   */
  setCapabilities(bits: number): number
}

function linuxCalls(koffi: Koffi): LinuxCalls {
  const prctl = koffi.c('int prctl(int, unsigned long, unsigned long, unsigned long, unsigned long)')
  const capset = koffi.c('int capset(void *, void *)')
  return {
    prctl: (option, value) => prctl(option, value, 0, 0, 0),
    setCapabilities: (bits) => capset(words(CAPABILITY_VERSION_3, 0), words(bits, bits, 0, 0, 0, 0)),
  }
}

function words(...values: readonly number[]): Buffer {
  return Buffer.from(Uint32Array.from(values).buffer)
}

/**
 * Changes the user and keeps the capability. It survives setuid only in the thread that requests it
 * (prctl(2)), which is this one. glibc and musl also change the user of all other threads, and the
 * kernel removes the capabilities of those.
 */
function keepingCapability({ prctl, setCapabilities }: LinuxCalls, account: ServiceAccount): Privileges {
  for (let cap = 0; cap < MAX_CAPABILITIES; cap++) if (cap !== CAP_NET_BIND_SERVICE) prctl(PR_CAPBSET_DROP, cap)
  const kept = prctl(PR_SET_KEEPCAPS, 1) === 0
  takeGroups(account)
  process.setgid?.(account.gid)
  process.setuid?.(account.uid)
  const bindsLow = kept && setCapabilities(1 << CAP_NET_BIND_SERVICE) === 0
  if (!bindsLow && setCapabilities(0) !== 0) throw new EnigmError('config', 'user: the capabilities of root cannot be given up here.')
  prctl(PR_SET_KEEPCAPS, 0)
  prctl(PR_SET_NO_NEW_PRIVS, 1)
  assertDropped(account)
  return { ...UNCHANGED, lost: bindsLow ? undefined : NOT_ALLOWED }
}

/**
 * Changes the groups, and the effective user and group. The real and saved ones stay root until
 * `settle`, so that `withLowPorts` can become root again.
 */
function withoutCapability(account: ServiceAccount): Privileges {
  takeGroups(account)
  process.setegid?.(account.gid)
  process.seteuid?.(account.uid)
  let settled = false
  return {
    async withLowPorts(bind) {
      if (settled) return bind()
      process.seteuid?.(0)
      try {
        return await bind()
      } finally {
        process.seteuid?.(account.uid)
      }
    },
    settle() {
      settled = true
      process.seteuid?.(0)
      process.setgid?.(account.gid)
      process.setuid?.(account.uid)
      assertDropped(account)
    },
    lost: NO_CALLS,
  }
}

const NO_CALLS =
  'CAP_NET_BIND_SERVICE can be kept only on Linux and with the package koffi: a reload cannot open a port below 1024, a restart can'
const NOT_ALLOWED =
  'CAP_NET_BIND_SERVICE is not allowed here: a reload cannot open a port below 1024; allow it in the unit (CapabilityBoundingSet) or for the container (--cap-add NET_BIND_SERVICE)'

function takeGroups({ gid, groups }: ServiceAccount): void {
  process.setgroups?.([gid, ...groups])
}

/** Checks that the privileges of root are gone. Throws an EnigmError `config` if they are not. */
function assertDropped({ uid, gid, groups }: ServiceAccount): void {
  const ids = [process.getuid?.(), process.geteuid?.(), process.getgid?.(), process.getegid?.()]
  let canBecomeRoot = true
  try {
    process.seteuid?.(0)
  } catch {
    canBecomeRoot = false
  }
  const strange = process.getgroups?.().some((id) => id !== gid && !groups.includes(id)) === true
  if (canBecomeRoot || strange || ids.join() !== [uid, uid, gid, gid].join())
    throw new EnigmError('config', 'user: root cannot be given up here.')
}
