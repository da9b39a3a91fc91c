import { lstatSync } from 'node:fs'
import { dirname, join } from 'node:path'
import * as v from 'valibot'
import { EnigmError } from '../../errors.ts'
import { readPrivateJson } from '../../files/json.ts'
import { makeDirectory, makeOnce, remove } from '../../files/writing.ts'
import { isSame, selfIdentity } from '../process-identity.ts'
import type { TakeoverHost } from './backend.ts'
import { RUNTIME_DIRECTORY } from './places.ts'
import { pause } from './proof.ts'
import { hasSystemd } from './units.ts'

/** The lock file: one change at a time. A boot removes the lock. */
const LOCK = join(RUNTIME_DIRECTORY, 'lock.json')
const lockRecord = v.object({ pid: v.number(), processStart: v.optional(v.string()) })
const LOCK_WAIT_MS = 15_000
const POLL_MS = 50

/** The process that holds the lock. Undefined: no living process holds it. */
function holder(): { readonly pid: number; readonly processStart?: string | undefined } | undefined {
  const found = readPrivateJson(LOCK, lockRecord)
  return found !== undefined && isSame(found.pid, found.processStart) !== false ? found : undefined
}

/**
 * What to do if a process holds the lock: wait for it, or end it because its time is over.
 */
export type OnHolder = 'wait' | 'end'

/**
 * Runs `work` while no other process changes the system's DNS. `end`: the process that holds the
 * lock is killed, because its time is over. Rejects with an EnigmError `state` if another process
 * still holds it after 15 s.
 */
export async function exclusively<T>(host: TakeoverHost, onHolder: OnHolder, work: () => Promise<T>): Promise<T> {
  const endMs = host.clock.nowMs() + LOCK_WAIT_MS
  while (!taken(onHolder)) {
    if (host.clock.nowMs() > endMs)
      throw new EnigmError('state', `process ${holder()?.pid} changes the system's DNS: wait until it has ended`)
    await pause(host.clock, POLL_MS)
  }
  try {
    return await work()
  } finally {
    remove(LOCK)
  }
}

function taken(onHolder: OnHolder): boolean {
  const other = holder()
  if (other !== undefined && other.pid !== process.pid) {
    if (onHolder === 'end') process.kill(other.pid, 'SIGKILL')
    return false
  }
  if (other === undefined && lstatSync(LOCK, { throwIfNoEntry: false }) !== undefined) remove(LOCK)
  makeDirectory(dirname(LOCK), 0o755)
  const { pid, startedAtTicks: processStart } = selfIdentity()
  makeOnce(LOCK, () => JSON.stringify({ pid, processStart }))
  return holder()?.pid === pid
}

const TIMER = 'enigm-dns-deadman'
/**
 * A change that is not proven within this time is undone. Change and undo together take at most 10
 * s.
 */
export const DEADMAN_MS = 7000

/**
 * Starts a timer of systemd, or a process that outlives this one, which undoes the change `id`
 * after `DEADMAN_MS`. `disarmDeadman` stops it. If this is not possible, returns the reason as a
 * clause.
 */
export async function armDeadman(host: TakeoverHost, id: string): Promise<string | undefined> {
  const [command = '', ...first] = host.program
  if (!(await hasSystemd(host))) {
    host.detach(command, [...first, 'system', 'recover', '--late', id, '--after', String(DEADMAN_MS)])
    return undefined
  }
  await host.run('systemctl', ['stop', `${TIMER}.timer`])
  await host.run('systemctl', ['reset-failed', `${TIMER}.service`])
  const timer = [`--on-active=${DEADMAN_MS}ms`, '--timer-property=AccuracySec=50ms', '--collect', '--quiet', `--unit=${TIMER}`]
  const said = await host.run('systemd-run', [...timer, '--', command, ...first, 'system', 'recover', '--late', id])
  return said.code === 0 ? undefined : `no timer could be set (${said.stderr.trim()})`
}

/**
 * Stops the timer, because the change is proven or undone. A detached process notices this itself.
 */
export async function disarmDeadman(host: TakeoverHost): Promise<void> {
  if (await hasSystemd(host)) await host.run('systemctl', ['stop', `${TIMER}.timer`])
}
