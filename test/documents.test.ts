// What the documents say in figures, against the code.
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t from 'tap'
import { MAX_TICKET_AGE_MS } from '../src/link/sessions.ts'
import { RTT_WINDOW } from '../src/posture/rtt.ts'

let root: string = import.meta.dirname
while (!existsSync(join(root, 'package.json'))) root = dirname(root)

/** A document as one line, so that a sentence is found wherever its lines break. */
const textOf = (name: string) => readFileSync(join(root, name), 'utf8').replace(/\s+/g, ' ')

t.test('limits are those of the code', (t) => {
  const says: readonly (readonly [document: string, sentence: string])[] = [
    ['docs/limits.md', `a ticket: as the resolver says, at most ${MAX_TICKET_AGE_MS / 3600_000} hours`],
    ['docs/limits.md', `round trips (the last ${RTT_WINDOW} a resolver)`],
    ['docs/shaping.md', `the last ${RTT_WINDOW} round trips`],
  ]
  for (const [document, sentence] of says) t.ok(textOf(document).includes(sentence), `${document}: ${sentence}`)
  t.end()
})
