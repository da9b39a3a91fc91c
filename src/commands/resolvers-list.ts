import type { SetEntry } from '../config/listed-entries.ts'
import { counted } from '../config/problems.ts'
import { existingSet } from '../config/set-file.ts'
import { keyOf } from '../config/set-pairs.ts'
import { EXIT } from '../exit-codes.ts'
import { chosenSet, type SetOptions, type SetWorld } from './set-choice.ts'
import { printable, printableJson } from './status-screen.ts'

export interface ListOptions extends SetOptions {
  readonly json?: true
}

/** `resolvers list`: returns the exit code. Rejects with an EnigmError `config`. */
export async function listEntries(options: ListOptions, world: SetWorld): Promise<number> {
  const { file, inUse } = await chosenSet(options, world)
  const { entries } = await existingSet(file)
  const of = (kind: SetEntry['kind']) => entries.filter((entry) => entry.kind === kind)
  if (options.json === true) {
    const resolvers = of('resolvers').map(({ value }) => ({ ...value, inUse: inUse?.has(keyOf('resolvers', value.id)) ?? null }))
    world.out.write(`${printableJson({ set: file, resolvers, relays: of('relays').map(({ value }) => value) }, 2)}\n`)
    return EXIT.good
  }
  const rows = of('resolvers').map((entry) => resolverRow(entry, inUse))
  const relays = of('relays').map(relayRow)
  const report = [
    ...table([['ID', 'STATE', 'OPERATOR', 'COUNTRY', 'TRANSPORTS', 'FILTERING', 'LOGS', 'DNSSEC'], ...rows]),
    ...(relays.length === 0 ? [] : ['', ...table([['RELAY', 'KIND', 'OPERATOR', 'COUNTRY'], ...relays])]),
    '',
    `${counted(rows.length, 'resolver')} and ${counted(relays.length, 'relay')} in ${file}. Filtering, logs, DNSSEC and country are claims of operators or lists.`,
  ]
  for (const line of report) world.out.write(`${printable(line)}\n`)
  return EXIT.good
}

function resolverRow({ value }: SetEntry, inUse: ReadonlySet<string> | undefined): readonly string[] {
  const claims: Readonly<Record<string, unknown>> = Object(value.claims)
  const state = inUse?.has(keyOf('resolvers', value.id)) === true ? 'in use' : value.enabled === false ? 'disabled' : 'enabled'
  return [
    value.id,
    state,
    shown(value.operator),
    shown(value.jurisdiction),
    Object.keys(Object(value.transports)).join(' '),
    shown(claims.filtering),
    shown(claims.logging),
    shown(claims.dnssec),
  ]
}

const relayRow = ({ value }: SetEntry) => [value.id, shown(value.type), shown(value.operator), shown(value.jurisdiction)]

function shown(value: unknown): string {
  if (typeof value === 'boolean') return value ? 'yes' : 'no'
  return typeof value === 'string' ? value.slice(0, 40) : '-'
}

/** Formats rows as a table. Each column is as wide as its longest cell. */
export function table(rows: readonly (readonly string[])[]): readonly string[] {
  const widths = (rows[0] ?? []).map((_, i) => Math.max(...rows.map((row) => row[i]?.length ?? 0)))
  return rows.map((row) =>
    row
      .map((cell, i) => cell.padEnd(widths[i] ?? 0))
      .join('  ')
      .trimEnd(),
  )
}
