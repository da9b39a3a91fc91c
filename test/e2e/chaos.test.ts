import t from 'tap'
import type { Row } from '../../bench/chaos/row.ts'
import { ROWS } from '../../bench/chaos/rows.ts'
import { runRow } from '../../bench/chaos/run-row.ts'

/** Limits of time are this much wider than in `npm run chaos`: other tests run beside these. */
const SLACK = 10
const AT_A_TIME = 2
/** One row of each kind: the others differ by transport, or take longer than 10 s. */
const CHOSEN =
  'first-dark-from-start all-dark reset-dot reset-h2 half-open-dot half-open-h2 half-open-two goaway goaway-0 refused-stream one-stream trickle-h1 trickle-h2 trickle-all certificate-expired sigstop boot-time descriptors unread-tcp'

const rows = CHOSEN.split(' ').map((name) => ROWS.find((row) => row.name === name) ?? missing(name))
const results = new Map(rows.map((row) => [row.name, deferred()]))
void Promise.all(Array.from({ length: AT_A_TIME }, (_, i) => work(rows.filter((_row, k) => k % AT_A_TIME === i))))

for (const row of rows)
  t.test(`${row.name}: ${row.fault}`, async (t) => {
    const result = await results.get(row.name)?.promise
    t.equal(result?.error, undefined)
    for (const { what, figure, limit, unit, pass } of result?.checks ?? []) t.ok(pass, `${what}: ${figure} ${unit} (${limit.join(' ')})`)
    t.ok((result?.checks.length ?? 0) > 4, 'it was judged')
  })

async function work(mine: readonly Row[]): Promise<void> {
  for (const row of mine) results.get(row.name)?.resolve(await runRow(row, { fast: true, slack: SLACK, seed: 1 }))
}

function deferred() {
  type Result = Awaited<ReturnType<typeof runRow>>
  let resolve: (result: Result) => void = () => {}
  const promise = new Promise<Result>((settle) => {
    resolve = settle
  })
  return { promise, resolve }
}

function missing(name: string): never {
  throw new Error(`there is no row ${name}`)
}
