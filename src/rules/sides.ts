import { type ForwardRule, LINK, serverOf, type ViewRule } from '../config/forwarding.ts'
import { nameFromText } from '../dns/name.ts'
import { type Side, type View, viewNumber } from '../resolve.ts'

/** The settings that decide where names are resolved. */
export interface SideRules {
  /** The ids of the resolvers for general names. */
  readonly use: readonly string[]
  readonly forward: readonly ForwardRule[]
  readonly views: readonly ViewRule[]
}

/** A side with the servers that it asks and the rule that made it. */
export interface KnownSide extends Side {
  /** The path of its rule in the configuration, as `forward[0]`. */
  readonly rule: string
  /** The ids of the trusted resolvers that it asks; empty if it asks in cleartext. */
  readonly to: readonly string[]
  /**
   * The cleartext server, as ADDRESS:PORT, or `link`; undefined: it asks over encrypted transports.
   */
  readonly cleartext: string | undefined
}

/** All sides of a configuration. */
export interface Sides {
  /** One side for each number, in the order of the numbers. The first is for general names. */
  readonly all: readonly KnownSide[]
  /**
   * The side of a name for the clients of a view. `name` is in wire form and lower-case; octets
   * after it (type and class) are ignored. Pure. Without a forward rule it costs almost nothing.
   */
  of(name: Uint8Array, view: View): KnownSide
  /** Whether a name belongs to a forward zone in any view. */
  isForwarded(name: Uint8Array): boolean
}

/** The sides of one view. */
interface ViewSides {
  readonly general: KnownSide
  readonly zones: ZoneTable | undefined
}

/**
 * Makes the sides of a configuration. In a view, the longest forward zone that contains the name
 * decides. If the name is among the exceptions of that zone, the next longest zone decides. All
 * other names are general. A view without `forward` or `use` has the ones for all clients.
 */
export function sidesOf({ use, forward, views }: SideRules): Sides {
  const numbers = new Map<string, KnownSide>()
  const side = (made: Omit<KnownSide, 'number' | 'ofNetwork'>, only = ''): KnownSide => {
    const path = JSON.stringify([made.to, made.cleartext, only])
    const same = numbers.get(path)
    const one = { ...made, number: same?.number ?? numbers.size, ofNetwork: made.cleartext !== undefined }
    if (same === undefined) numbers.set(path, one)
    return one
  }
  const general = (to: readonly string[], rule: string) => side({ zone: undefined, rule, to, cleartext: undefined })
  const zoneSide = (rule: ForwardRule, path: string) =>
    rule.to !== undefined
      ? side({ zone: rule.zone, rule: path, to: rule.to, cleartext: undefined })
      : // Each zone with `link` has its own side: the link announces servers per zone.
        side({ zone: rule.zone, rule: path, to: [], cleartext: serverOf(rule) ?? LINK }, serverOf(rule) === undefined ? rule.zone : '')
  const zonesOf = (rules: readonly ForwardRule[], path: string) =>
    rules.length === 0 ? undefined : new ZoneTable(rules.map((rule, i) => [rule, zoneSide(rule, `${path}[${i}]`)]))

  const everybody: ViewSides = { general: general(use, 'use'), zones: zonesOf(forward, 'forward') }
  const byView = [
    everybody,
    ...views.map(
      (view, i): ViewSides => ({
        general: view.use === undefined ? everybody.general : general(view.use, `views[${i}].use`),
        zones: view.forward === undefined ? everybody.zones : zonesOf(view.forward, `views[${i}].forward`),
      }),
    ),
  ]
  return {
    all: [...numbers.values()],
    of(name, view) {
      const sides = byView[viewNumber(view)] ?? everybody
      return sides.zones?.find(name) ?? sides.general
    },
    isForwarded: (name) => byView.some(({ zones }) => zones?.find(name) !== undefined),
  }
}

/** Forward zones by their names in wire form. */
class ZoneTable {
  readonly #zones = new Map<string, { readonly side: KnownSide; readonly except: ReadonlySet<string> }>()

  constructor(zones: readonly (readonly [rule: ForwardRule, side: KnownSide])[]) {
    for (const [{ zone, except = [] }, side] of zones) this.#zones.set(wireText(zone), { side, except: new Set(except.map(wireText)) })
  }

  find(name: Uint8Array): KnownSide | undefined {
    const suffixes = suffixesOf(name)
    for (const [longer, suffix] of suffixes.entries()) {
      const found = this.#zones.get(suffix)
      if (found === undefined) continue
      if (found.except.size === 0 || !suffixes.slice(0, longer).some((one) => found.except.has(one))) return found.side
    }
    return undefined
  }
}

const wireText = (name: string) => Buffer.from(nameFromText(name)).toString('latin1')

/** The name and each of its parents, without the root, the longest first. */
function suffixesOf(name: Uint8Array): readonly string[] {
  let end = 0
  const starts: number[] = []
  for (let length = name[0] ?? 0; length !== 0; length = name[end] ?? 0) {
    starts.push(end)
    end += length + 1
  }
  const text = Buffer.from(name.buffer, name.byteOffset, end + 1).toString('latin1')
  return starts.map((start) => text.slice(start))
}
