import type { Loaded } from '../config/load.ts'
import { configError, counted } from '../config/problems.ts'
import { openSet, saveSet, withRoom } from '../config/set-file.ts'
import { type EntryChange, isWithdrawn } from '../config/set-merge.ts'
import { keepShown, notShown } from '../config/shown-changes.ts'
import { soundChanges } from '../config/sound-changes.ts'
import { faultsOf, type ListedChanges, listedChanges } from '../config/source-lists.ts'
import { systemCode } from '../errors.ts'
import { EXIT } from '../exit-codes.ts'
import { type SourceOutcome, unfitness, updateLists } from './list-updates.ts'
import { withPlan } from './resolvers-import.ts'
import { findConfig, thisHost } from './running-service.ts'
import { type ChosenSet, changeableSet, chosenSet, type SetOptions, type SetWorld } from './set-choice.ts'
import { hostLookup } from './set-lookup.ts'
import { printable, printableJson } from './status-screen.ts'

export interface UpdateOptions extends SetOptions {
  readonly json?: true
}

/** `resolvers update`: returns the exit code. Rejects with an EnigmError `config`. */
export async function updateSources(options: UpdateOptions, world: SetWorld): Promise<number> {
  const chosen = await chosenSet(options, world)
  const { config } = withSources(chosen)
  const set = await openSet(chosen.file)
  const { host = thisHost(), places } = world
  const outcomes = await updateLists(config.sources, config.stateDir, {
    clock: world.clock,
    lookup: await hostLookup(chosen, set, world),
    unfit: async (source, reading) => unfitness(await findConfig(options.config, host, places, { id: source.id, reading }), source),
  })
  const found = listedChanges(set.entries, config.sources, config.stateDir, chosen)
  if (options.json === true) world.out.write(`${printableJson({ sources: found.map((one) => asJson(one, outcomes)) }, 2)}\n`)
  else
    for (const line of found.flatMap((one) => inWords(one, outcomes, config.updates === 'apply'))) world.out.write(`${printable(line)}\n`)
  const shown = firstOf(found.flatMap((one) => one.change))
  if (shown.length > 0) noteShown(shown, config.stateDir, { add: false })
  const isTampered = found.some(({ reading }) => reading.refused !== undefined && reading.unproven === true)
  if (isTampered || outcomes.some(({ unproven }) => unproven)) return EXIT.proofFailed
  return outcomes.some(({ refused }) => refused !== undefined) ? EXIT.notAsWished : EXIT.good
}

/**
 * `resolvers accept`: applies the changes that were shown, and only those. Returns the exit code.
 * Rejects with an EnigmError `config`.
 */
export async function acceptChanges(ids: readonly string[], options: SetOptions, world: SetWorld): Promise<number> {
  const chosen = await changeableSet(options, world)
  const { config } = withSources(chosen)
  const set = await openSet(chosen.file)
  const found = listedChanges(set.entries, config.sources, config.stateDir, chosen)
  const wanted = ({ id }: { readonly id: string }) => ids.length === 0 || ids.includes(id)
  const proposed = firstOf(found.flatMap((one) => one.change)).filter(wanted)
  const { sound, unsound } = soundChanges(set, proposed)
  // A resolver that only the configuration selects is not enabled already.
  const change = sound.filter((one) => !isWithdrawn(one) || one.before.enabled === true)
  const left = [
    ...unsound,
    ...sound.filter((one) => !change.includes(one)).map(({ id }) => `${id} is withdrawn and still in use: ${REMOVE}`),
  ]
  const unseen = notShown(change, config.stateDir)
  if (unseen.length > 0) {
    for (const one of unseen) world.out.write(`${printable(changeText(one))}\n`)
    noteShown(unseen, config.stateDir, { add: true })
    world.err.write(
      'These changes were not shown before, because a list is newer or the set has changed: nothing was changed. To apply them, run the same command again.\n',
    )
    return EXIT.notAsWished
  }
  const known = new Set(set.entries.map(({ value }) => value.id))
  const fresh = found
    .flatMap((one) => one.add)
    .filter(({ value }, i, all) => wanted(value) && !known.has(value.id) && all.findIndex((other) => other.value.id === value.id) === i)
  const { add, left: beyond } = withRoom(set.entries, fresh)
  const missing = ids.filter((id) => ![...proposed.map((one) => one.id), ...fresh.map(({ value }) => value.id)].includes(id))
  await saveSet(set, withPlan(set.text, add, change))
  for (const one of change) world.out.write(`${printable(changeText(one))}\n`)
  if (change.some(isWithdrawn)) world.out.write(`A withdrawn resolver stays in use if the configuration names it; if so, ${REMOVE}\n`)
  world.out.write(`${printable(chosen.file)}: ${change.length} changed, ${add.length} added (none is used before you enable it).\n`)
  for (const text of [...left, ...beyond]) world.err.write(`${printable(text)}\n`)
  for (const { source, reading } of found)
    if (reading.refused !== undefined) world.err.write(`${printable(`${source.id} ${reading.refused}`)}\n`)
  if (missing.length > 0) world.err.write(`${printable(`No list changes or adds ${missing.join(', ')}.`)}\n`)
  if (found.some(({ reading }) => reading.refused !== undefined && reading.unproven)) return EXIT.proofFailed
  // A person who names ids waits for nothing else.
  const isRefused = ({ reading }: ListedChanges) => reading.refused !== undefined
  const unread = ids.length === 0 ? found.some(isRefused) : found.every(isRefused)
  return unread || missing.length + left.length + beyond.length > 0 ? EXIT.notAsWished : EXIT.good
}

