import type { SocketAddress } from '../../config/listen-address.ts'
import { EnigmError } from '../../errors.ts'
import type { SystemResolver } from '../system-resolver.ts'
import { SERVICE_UNIT } from '../units.ts'
import type { Backend, BackendName, Plan, TakeoverHost } from './backend.ts'
import { backendOf, chooseBackend, partsOf, planned } from './choose.ts'
import { latestFile } from './file.ts'
import { armDeadman, disarmDeadman, exclusively } from './guard.ts'
import {
  commit,
  forgetPending,
  type Journal,
  type JournalChange,
  type Kept,
  keepFormer,
  makeChanges,
  readJournal,
  recorded,
  reopen,
  rewriteEnabled,
  undoChanges,
  undoPlan,
  writePending,
} from './journal.ts'
import { hasRepairUnit, ownUnits, REPAIR_PATH_UNIT } from './own-units.ts'
import { DEFAULT_ADDRESS, ENABLED, PENDING } from './places.ts'
import { leadsHere, pause, proveWithin, updateStatus, upstreamFault } from './proof.ts'
import { hasSystemd, ourUnits, restoreUnits, startUnits } from './units.ts'

const START_MS = 8000
const PROOF_MS = 2500

/** The parameters of `enable`. */
export interface EnableRequest {
  readonly vpnDns: 'leave' | 'override'
  /** The names of the parts that are switched together with the DNS. */
  readonly parts: readonly string[]
}

/** The result of `enable`. */
export type Enabled =
  | { readonly outcome: 'proven'; readonly journal: Journal; readonly again: boolean; readonly notes: readonly string[] }
  | { readonly outcome: 'rolled-back'; readonly reasons: readonly string[]; readonly foreign: readonly Kept[] }

/** The plan of `enable`, and the program that decides about the DNS of this system. */
export interface EnablePlan extends Plan {
  readonly backend: BackendName
  readonly owner: string
  readonly address: string
}

/**
 * Returns what `enable` would do here. Changes nothing. Rejects with an EnigmError `state` if
 * `enable` would be refused.
 */
export async function planEnable(host: TakeoverHost, { vpnDns, parts }: EnableRequest): Promise<EnablePlan> {
  const { backend, owner } = await chooseBackend(host)
  const systemd = await hasSystemd(host)
  const units = systemd ? await ourUnits(host) : []
  if (systemd && !units.some(({ name }) => name === SERVICE_UNIT))
    throw new EnigmError(
      'state',
      `the unit ${SERVICE_UNIT} is not installed, so nothing would answer after a boot; run: enigm-dns service install`,
    )
  if (!systemd && host.listens().length === 0)
    throw new EnigmError(
      'state',
      'no service runs, and there is no systemd to start it; start it first, as in: enigm-dns run --listen 127.0.0.55:53',
    )
  const running = host.listens().length > 0
  const address = running ? addressFor(backend, host.listens()) : DEFAULT_ADDRESS
  const plan = await planned(host, backend, { address, vpnDns }, partsOf(parts))
  const changes = [...(systemd ? ownUnits(host) : []), ...plan.changes]
  return { ...plan, changes, notes: [...plan.notes, ...withoutSystemdNotes(changes)], backend: backend.name, owner, address }
}

/** Sentences about what a person must do, if the change has no unit that repairs it. */
function withoutSystemdNotes(changes: readonly { readonly path: string }[]): readonly string[] {
  if (hasRepairUnit(changes)) return []
  return [
    'No systemd runs here. Nothing starts the service at boot. If another program changes the DNS of the system, nothing repairs that: run sudo enigm-dns system enable again.', // biome-ignore format: one note
  ]
}

/**
 * The listen address to use. The port must be 53, and systemd-resolved refuses its own addresses.
 */
