import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { newerNode, runIn } from '../../support/real/newer-node.ts'

/** The suites of all links and carriers, over QUIC: only a newer Node has it. */
const here = dirname(fileURLToPath(import.meta.url))

for (const suite of ['contract.test.js', 'contract-carriers.test.js'] as const) {
  t.test(`DoQ keeps the promises of ${suite}`, { timeout: 120_000 }, async (t) => {
    const node = newerNode(t, 24)
    if (node === undefined) return
    const said = await runIn(node, join(here, '..', suite), { IN_NEWER_NODE: 'yes' })
    const [, passed = '0'] = /^# \{ total: \d+, pass: (\d+)/m.exec(said) ?? []
    t.ok(Number(passed) > 20, `${passed} promises`)
    t.notMatch(said, /^ *not ok/m)
  })
}
