// `npm run bench`, `npm run bench:micro`, `npm run bench:observer`: makes a clone runnable,
// compiles bench/ into build-bench/ and runs the program named first there, in this very process.
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { ensureBuilt, ensureInstalled, root, tsc } from '../src/setup.mjs'

const [program = 'main'] = process.argv.splice(2, 1)
try {
  await ensureInstalled()
  await ensureBuilt()
  if (tsc('-p', 'tsconfig.bench.json') !== 0) throw new Error('bench/ does not compile')
} catch (error) {
  console.error(`bench: ${error.message}`)
  process.exit(1)
}
process.argv[1] = join(root, 'build-bench', 'bench', `${program}.js`)
await import(pathToFileURL(process.argv[1]).href)
