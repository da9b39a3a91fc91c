import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { PacedProfile } from '../../src/shaping/profiles.ts'
import { best } from '../adversary/closed-world.ts'
import type { Estimate } from '../adversary/metrics.ts'
import { MOST, MOST_AUC, MOST_MARKED } from './gates.ts'
import { PACED } from './line-up.ts'
import type { Results } from './results.ts'

/** One thing that an observer may look at: what it revealed, and whether that is hidden. */
interface Finding {
  readonly what: string
  readonly cells: readonly { readonly profile: PacedProfile; readonly text: string; readonly hidden: boolean }[]
}

const percent = (share: number) => `${(share * 100).toFixed(1)} %`
const upTo = ({ value, high }: Estimate) => `${percent(value)} (to ${percent(high)})`

/** What the bench found, row by row; what was not measured is left out. */
function findings(results: Results): readonly Finding[] {
  const row = (profile: PacedProfile, name: string) => results.rows.find(({ gated }) => gated?.profile === profile && gated.row === name)
  const names = [...new Set(results.rows.flatMap(({ gated }) => (gated === undefined ? [] : [gated.row])))]
  const finding = (
    what: string,
    cell: (profile: PacedProfile) => { readonly text: string; readonly hidden: boolean } | undefined,
  ): Finding => ({
    what,
    cells: PACED.flatMap((profile) => {
      const found = cell(profile)
      return found === undefined ? [] : [{ profile, ...found }]
    }),
  })
  const auc = (estimate: Estimate | undefined) =>
    estimate && { text: `AUC ${estimate.value.toFixed(2)}`, hidden: estimate.value <= MOST_AUC }
  const plain = (profile: PacedProfile) => row(profile, 'plain')
  const hour = (profile: PacedProfile) => results.scenarios.find((report) => report.profile === profile)
  return [
    ...names.map((name) =>
      finding(`which page, ${name}`, (profile) => {
        const world = row(profile, name)?.world
        if (world === undefined) return undefined
        const top = best(world)
        return { text: upTo(top), hidden: top.high <= MOST[profile] }
      }),
    ),
    finding('which page, of those with a large reply', (profile) => {
      const marked = row(profile, 'large replies')?.world.marked
      return marked && { text: percent(marked.value), hidden: marked.value <= MOST_MARKED }
    }),
    finding('which page, by a session’s length alone', (profile) => {
      const world = plain(profile)?.world
      return (
        world && { text: `${percent(world.length.value)}, ${world.lengthBits.toFixed(2)} bits`, hidden: world.length.high <= MOST[profile] }
      )
    }),
    finding('that something is asked at all', (profile) => auc(plain(profile)?.onset?.quiet)),
    finding('which host belongs to which link, by start and stop', (profile) => auc(plain(profile)?.correlation?.lanWhole)),
    finding('a second page 10 to 20 s after the first', (profile) => auc(hour(profile)?.second)),
    finding('the kind of load in an hour, of six', (profile) => {
      const report = hour(profile)
      return report && { text: percent(report.told.value), hidden: report.told.low <= 1 / report.rows.length }
    }),
  ].filter(({ cells }) => cells.length > 0)
}

/** The table of docs/shaping.md: each row of the bench, and whether a profile hides it. */
export function hiddenTable(results: Results): string {
  const rows = findings(results).map(({ what, cells }) => {
    const texts = PACED.map((profile) => {
      const cell = cells.find((one) => one.profile === profile)
      return cell === undefined ? '–' : `${cell.text}, ${cell.hidden ? 'hidden' : '**not hidden**'}`
    })
    return `| ${what} | ${texts.join(' | ')} |`
  })
  const sites = results.rows[0]?.sites ?? 100
  return [
    `Of ${sites} sites, the best attacker, with the upper end of 95 %. Hidden: at most ${PACED.map((profile) => `${percent(MOST[profile])} under \`${profile}\``).join(', ')}; AUC at most ${MOST_AUC}.`,
    '',
    `| what an observer of the link is after | ${PACED.map((profile) => `\`${profile}\``).join(' | ')} |`,
    '| --- | --- | --- | --- |',
    ...rows,
  ].join('\n')
}

/** The list of docs/limits.md: what each profile does not hide. */
export function notHidden(results: Results): string {
  return PACED.map((profile) => {
    const open = findings(results).flatMap(({ what, cells }) =>
      cells.flatMap((cell) => (cell.profile === profile && !cell.hidden ? [`${what}: ${cell.text}`] : [])),
    )
    return `- \`${profile}\` does not hide: ${open.length === 0 ? 'nothing that the bench measures' : open.join('; ')}.`
  }).join('\n')
}

/** `text` with `table` between the two marks that say where it comes from. */
export function withGenerated(text: string, table: string): string {
  const [before, rest = ''] = text.split(BEGIN)
  const after = rest.slice(rest.indexOf(END))
  if (!after.startsWith(END)) throw new Error(`no place for the table: ${BEGIN} ... ${END}`)
  return `${before}${BEGIN}\n\n${table}\n\n${after}`
}

const BEGIN = '<!-- from bench/results/observer.json: npm run bench:observer -- --render -->'
const END = '<!-- end -->'

/** Writes both tables again. */
export function writeDocs(root: string, results: Results): void {
  for (const [file, table] of [
    ['shaping.md', hiddenTable(results)],
    ['limits.md', notHidden(results)],
  ] as const) {
    const path = join(root, 'docs', file)
    writeFileSync(path, withGenerated(readFileSync(path, 'utf8'), table))
  }
}