function addressFor(backend: Backend, listens: readonly SocketAddress[]): string {
  const usable = listens.flatMap(({ address, port }) => {
    const loopback = address === '0.0.0.0' ? '127.0.0.1' : address
    const own = backend.name === 'resolved' && ['127.0.0.53', '127.0.0.54'].includes(loopback)
    return port === 53 && loopback.startsWith('127.') && !own ? [loopback] : []
  })
  const found = usable.find((one) => one === DEFAULT_ADDRESS) ?? usable[0]
  if (found !== undefined) return found
  throw new EnigmError(
    'state',
    `the service does not listen at ${DEFAULT_ADDRESS}:53; add it to "listen", or start it with --listen ${DEFAULT_ADDRESS}:53`,
  )
}

/**
 * Makes the system use this service. It proves that the service answers, makes the change, and
 * proves that names arrive. If one of these fails, everything is restored. Rejects with an
 * EnigmError `state` if the change is refused. An earlier change may have been undone by then; of
 * this one nothing is left.
 */
export function enable(host: TakeoverHost, request: EnableRequest): Promise<Enabled> {
  return exclusively(host, 'wait', async () => {
    await undoPending(host, 'now')
    const before = readJournal(ENABLED)
    if (before !== undefined) {
      const again = await enableAgain(host, before, request)
      if (again !== undefined) return again
    }
    const plan = await planEnable(host, request)
    const journal: Journal = {
      version: 1,
      id: newId(host),
      switched: false,
      backend: plan.backend,
      owner: plan.owner,
      address: plan.address,
      vpnDns: request.vpnDns,
      parts: [...request.parts],
      ...recorded(plan.changes),
      units: [...(await ourUnits(host))],
      startedAt: new Date(host.clock.wallMs()).toISOString(),
    }
    host.step('journal')
    writePending(journal)
    return enableFrom(host, journal, plan.notes)
  })
}

/**
 * Handles a change that is already enabled: repairs what was changed since then, and proves it
 * again. Undefined: the owner or the parts are not the same any more, or the repair did not help.
 * The old change is then undone.
 */
async function enableAgain(host: TakeoverHost, journal: Journal, request: EnableRequest): Promise<Enabled | undefined> {
  const { backend } = await chooseBackend(host)
  const same = backend.name === journal.backend && String(request.parts) === String(journal.parts)
  if (same) {
    await startUnits(host, await ourUnits(host))
    const wanted = { ...journal, vpnDns: request.vpnDns }
    makeChanges(wanted, host.step)
    const quick = await proof(host, wanted, 0)
    if (quick.length > 0) await applyAll(host, wanted)
    if (quick.length === 0 || (await proof(host, wanted, PROOF_MS)).length === 0) {
      rewriteEnabled(wanted)
      await updateStatus(host)
      return { outcome: 'proven', journal: wanted, again: true, notes: withoutSystemdNotes(journal.changes) }
    }
  }
  await reopen(journal, newId(host))
  await undoPending(host, 'now')
  return undefined
}

const newId = (host: TakeoverHost) => Buffer.from(host.random.bytes(8)).toString('hex')

/** Makes the change of a pending `journal`, unless the service is not ready. */
async function enableFrom(host: TakeoverHost, journal: Journal, notes: readonly string[]): Promise<Enabled> {
  const refused = await readyFault(host, journal)
  if (refused !== undefined) {
    await undoPending(host, 'now')
    throw new EnigmError('state', refused)
  }
  // The deadman is a timer that undoes the change if this process dies.
  host.step('deadman')
  const switching = { ...journal, switched: true }
  writePending(switching)
  const unarmed = await armDeadman(host, journal.id)
  if (unarmed !== undefined) {
    await undoPending(host, 'now')
    throw new EnigmError('state', `the timer that would undo a failed change cannot be set: ${unarmed}`)
  }
  const reasons = await applyAndProve(host, switching).catch((error: unknown) => [
    error instanceof Error ? error.message : 'an unexpected fault',
  ])
  if (reasons.length > 0) {
    const { foreign } = await undoPending(host, 'now')
    await disarmDeadman(host)
    await updateStatus(host)
    return { outcome: 'rolled-back', reasons, foreign }
  }
  host.step('commit')
  await commit(switching)
  host.step('committed')
  await disarmDeadman(host)
  if (journal.units.length > 0) {
    await host.run('systemctl', ['daemon-reload'])
    await host.run('systemctl', ['restart', REPAIR_PATH_UNIT])
  }
  await updateStatus(host)
  return { outcome: 'proven', journal: switching, again: false, notes }
}

