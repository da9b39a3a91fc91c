import { entryOf, idOf, nameOf, type SetEntry, stampsOf } from '../config/listed-entries.ts'
import { configError, quoted } from '../config/problems.ts'
import { removeEntries } from '../config/set-edit.ts'
import { acceptable, existingSet, openSet, saveSet, written } from '../config/set-file.ts'
import { mergePlan, sameServer } from '../config/set-merge.ts'
import { keyOf } from '../config/set-pairs.ts'
import { readStamp, writeStamp } from '../config/stamps.ts'
import { EXIT } from '../exit-codes.ts'
import { relaysNamedBy, unknownId, withPlan } from './resolvers-import.ts'
import { changeableSet, chosenSet, type SetOptions, type SetWorld } from './set-choice.ts'
import { resolvedEntry } from './set-lookup.ts'
import { printable } from './status-screen.ts'

const HERE = 'command line'

export interface AddOptions extends SetOptions {
  readonly id?: string
}

/** `resolvers add`: returns the exit code. Rejects with an EnigmError `config`. */
export async function addStamp(text: string, options: AddOptions, world: SetWorld): Promise<number> {
  const { stamp, fault } = readStamp(text.trim())
  if (stamp === undefined) throw configError([{ file: HERE, path: 'STAMP', message: fault }])
  const chosen = await changeableSet(options, world)
  const set = await openSet(chosen.file)
  const found = await resolvedEntry(entryOf(stamp, options.id ?? idOf(nameOf(stamp))), chosen, set, world)
  const { good, faults } = acceptable([found])
  const [entry] = good
  if (entry === undefined) throw configError(faults.map((message) => ({ file: HERE, path: 'STAMP', message })))
  const { add } = mergePlan(set.entries, [entry])
  const [added] = add
  if (added === undefined) {
    const id = sameServer(set.entries, entry)?.value.id ?? entry.value.id
    world.out.write(`${printable(chosen.file)} already has this entry: ${printable(id)}.\n`)
    if (options.id === undefined || options.id === id) return EXIT.good
    world.err.write(`Nothing was added as ${quoted(options.id)}: use the id ${quoted(id)}, or change the id of that entry in the file.\n`)
    return EXIT.notAsWished
  }
  if (options.id !== undefined && added.value.id !== options.id)
    throw configError([
      { file: HERE, path: '--id', message: `${quoted(options.id)} is in the set already for another resolver; choose another id` },
    ])
  await saveSet(set, withPlan(set.text, add, []))
  const use =
    added.kind === 'relays'
      ? 'Routes can use it now.'
      : `It is not used before you enable it: "enabled": true there, or "use": ["${added.value.id}"] in the configuration.`
  world.out.write(`${printable(chosen.file)}: added ${added.value.id}. ${use}\n`)
  return EXIT.good
}

/** `resolvers remove`: returns the exit code. Rejects with an EnigmError `config`. */
export async function removeEntry(ids: readonly string[], options: SetOptions, world: SetWorld): Promise<number> {
  const chosen = await changeableSet(options, world)
  const set = await openSet(chosen.file)
  const known = (id: string) => set.entries.some(({ value }) => value.id === id)
  const missing = ids.find((id) => !known(id))
  if (missing !== undefined) throw unknownId(missing, chosen.file)
  const unique = new Set(ids)
  const staying = set.entries.filter(({ kind, value }) => kind === 'resolvers' && !unique.has(value.id))
  for (const id of unique) {
    const behind = staying.filter((entry) => relaysNamedBy(entry).includes(keyOf('relays', id))).map(({ value }) => value.id)
    if (behind.length === 0) continue
    const message = `${id} is the relay of ${behind.join(', ')}; remove it there first, or remove both; nothing was changed`
    throw configError([{ file: chosen.file, path: '', message }])
  }
  const named = [...unique].filter((id) => chosen.inUse?.has(keyOf('resolvers', id)) === true && chosen.loaded?.config.use.includes(id))
  await saveSet(
    set,
    (['resolvers', 'relays'] as const).reduce((text, kind) => removeEntries(text, kind, unique), set.text),
  )
  world.out.write(`${printable(chosen.file)}: removed ${[...unique].join(', ')}.\n`)
  if (named.length > 0)
    world.out.write(`These were in use: ${named.join(', ')}. If "use" in the configuration names them, remove them there too.\n`)
  return EXIT.good
}

export interface ExportOptions extends SetOptions {
  readonly stamp?: true
}

/** `resolvers export`: returns the exit code. Rejects with an EnigmError `config`. */
export async function exportEntry(id: string, options: ExportOptions, world: SetWorld): Promise<number> {
  const { file } = await chosenSet(options, world)
  const entry = (await existingSet(file)).entries.find(({ value }) => value.id === id)
  if (entry === undefined) throw unknownId(id, file)
  if (options.stamp !== true) {
    world.out.write(`${JSON.stringify(written(entry), null, 2)}\n`)
    return EXIT.good
  }
  const stamps = stampsOf(entry).map(writeStamp)
  for (const stamp of stamps) world.out.write(`${stamp}\n`)
  for (const lost of lostIn(entry)) world.err.write(`${lost}\n`)
  return stamps.length > 0 ? EXIT.good : EXIT.notAsWished
}

/** What a stamp cannot contain, as sentences with the effect for those who use the stamp. */
function lostIn({ value }: SetEntry): readonly string[] {
  const has = (key: string) => Array.isArray(value[key]) && value[key].length > 0
  const places = Object.values(Object(value.transports) as object).map((place) => Object(place) as object)
  const inPlace = (key: string) => places.some((place) => Object.hasOwn(place, key))
  const lost: readonly (readonly [lost: boolean, sentence: string])[] = [
    [has('spkiPins'), 'no pins of keys (spkiPins): with this stamp, only the certificate authorities prove the identity.'],
    [value.caFile !== undefined, 'no private CA (caFile): without the CA, the certificate is refused.'],
    [
      inPlace('relay'),
      'no relay: without one, a resolver for DNSCrypt is asked directly and sees your address, and one for ODoH is not used.',
    ],
    [inPlace('config'), 'no key of an ODoH resolver (config): it must be fetched first.'],
    [has('via'), 'no route (via): without it, the resolver is reached as "via" of the configuration says, and perhaps directly.'],
    [value.tls !== undefined, 'no rules for TLS (tls): older versions or other groups may be accepted.'],
    [value.probe !== undefined, 'no probe: the resolver is tested with a query for the root.'],
    [
      value.addresses.some((one) => one.endsWith('.onion')),
      'no address of an onion service: a person who has the stamp must look the name up.',
    ],
  ]
  return lost.flatMap(([is, sentence]) => (is ? [`A stamp contains ${sentence}`] : []))
}
