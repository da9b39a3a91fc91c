import { EnigmError } from '../../errors.ts'
import { targetOf, textOf } from '../../files/reading.ts'
import type { Backend, BackendName, Plan, PlanRequest, TakeoverHost, TakeoverPart } from './backend.ts'
import { enforce } from './enforce.ts'
import { file } from './file.ts'
import { changeFaults } from './journal.ts'
import { networkManager } from './networkmanager.ts'
import { resolvconf } from './resolvconf.ts'
import { resolved } from './resolved.ts'

/** The back ends in order of precedence. The first one that finds its owner active is used. */
const BACKENDS: readonly Backend[] = [resolved, networkManager, resolvconf, file]

const RESOLV_CONF = '/etc/resolv.conf'

/** The features that can be switched together with the DNS, by name. */
const PARTS: readonly TakeoverPart[] = [enforce]

/** The back end with this name. Throws an EnigmError `state` if there is none. */
export function backendOf(name: BackendName): Backend {
  const found = BACKENDS.find((one) => one.name === name)
  if (found === undefined) throw new EnigmError('state', `no back end is called ${name}`)
  return found
}

/** The parts with these names, in the order in which they are applied. */
export function partsOf(names: readonly string[]): readonly TakeoverPart[] {
  return PARTS.filter(({ name }) => names.includes(name))
}

/** The responsible back end, and a description of the owner. */
export async function chooseBackend(host: TakeoverHost): Promise<{ readonly backend: Backend; readonly owner: string }> {
  for (const backend of BACKENDS) {
    const owner = await backend.find(host)
    if (owner !== undefined) return { backend, owner }
  }
  return { backend: file, owner: '/etc/resolv.conf' }
}

/**
 * The plan of a back end. If it is impossible, rejects with an EnigmError `state` whose message has
 * a sentence for each reason. Changes nothing.
 */
export async function planned(
  host: TakeoverHost,
  backend: Backend,
  request: PlanRequest,
  parts: readonly TakeoverPart[] = [],
): Promise<Plan> {
  const plans = await Promise.all([backend, ...parts].map((one) => one.plan(host, request)))
  const changes = plans.flatMap((plan) => plan.changes)
  const faults = faultsOf({ changes })
  if (faults.length > 0) throw new EnigmError('state', faults.join('\n'))
  return { changes, commands: plans.flatMap((plan) => plan.commands), notes: plans.flatMap((plan) => plan.notes) }
}

/** Sentences that say why the changes cannot be made. */
function faultsOf({ changes }: Pick<Plan, 'changes'>): readonly string[] {
  const mounted = mountFaults()
  // A mounted resolv.conf is not tested again: that would report the same fault twice.
  const tried = [...changes, ...resolvConf()].filter(({ path }) => mounted.length === 0 || path !== RESOLV_CONF)
  return [...mounted, ...changeFaults(tried)]
}

/** Sentences that say why nothing can be enabled here. Only root can find out. */
export async function impossibleHere(host: TakeoverHost, request: PlanRequest): Promise<readonly string[]> {
  const { backend } = await chooseBackend(host)
  return faultsOf(await backend.plan(host, request))
}

/** The change of resolv.conf to test: its owner must be able to write it, even if we do not. */
function resolvConf() {
  return targetOf(RESOLV_CONF) === undefined ? [{ path: RESOLV_CONF }] : []
}

/** The fault of a mounted resolv.conf. A rename cannot replace it, and its manager is outside. */
function mountFaults(): readonly string[] {
  const mounts = textOf('/proc/self/mountinfo') ?? ''
  const isMounted = mounts.split('\n').some((line) => line.split(' ')[4] === RESOLV_CONF)
  if (!isMounted) return []
  return [
    '/etc/resolv.conf is mounted from outside, as container managers do: tell the manager which name server to use (docker run --dns)',
  ]
}