/**
 * Starts the service, and checks that it answers. Returns the reason if it is not ready.
 */
async function readyFault(host: TakeoverHost, journal: Journal): Promise<string | undefined> {
  host.step('service')
  const failed = await startUnits(host, journal.units)
  if (failed !== undefined) return `the service does not start: ${failed}`
  const endMs = host.clock.nowMs() + START_MS
  while (host.listens().length === 0 && host.clock.nowMs() < endMs) await pause(host.clock, 50)
  const listens = host.listens()
  if (listens.length === 0) return 'the service does not say where it listens: look at its log (journalctl -u enigm-dns)'
  if (addressFor(backendOf(journal.backend), listens) !== journal.address) return `the service does not listen at ${journal.address}:53`
  host.step('upstream')
  return upstreamFault(host, journal.address)
}

/** Makes the change and tests it. Returns the reasons against keeping it. */
async function applyAndProve(host: TakeoverHost, journal: Journal): Promise<readonly string[]> {
  host.step('switch')
  makeChanges(journal, host.step)
  host.step('apply')
  await applyAll(host, journal)
  host.step('proof')
  return proof(host, journal, PROOF_MS)
}

async function applyAll(host: TakeoverHost, journal: Journal): Promise<void> {
  await backendOf(journal.backend).apply(host, journal)
  for (const part of partsOf(journal.parts)) await part.apply(host, journal)
}

/**
 * The faults of the proof that the system uses this service. Repeated until there are none, or for
 * `limitMs`.
 */
async function proof(host: TakeoverHost, journal: Journal, limitMs: number): Promise<readonly string[]> {
  const verify = async () => {
    const found = await Promise.all([backendOf(journal.backend), ...partsOf(journal.parts)].map((one) => one.verify(host, journal)))
    return found.flat()
  }
  return (await proveWithin(host, limitMs, verify)).faults
}

/**
 * Applies the optional parts again that were switched together with the DNS (`TakeoverPart` in
 * backend.ts). Called after a boot or a restart of the service, which may run as another user now.
 */
export async function applyPartsAgain(host: TakeoverHost): Promise<void> {
  const endMs = host.clock.nowMs() + START_MS
  while (host.listens().length === 0 && host.clock.nowMs() < endMs) await pause(host.clock, 50)
  await exclusively(host, 'wait', async () => {
    const journal = readJournal(ENABLED)
    for (const part of partsOf(journal?.parts ?? [])) if (journal !== undefined) await part.apply(host, journal)
  })
}

/** The result of `disable`. */
export type Disabled =
  | { readonly outcome: 'not-enabled' }
  | {
      readonly outcome: 'disabled'
      /** Paths that another program has changed since then. They stay as they are. */
      readonly foreign: readonly Kept[]
      /**
       * Whether the system still uses this service, because `foreign` files stay. Then the service
       * continues.
       */
      readonly stillUsed: boolean
    }

/** Which server the system uses if the service has this address, according to its configuration. */
export type AsksOf = (address: string) => SystemResolver['asks']

/** What `disable` would do now. Undefined: nothing is enabled. Changes nothing. */
export function planDisable() {
  const enabled = readJournal(ENABLED)
  const pending = readJournal(PENDING)
  const journal = enabled ?? pending
  if (journal === undefined) return undefined
  const { restored, kept } = undoPlan(journal, latest(journal))
  return { enabled: enabled !== undefined, pending: pending !== undefined, restored, kept }
}