/** Rejects with an EnigmError `config` if the state directory cannot be written. */
function noteShown(changes: readonly EntryChange[], stateDir: string, how: { readonly add: boolean }): void {
  try {
    keepShown(changes, stateDir, how)
  } catch (error) {
    const message = `cannot be written (${systemCode(error) ?? 'unknown error'}), so no change can be accepted; run this as the user of the service or as root`
    throw configError([{ file: stateDir, path: '', message }])
  }
}

function withSources({ loaded }: ChosenSet): {
  readonly config: Loaded['config'] & { readonly sources: NonNullable<Loaded['config']['sources']> }
} {
  const sources = loaded?.config.sources
  if (loaded === undefined || sources === undefined) {
    const message = 'names no list; add one, as in "sources": [{ "id": "public", "url": "https://...", "minisignKey": "RW..." }]'
    throw configError([{ file: 'configuration', path: 'sources', message }])
  }
  return { config: { ...loaded.config, sources } }
}

/** If two sources change the same entry, the first source counts. */
function firstOf(changes: readonly EntryChange[]): readonly EntryChange[] {
  return [...new Map(changes.toReversed().map((one) => [`${one.kind} ${one.id}`, one])).values()].toReversed()
}

function inWords({ source, reading, change, add }: ListedChanges, outcomes: readonly SourceOutcome[], apply: boolean): readonly string[] {
  const faults = faultsOf(reading, outcomes.find((one) => one.source.id === source.id)?.refused)
  const why = faults.map((fault) => `${source.id}${fault.startsWith('the kept copy') ? ':' : ''} ${fault}`)
  if (reading.refused !== undefined) return why
  const { entries, signedS } = reading.list
  const when = signedS === undefined ? 'without a time' : `signed ${new Date(Math.min(signedS, 8e12) * 1000).toISOString()}`
  const changes = apply
    ? `${counted(change.length, 'change is', 'changes are')} applied without a change of the set ("updates": "apply")`
    : counted(change.length, 'change waits', 'changes wait')
  const advice =
    change.length + add.length === 0 ? '.' : ` (${apply ? 'write them into the set' : 'apply'} with: enigm-dns resolvers accept)`
  return [
    ...why,
    `${source.id}: ${counted(entries.length, 'entry', 'entries')}, ${when}; ${counted(add.length, 'is', 'are')} not in the set, ${changes}${advice}`,
    ...change.map((one) => `  ${changeText(one)}`),
  ]
}

const REMOVE = 'remove its id in the configuration ("use", "forward", "views").'

function changeText(one: EntryChange): string {
  const { id, what, keys, before } = one
  if (isWithdrawn(one)) return `${id}: withdrawn: the list no longer has it`
  return `${id}: ${what.join(', ')}: ${JSON.stringify(before)} -> ${JSON.stringify(keys)}`
}

function asJson({ source, reading, change, add }: ListedChanges, outcomes: readonly SourceOutcome[]): object {
  const why = faultsOf(reading, outcomes.find((one) => one.source.id === source.id)?.refused)
  return {
    id: source.id,
    ...(why.length === 0 ? {} : { why: why.join('; ') }),
    ...(reading.refused === undefined ? { entries: reading.list.entries.length, signedS: reading.list.signedS ?? null } : {}),
    changes: change.map(({ id, what, keys, before }) => ({ resolver: id, what, from: before, to: keys })),
    new: add.map(({ value }) => value.id),
  }
}
