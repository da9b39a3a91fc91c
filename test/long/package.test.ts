// The packages as a release has them, which takes a minute of work: two builds with xz are the same,
// octet for octet, and lintian has nothing to say about them.
import { execFile } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { PROJECT_ROOT } from '../support/readme.ts'
import { requireTool } from '../support/real/tools.ts'

const run = promisify(execFile)

t.setTimeout(600_000)

t.test('two builds with xz are the same, octet for octet, whenever and by whomever they are made', { timeout: 500_000 }, async (t) => {
  if (!requireTool(t, 'dpkg-deb', 'lintian')) return
  const dir = mkdtempSync(join(tmpdir(), 'enigm-dns-xz-'))
  t.teardown(() => rmSync(dir, { recursive: true, force: true }))
  const build = (name: string, environment: NodeJS.ProcessEnv, umask: string) =>
    run('sh', ['-c', `umask ${umask}; exec "$0" packaging/main.mjs --to "$1"`, process.execPath, join(dir, name)], {
      cwd: PROJECT_ROOT,
      env: { ...process.env, ...environment },
    })
  await Promise.all([build('one', {}, '022'), build('two', { TZ: 'Asia/Tokyo', LC_ALL: 'C' }, '077')])
  const names = readdirSync(join(dir, 'one')).sort()
  t.equal(names.length, 2, names.join())
  t.strictSame(readdirSync(join(dir, 'two')).sort(), names)
  for (const name of names) t.ok(readFileSync(join(dir, 'one', name)).equals(readFileSync(join(dir, 'two', name))), name)
  const deb = names.find((name) => name.endsWith('.deb')) ?? ''
  const { stdout } = await run('lintian', ['--fail-on', 'none', '--allow-root', join(dir, 'one', deb)])
  t.strictSame(
    stdout.split('\n').filter((line) => /^[EW]: /.test(line)),
    [],
    'lintian has no error and no warning',
  )
})
