import type { StatusDocument } from '../posture/document.ts'
import { groupedPaths, type PathGroup, partyIn, plainText, protectionTexts } from '../posture/path-report.ts'
import { TRANSPORTS } from '../transports.ts'
import { printable, wrap } from './status-screen.ts'

const COLUMNS = ['party', 'your address', 'the names', 'when', 'sizes'] as const

/**
 * Formats the table "who can know what" for every route. Resolvers with the same table share one.
 * Pure; everything from the file is escaped.
 */
export function pathsLines({ paths = [] }: Pick<StatusDocument, 'paths'>, width: number): readonly string[] {
  const groups = groupedPaths(paths)
  const partners = paths.some(({ knows }) => knows.some((row) => [row.address, row.names].some((cell) => cell.startsWith('only'))))
  return [
    'Who can know what',
    ...groups.flatMap((group) => ['', ...groupLines(group, width)]),
    '',
    ...(partners ? ['with X: only together with X.'] : []),
    ...wrap('An observer of this network and of the resolver can compare times and sizes, whatever the route is. docs/paths.md', width, ''),
  ]
}

function groupLines(group: PathGroup, width: number): readonly string[] {
  const { resolvers, path } = group
  const hops = path.route.length === 0 ? 'directly' : `through ${path.route.map(({ name }) => name).join(', then ')}`
  const over = (one: PathGroup['resolvers'][number]) => one.over.map((name) => TRANSPORTS[name as keyof typeof TRANSPORTS].label).join(', ')
  const all = resolvers.map((one) => `${one.id} over ${over(one)}`).join('; ')
  const share = path.share < 1 ? [`Each operator gets about ${Math.round(path.share * 100)} % of the sites.`] : []
  const rows = path.knows.map((row) => [
    printable(partyIn(group, row.party)),
    ...[row.address, row.names, row.timing, row.sizes].map((cell) =>
      printable(partyIn(group, cell).replace(/^only together with /, 'with ')),
    ),
  ])
  return [
    ...wrap(printable(plainText(group) ?? `${all}, ${hops}`), width, '    '),
    ...table([COLUMNS, ...rows], width),
    ...[...protectionTexts(path), ...share].flatMap((text) => wrap(printable(text), width - 2, '  ').map((line) => `  ${line}`)),
  ]
}

function table(rows: readonly (readonly string[])[], width: number): readonly string[] {
  const widths = COLUMNS.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)))
  return rows.map((row) => `  ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ')}`.trimEnd().slice(0, width))
}