/**
 * Undoes the change, makes the owner regenerate its own files, and then stops the service, if
 * `enable` had started it and nothing uses it any more. `asksOf`: see `undoPending`.
 */
export function disable(host: TakeoverHost, asksOf: AsksOf): Promise<Disabled> {
  return exclusively(host, 'wait', async () => {
    const journal = readJournal(ENABLED)
    const pending = readJournal(PENDING)
    if (journal === undefined) {
      if (pending === undefined) return { outcome: 'not-enabled' }
      return { outcome: 'disabled', ...(await undoPending(host, 'now')) }
    }
    // A kill during the undo must not leave half of the change.
    const id = newId(host)
    await armDeadman(host, id)
    host.step('reopen')
    await reopen(journal, id)
    const undone = await undoPending(host, 'now', asksOf)
    await disarmDeadman(host)
    await updateStatus(host)
    return { outcome: 'disabled', ...undone }
  })
}

/**
 * Undoes an unfinished change, if there is one. `now`: waits for a process that works on it. The
 * other two end such a process. `late`: undoes only the change with this id, because its time is
 * over. `boot`: notifies no program, because none has read the files yet.
 */
export async function recover(host: TakeoverHost, how: 'now' | 'boot' | { readonly late: string }): Promise<readonly Kept[]> {
  const due = () => {
    const journal = readJournal(PENDING)
    return journal !== undefined && (typeof how === 'string' || how.late === journal.id)
  }
  if (!due()) return []
  const work = async () => (due() ? (await undoPending(host, how === 'boot' ? 'boot' : 'now')).foreign : [])
  return exclusively(host, how === 'now' ? 'wait' : 'end', work)
}

/** `foreign`: the paths that stay. `stillUsed`: whether the system still uses this service. */
interface Undone {
  readonly foreign: readonly Kept[]
  readonly stillUsed: boolean
}

/**
 * Undoes the pending journal. At boot no program has read the files yet, so none is notified. Paths
 * that another program has changed stay; what they held before is copied. If one stays, and if the
 * system still uses this service according to `asksOf` or to a proof, the service keeps running.
 */
async function undoPending(host: TakeoverHost, when: 'now' | 'boot', asksOf?: AsksOf): Promise<Undone> {
  const journal = readJournal(PENDING)
  if (journal === undefined) return { foreign: [], stillUsed: false }
  const backend = backendOf(journal.backend)
  for (const part of partsOf(journal.parts).toReversed()) await part.revert(host, journal)
  host.step('undo')
  if (when === 'now' && journal.units.length > 0) await host.run('systemctl', ['stop', REPAIR_PATH_UNIT])
  const paths = undoChanges(journal, host.step, latest(journal))
  host.step('revert')
  if (when === 'now' && journal.switched) await backend.revert(host, journal)
  host.step('units')
  const stillUsed = paths.length > 0 && asksOf !== undefined && (await usesService(host, asksOf(journal.address)))
  if (!stillUsed) await restoreUnits(host, journal.units, when === 'now')
  host.step('forget')
  const foreign = keepFormer(journal, paths)
  forgetPending()
  if (when === 'now' && journal.units.length > 0) await host.run('systemctl', ['daemon-reload'])
  return { foreign, stillUsed }
}

/**
 * Whether the system uses this service. Its configuration does not show where another server on
 * this host forwards to. Then new names are looked up, as for `system status`. If the service
 * cannot tell which names arrive, it counts as used.
 */
async function usesService(host: TakeoverHost, asks: SystemResolver['asks']): Promise<boolean> {
  if (asks === 'elsewhere') return false
  return asks !== 'unknown' || (await leadsHere(host))
}

/**
 * What to restore for each change: the former content. If resolv.conf is a plain file, it gets the
 * servers of the newest leases instead, if these are others.
 */
const latest = ({ backend }: Journal) => (backend === 'file' ? latestFile : ({ before }: JournalChange) => before)
