import { isIP } from 'node:net'
import { addressOctets } from '../config/cidr.ts'
import type { WritableType } from '../config/record-data.ts'
import { nameFromText, textFromName } from '../dns/name.ts'
import { localVerdict } from '../local-names/special-names.ts'
import { questionFor } from '../rules/own-answers.ts'
import { reverseName } from '../rules/own-names.ts'
import type { Draft } from './draft.ts'
import type { Line, Rule } from './unbound-lines.ts'

/** Imports `local-data: "name [TTL] [IN] TYPE data"`. */
export const localData: Rule = (draft, { line, value }, server) => {
  const [, name = '', ttlText, type = '', data = ''] = /^(\S+)\s+(?:(\d+)\s+)?(?:IN\s+)?([A-Z]+)\s+(.*)$/i.exec(value) ?? []
  const upper = type.toUpperCase()
  if (!['A', 'AAAA', 'CNAME', 'TXT', 'PTR', 'HTTPS'].includes(upper))
    return draft.say('left out', line, `records of the type ${upper || '?'} cannot be answered here`)
  const bare = bareName(name)
  const around = zoneAround(zonesOf(server), bare.toLowerCase())
  if (around !== undefined && /^always_/.test(around.type))
    return draft.say('left out', line, `${bare}: the zone ${around.zone} of the type ${around.type} ignores it`)
  const ttlS = ttlText === undefined ? undefined : Math.min(604_800, Number(ttlText))
  draft.answerLine(line, bare, upper as WritableType, data.trim(), ttlS)
  if (around?.zone === bare.toLowerCase() && REDIRECTS.has(around.type))
    draft.answerLine(line, `*.${bare}`, upper as WritableType, data.trim(), ttlS)
}

/** Imports `local-data-ptr: "address [TTL] name"`. */
export const localPtr: Rule = (draft, { line, value }) => {
  const [, address = '', ttlText, name = ''] = /^(\S+)\s+(?:(\d+)\s+)?(\S+)$/.exec(value) ?? []
  const reverse = reverseText(address)
  if (reverse === undefined) return draft.say('left out', line, `${address} is not an address`)
  draft.answerLine(line, reverse, 'PTR', name, ttlText === undefined ? undefined : Math.min(604_800, Number(ttlText)))
}

function reverseText(address: string): string | undefined {
  if (isIP(address) === 0) return undefined
  return textFromName(reverseName(addressOctets(address))).replace(/\.$/, '')
}

const bareName = (text: string) => text.replace(/\.$/, '')

/** The types of the local zones, by name. Cached, because a file may have thousands of records. */
type Zones = ReadonlyMap<string, string>
const known = new WeakMap<readonly Line[], Zones>()
function zonesOf(server: readonly Line[]): Zones {
  const zones = known.get(server) ?? new Map(server.flatMap(({ key, value }) => (key === 'local-zone' ? [zoneOf(value)] : [])))
  known.set(server, zones)
  return zones
}

function zoneOf(value: string): readonly [zone: string, type: string] {
  const [zoneText = '', type = ''] = value.split(/\s+/)
  return [bareName(zoneText).toLowerCase(), type]
}

/** The smallest local zone that contains a name. */
function zoneAround(zones: Zones, name: string): { readonly zone: string; readonly type: string } | undefined {
  for (let zone = name; zone !== ''; zone = parentOf(zone)) {
    const type = zones.get(zone)
    if (type !== undefined) return { zone, type }
  }
  return undefined
}

const parentOf = (name: string) => (name.includes('.') ? name.slice(name.indexOf('.') + 1) : '')

/** Zones whose records answer for all names below them too. */
const REDIRECTS: ReadonlySet<string> = new Set(['redirect', 'inform_redirect'])
/** Zones whose names are resolved as all others, except those of `local-data`. */
const OPEN: ReadonlySet<string> = new Set(['transparent', 'typetransparent', 'nodefault', 'inform', 'always_transparent'])

