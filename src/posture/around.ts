import type { Observation } from '../events.ts'
import type { Moment } from './moment.ts'

type Seen<T extends Observation['type']> = Extract<Observation, { type: T }>
type Dated<T extends Observation['type']> = Omit<Seen<T>, 'type'> & { readonly at: Moment }

/** The latest of each observation; undefined: never looked. */
export interface Around {
  readonly network: Dated<'seen.network'> | undefined
  readonly vpn: Dated<'seen.vpn'> | undefined
  readonly system: Dated<'seen.system'> | undefined
  readonly canary: Dated<'seen.canary'> | undefined
  /** Flows that were ever seen are not forgotten: `flows` is their sum. */
  readonly bypass: (Dated<'seen.bypass'> & { readonly looks: number }) | undefined
  readonly audit: Dated<'audit'> | undefined
  readonly unsigned: Dated<'unsigned'> | undefined
  readonly restarts: Dated<'restarts'> | undefined
}

export const nothingSeen: Around = {
  network: undefined,
  vpn: undefined,
  system: undefined,
  canary: undefined,
  bypass: undefined,
  audit: undefined,
  unsigned: undefined,
  restarts: undefined,
}

/** What was looked for with another setup tells nothing of this one: which addresses, which networks, which listeners. The canary may still come back. */
export function withoutLooks(around: Around): Around {
  return { ...around, network: undefined, vpn: undefined, system: undefined, canary: undefined }
}

/** On another network: the ways to the resolvers are others. */
export function onAnotherNetwork(around: Around): Around {
  return { ...around, network: undefined, vpn: undefined }
}

/** `around` with one more observation, and whether a verdict may change by it: the same again is only younger. */
export function seenAround(around: Around, event: Observation, at: Moment): { readonly around: Around; readonly changed: boolean } {
  const { type, ...what } = event
  const key = KEYS[type]
  const before = around[key]
  const now = event.type === 'seen.bypass' ? summed(around.bypass, event) : what
  return { around: { ...around, [key]: { ...now, at } }, changed: before === undefined || !same(before, now) }
}

const KEYS = {
  'seen.network': 'network',
  'seen.vpn': 'vpn',
  'seen.system': 'system',
  'seen.canary': 'canary',
  'seen.bypass': 'bypass',
  audit: 'audit',
  unsigned: 'unsigned',
  restarts: 'restarts',
} as const satisfies Record<Observation['type'], keyof Around>

function summed(before: Around['bypass'], event: Seen<'seen.bypass'>) {
  return { flows: (before?.flows ?? 0) + event.flows, through: event.through, looks: (before?.looks ?? 0) + 1 }
}

/** Counts of looks and entries age with heartbeats; they change no verdict. */
const AGEING: ReadonlySet<string> = new Set(['at', 'looks', 'entries'])

function same(a: object, b: object): boolean {
  const told = (o: object) => JSON.stringify(Object.entries(o).filter(([key]) => !AGEING.has(key)))
  return told(a) === told(b)
}
