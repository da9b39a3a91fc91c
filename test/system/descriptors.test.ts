import { spawnSync } from 'node:child_process'
import t from 'tap'
import { descriptors, softLimit } from '../../src/system/process-identity.ts'

t.test('the limit of a process that was given one', { skip: process.platform !== 'linux' }, (t) => {
  const module = new URL('../../src/system/process-identity.js', import.meta.url).href
  const script = `import { descriptors } from ${JSON.stringify(module)}; console.log(JSON.stringify(descriptors()))`
  const run = spawnSync('sh', ['-c', 'ulimit -n 99; exec "$0" --input-type=module -e "$1"', process.execPath, script], { encoding: 'utf8' })
  const found = JSON.parse(run.stdout) as { limit: number; open: number }
  t.equal(found.limit, 99)
  t.ok(found.open > 5 && found.open < 60, `${found.open} open`)
  t.end()
})
t.test('parsing of the limits text', async (t) => {
  const line = (soft: string) =>
    `Limit  Soft Limit  Hard Limit  Units\nMax open files            ${soft}                 4096                 files     \n`
  t.equal(softLimit(line('1024')), 1024)
  t.equal(softLimit(line('unlimited')), Number.MAX_SAFE_INTEGER)
  t.equal(softLimit('nothing of the kind'), undefined)
  if (process.platform === 'linux') t.ok((descriptors()?.limit ?? 0) > 0)
})