export const localZone: Rule = (draft, { line, value }, server) => {
  const [zone, type] = zoneOf(value)
  if (OPEN.has(type)) return openZone(draft, line, zone, type, zonesOf(server))
  if (type === 'redirect') return draft.say('same', line, `${zone}: its records answer for all names below it too`)
  if (type === 'inform_redirect')
    return draft.say('left out', line, `${zone}: its records answer for all names below it too, but clients are never recorded`)
  const blocked = BLOCKED[type]
  if (blocked === undefined) return draft.say('left out', line, `${zone}: the type ${type} cannot be imported`)
  const why = addRules(draft, blocked, [zone, `*.${zone}`], 'block')
  draft.say(why === undefined ? 'taken' : 'left out', line, why ?? `lists: ${zone} is blocked by ${blocked.id}.txt${blocked.says}`)
}

/** Imports a zone whose names are resolved normally, also below a blocked zone. */
function openZone(draft: Draft, line: number, zone: string, type: string, zones: Zones) {
  const above = zoneAround(zones, parentOf(zone))
  const blocked = above === undefined ? undefined : BLOCKED[above.type]
  if (above !== undefined && blocked !== undefined) {
    const below = [...zones].find(([name, other]) => name.endsWith(`.${zone}`) && BLOCKED[other] !== undefined)?.[0]
    if (below !== undefined)
      return draft.say('left out', line, `${zone}: its names are blocked, because the zones ${above.zone} and ${below} are blocked`)
    const why = addRules(draft, blocked, [zone, `*.${zone}`], 'allow')
    draft.say(why === undefined ? 'taken' : 'left out', line, why ?? `lists: ${zone} is allowed by ${blocked.id}.txt`)
  } else if (isAnsweredHere(zone))
    draft.say('left out', line, `${zone}: its names are answered here, and are never sent without a rule of "forward"`)
  else if (type === 'inform') draft.say('left out', line, `${zone}: its names are resolved as all others, and clients are never recorded`)
  else if (type === 'typetransparent')
    draft.say(
      'left out',
      line,
      `${zone}: a name of "local-data" has no records of other types here; other names are resolved as all others`,
    )
  else draft.say('same', line, `${zone}: names without local data are resolved as all others`)
}

/** Whether the names below a zone are local names (docs/local-names.md). */
function isAnsweredHere(zone: string): boolean {
  try {
    return localVerdict(questionFor(nameFromText(`a.${zone}.`), 1), undefined) !== undefined
  } catch {
    return false
  }
}

/**
 * Writes rules about names into the list of a type. Returns undefined, or the reason for a failure
 * as a clause.
 */
function addRules(
  draft: Draft,
  { id, reply }: BlockedType,
  names: readonly [string, string],
  action: 'block' | 'allow',
): string | undefined {
  const file = `${id}.txt`
  const target = action === 'block' ? '*.' : 'rpz-passthru.'
  const adblock = `${action === 'block' ? '' : '@@'}||${names[0]}^`
  const rules = reply === undefined ? names.map((name) => `${name} CNAME ${target}`) : [adblock]
  const why = rules.map((rule) => draft.lineInFile(file, rule)).find((one) => one !== undefined)
  if (why === undefined && !draft.lists.some((list) => list.file === file))
    draft.list({ id, file, ...(reply === undefined ? { format: 'rpz' } : { format: 'adblock', reply }) })
  return why
}

/** How local zones of one type are imported. Zones with the same reply go into one list. */
interface BlockedType {
  readonly id: string
  /** The reply of the list; undefined: the rules have the reply. */
  readonly reply?: 'nxdomain' | 'refused' | 'null-address'
  /** The difference from Unbound, as a clause after a comma. */
  readonly says: string
}
const NO_SUCH_NAME: BlockedType = { id: 'unbound-zones', reply: 'nxdomain', says: '' }
const REFUSED: BlockedType = { id: 'unbound-refused', reply: 'refused', says: '' }
const DROPPED: BlockedType = { ...NO_SUCH_NAME, says: ', with NXDOMAIN instead of no reply, so that programs do not wait' }
const BLOCKED: Readonly<Record<string, BlockedType>> = {
  static: NO_SUCH_NAME,
  always_nxdomain: NO_SUCH_NAME,
  refuse: REFUSED,
  always_refuse: REFUSED,
  deny: DROPPED,
  always_deny: DROPPED,
  inform_deny: { ...DROPPED, says: `${DROPPED.says}; clients are never recorded` },
  always_null: { id: 'unbound-null', reply: 'null-address', says: '' },
  always_nodata: { id: 'unbound-nodata', says: '' },
}
