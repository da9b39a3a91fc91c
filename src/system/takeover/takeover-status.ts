import { lstatSync } from 'node:fs'
import type { BackendName, Bypass, TakeoverHost } from './backend.ts'
import { backendOf, chooseBackend, partsOf } from './choose.ts'
import { drifted, readJournal } from './journal.ts'
import { hasRepairUnit } from './own-units.ts'
import { DEFAULT_ADDRESS, ENABLED, PENDING } from './places.ts'
import { answers, provePaths } from './proof.ts'

/** Whether the system uses this service, and the evidence. */
export interface TakeoverStatus {
  readonly enabled: boolean
  readonly backend: BackendName
  readonly address: string
  readonly proven: boolean
  readonly owner: string
  readonly bypasses: readonly Bypass[]
  /** Sentences that say why it is not proven. */
  readonly faults: readonly string[]
  /**
   * Whether the service reported which test names arrived, so that the proof could be made. True if
   * nothing is enabled.
   */
  readonly told: boolean
  /** Whether systemd repairs changes by other programs. True if nothing is enabled. */
  readonly repaired: boolean
  /** Whether there is an unfinished change. */
  readonly pending: boolean
}

/**
 * Checks whether the system uses this service: looks up test names over every path. Writes nothing.
 * The lookup may start the service, if systemd holds its sockets.
 */
export async function takeoverStatus(host: TakeoverHost): Promise<TakeoverStatus> {
  // The journal is read first, so that a user without read permission gets that error.
  const journal = readJournal(ENABLED)
  const pending = lstatSync(PENDING, { throwIfNoEntry: false }) !== undefined
  if (journal === undefined) {
    const { backend, owner } = await chooseBackend(host)
    return {
      enabled: false,
      backend: backend.name,
      address: DEFAULT_ADDRESS,
      proven: false,
      owner,
      bypasses: [],
      faults: [],
      told: true,
      repaired: true,
      pending,
    }
  }
  const runs = host.listens().length > 0 || (await answers(host, journal.address))
  const backend = backendOf(journal.backend)
  const [{ told, faults: proofFaults }, settingFaults, bypasses, decides] = await Promise.all([
    provePaths(host),
    Promise.all([backend, ...partsOf(journal.parts)].map((one) => one.verify(host, journal))),
    backend.bypasses(host, journal),
    chooseBackend(host),
  ])
  const ownerFaults = decides.backend.name === journal.backend ? [] : [`${decides.owner} decides now, and not ${journal.owner} as before.`]
  const changed = drifted(journal).map(({ path }) => `${path} was changed by somebody else.`)
  const others = [...ownerFaults, ...changed, ...settingFaults.flat()]
  const faults = [...(runs ? [] : [stopped(others.length === 0)]), ...others, ...(runs && told ? proofFaults : [])]
  const { address } = journal
  return {
    enabled: true,
    backend: journal.backend,
    address,
    proven: told && faults.length === 0,
    owner: decides.owner,
    bypasses,
    faults,
    told,
    repaired: hasRepairUnit(journal.changes),
    pending,
  }
}

const stopped = (alone: boolean) =>
  `The service does not run${alone ? ', and no name resolves' : ''}. Start it, or run: sudo enigm-dns system disable`
