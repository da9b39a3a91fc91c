import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { record } from './record.ts'

const { values, positionals } = parseArgs({ options: { out: { type: 'string' } }, allowPositionals: true })
const { out } = values
const seeds = positionals.map(Number)
if (out === undefined || seeds.length === 0 || !seeds.every((seed) => Number.isSafeInteger(seed) && seed > 0)) {
  console.error('record --out DIRECTORY SEED...')
  process.exit(2)
}
mkdirSync(out, { recursive: true })
for (const seed of seeds) writeFileSync(join(out, `${seed}.txt`), await record(seed))
