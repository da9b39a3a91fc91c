// What the documents say in figures, against the code.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { PACES } from '../src/shaping/profiles.ts'
import { PROJECT_ROOT } from './support/readme.ts'

/** A document as one line, so that a sentence is found wherever its lines break. */
const textOf = (name: string) => readFileSync(join(PROJECT_ROOT, name), 'utf8').replace(/\s+/g, ' ')

/**
 * The value of a constant that is a sum of plain numbers, read from the source: most are not
 * exported.
 */
function constant(file: string, name: string): number {
  const found = new RegExp(`const ${name} = ([0-9_ *+<().]+)$`, 'm').exec(readFileSync(join(PROJECT_ROOT, 'src', file), 'utf8'))
  if (found === null) throw new Error(`src/${file} has no ${name} any more: say here what the documents mean instead`)
  return Number(new Function(`return ${found[1]}`)())
}

const HOUR_MS = 3_600_000
const MINUTE_MS = 60_000
const MIB = 1024 * 1024
const minutes = (ms: number) => ['no', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine', 'ten'][ms / MINUTE_MS]

t.test('documented limits are those of the code', (t) => {
  const paces = Object.entries(PACES).map(([name, pace]) => `${pace.coversADay.toLocaleString('en')} (\`${name}\`)`)
  const says: readonly (readonly [document: string, sentence: string])[] = [
    ['docs/limits.md', `a ticket: as the resolver says, at most ${constant('link/dial/sessions.ts', 'MAX_TICKET_AGE_MS') / HOUR_MS} hours`],
    ['docs/limits.md', `round-trip times (the last ${constant('posture/state.ts', 'RTT_WINDOW')} per resolver)`],
    ['docs/limits.md', `at most ${constant('trace/query-trace.ts', 'RING')} lines that wait for a slow terminal`],
    [
      'docs/limits.md',
      `The trace ends after its time (at most ${constant('trace/query-trace.ts', 'LONGEST_TRACE_MS') === HOUR_MS ? 'one hour' : '?'})`,
    ],
    ['docs/cache.md', `no resolver has a newer answer within ${constant('cache/serve-stale.ts', 'CLIENT_TIMEOUT_MS') / 1000} s`],
    ['docs/cache.md', `with a TTL of ${constant('cache/serve-stale.ts', 'STALE_TTL_S')} s`],
    [
      'docs/cache.md',
      `For the next ${constant('cache/serve-stale.ts', 'RECHECK_S')} s, clients that query this name get the stale answer at once`,
    ],
    [
      'docs/cache.md',
      `${constant('cache/failures.ts', 'LEAST_S')} s, doubled each time it fails again, at most ${constant('cache/failures.ts', 'MOST_S') / 60} minutes`,
    ],
    ['docs/cache.md', `it lives at least ${constant('cache/prefetch.ts', 'LEAST_TTL_MS') / 1000} s, was hit three times`],
    ['docs/cache.md', `At most ${constant('cache/prefetch.ts', 'MOST_RENEWALS')} renewals wait or are in progress`],
    ['docs/retention.md', `at most ${constant('retention/saved-cache.ts', 'MAX_SAVED_OCTETS') / MIB} MiB`],
    ['docs/retention.md', `every ${minutes(constant('retention/retention.ts', 'SAVE_EVERY_MS'))} minutes`],
    ['docs/policy.md', `A file holds one megabyte; ${minutes(constant('posture/audit.ts', 'FILES') * MINUTE_MS)} files are kept`],
    [
      'docs/policy.md',
      `(${constant('posture/audit.ts', 'BURST')} at once, then one every ${constant('posture/audit.ts', 'ONE_EVERY_MS') / 1000} s)`,
    ],
    ['docs/page.md', `logged in for ${constant('page/page.ts', 'SESSION_S') / 3600} hours`],
    [
      'docs/page.md',
      `At most ${constant('page/page.ts', 'MAX_CONNECTIONS')} connections are open at once. A connection is closed after ${constant('page/page.ts', 'PATIENCE_MS') / 1000} s of silence`,
    ],
    ['docs/shaping.md', `the last ${constant('posture/state.ts', 'RTT_WINDOW')} round trips`],
    ['docs/shaping.md', `At most ${constant('shaping/constant-rate.ts', 'MAX_WAITING')} queries wait, and only until their deadline`],
    [
      'docs/shaping.md',
      `covers pause, for ${constant('shaping/cover-traffic.ts', 'FIRST_PAUSE_MS') / MINUTE_MS} minutes, doubling to a day`,
    ],
    ['docs/shaping.md', `${paces.slice(0, -1).join(', ')} or ${paces.at(-1)} covers in 24 hours`],
    ['docs/reload.md', `${constant('system/file-watch.ts', 'SETTLE_MS') === 500 ? 'Half a second' : '?'} after one of them changes`],
  ]
  for (const [document, sentence] of says) t.ok(textOf(document).includes(sentence), `${document}: ${sentence}`)
  t.end()
})
