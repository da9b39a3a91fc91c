// `npm run fuzz -- TARGET`: compiles the tests and explores one target. Without TARGET it says
// which there are.
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { ensureInstalled, root, tsc } from '../../src/setup.mjs'

await ensureInstalled()
if (tsc('-p', 'tsconfig.test.json') !== 0) process.exit(2)
const { status } = spawnSync(process.execPath, ['--enable-source-maps', join(root, 'build/test/fuzz/main.js'), ...process.argv.slice(2)], {
  stdio: 'inherit',
})
process.exit(status ?? 2)
