import { spawn, spawnSync } from 'node:child_process'
import * as fs from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { FileCalls } from '../../src/files/writing.ts'
import { atomicFile } from '../../src/posture/status-file.ts'
import { FakeClock } from '../support/fake-clock.ts'

/** A file system on which one call fails while `fault` is set. */
function faulty(call: keyof FileCalls, code: string) {
  const calls = { count: 0 }
  const state = { fault: true }
  const real: FileCalls = fs
  const failing = {
    ...real,
    [call]: (...args: never[]) => {
      calls.count++
      if (state.fault) throw Object.assign(new Error(code), { code })
      return Reflect.apply(real[call], real, args)
    },
  }
  return { fs: failing, calls, state }
}

t.test('makes the directory and a complete file of mode 0640, and leaves nothing else', (t) => {
  const dir = t.testdir({})
  const path = join(dir, 'made', 'status.json')
  const umask = process.umask(0o077)
  t.teardown(() => process.umask(umask))
  const file = atomicFile({ path, pid: 7, clock: new FakeClock(), warn: t.fail })
  t.ok(file.replace('one'))
  t.ok(file.replace('two'))
  t.equal(fs.readFileSync(path, 'utf8'), 'two')
  t.equal(fs.statSync(path).mode & 0o777, 0o640)
  t.equal(fs.statSync(join(dir, 'made')).mode & 0o777, 0o755, 'everybody may look in, whatever the umask')
  t.same(fs.readdirSync(join(dir, 'made')), ['status.json'])
  t.end()
})

t.test('companions of an earlier run that this run does not write are removed: they belong to another document', async (t) => {
  const dir = t.testdir({ 's.json': 'old', 's.json.sig': 'old', 's.json.pub': 'old', 'other.sig': 'kept' })
  const file = atomicFile({ path: join(dir, 's.json'), pid: 7, clock: new FakeClock(), warn: t.fail, without: ['.sig', '.pub'] })
  t.ok(file.replace('one'))
  t.same(fs.readdirSync(dir).sort(), ['other.sig', 's.json'])
})

for (const [call, code] of [
  ['mkdirSync', 'EROFS'],
  ['openSync', 'EROFS'],
  ['openSync', 'ENOENT'],
  ['writeSync', 'ENOSPC'],
  ['renameSync', 'EACCES'],
] as const) {
  t.test(`${call} fails with ${code}: the old file stays, one line a minute, recovery`, async (t) => {
    const path = join(t.testdir({ 'status.json': 'old' }), 'status.json')
    const clock = new FakeClock()
    const lines: string[] = []
    const f = faulty(call, code)
    const file = atomicFile({ path, pid: 7, clock, warn: (m) => lines.push(m), fs: f.fs as FileCalls })
    for (let s = 0; s < 120; s += 10) {
      t.notOk(file.replace('new'))
      await clock.advance(10_000)
    }
    t.equal(lines.length, 2)
    t.match(lines[0], code)
    t.equal(fs.readFileSync(path, 'utf8'), 'old')
    t.same(fs.readdirSync(join(path, '..')), ['status.json'], 'no temporary file stays')
    f.state.fault = false
    t.ok(file.replace('new'))
    t.equal(fs.readFileSync(path, 'utf8'), 'new')
  })
}

t.test('a directory that vanished is made again', (t) => {
  const dir = join(t.testdir({}), 'gone')
  const file = atomicFile({ path: join(dir, 's.json'), pid: 7, clock: new FakeClock(), warn: t.fail })
  t.ok(file.replace('one'))
  fs.rmSync(dir, { recursive: true })
  t.ok(file.replace('two'))
  t.equal(fs.readFileSync(join(dir, 's.json'), 'utf8'), 'two')
  t.end()
})

t.test('directories above are made too; under /proc that is impossible, and is reported at once', { timeout: 5000 }, (t) => {
  const dir = t.testdir({})
  t.ok(atomicFile({ path: join(dir, 'a', 'b', 'c', 's.json'), pid: 7, clock: new FakeClock(), warn: t.fail }).replace('one'))
  const lines: string[] = []
  for (const path of ['/proc/enigm-dns/status.json', '/proc/a/b/status.json', '/dev/null/status.json'])
    t.notOk(atomicFile({ path, pid: 7, clock: new FakeClock(), warn: (m) => lines.push(m) }).replace('x'))
  t.equal(lines.length, 3)
  t.end()
})

t.test('a link at the path of the temporary file is not followed', (t) => {
  const dir = t.testdir({ victim: 'precious' })
  fs.symlinkSync(join(dir, 'victim'), join(dir, 's.json.7.tmp'))
  t.ok(atomicFile({ path: join(dir, 's.json'), pid: 7, clock: new FakeClock(), warn: t.fail }).replace('x'))
  t.equal(fs.readFileSync(join(dir, 'victim'), 'utf8'), 'precious')
  t.notOk(fs.lstatSync(join(dir, 's.json')).isSymbolicLink())
  t.end()
})

t.test('files of killed writers are removed; others stay', (t) => {
  const dir = t.testdir({ 's.json.11.tmp': 'half', 's.json.x.tmp': 'mine', 'other.json.11.tmp': 'mine' })
  t.ok(atomicFile({ path: join(dir, 's.json'), pid: 7, clock: new FakeClock(), warn: t.fail }).replace('x'))
  t.same(fs.readdirSync(dir).sort(), ['other.json.11.tmp', 's.json', 's.json.x.tmp'])
  t.end()
})

const mountable = spawnSync('unshare', ['-m', 'true']).status === 0
t.test('a device that is really full', { skip: mountable ? false : 'needs the right to mount' }, (t) => {
  const dir = t.testdir({})
  const module = new URL('../../src/posture/status-file.js', import.meta.url).href
  const script = `
    import { atomicFile } from ${JSON.stringify(module)}
    import { readFileSync, writeFileSync, rmSync } from 'node:fs'
    const dir = ${JSON.stringify(dir)}
    const lines = []
    const clock = { nowMs: () => 0, wallMs: () => 0, setTimer() {} }
    const file = atomicFile({ path: dir + '/s.json', pid: 7, clock, warn: (m) => lines.push(m) })
    const first = file.replace('old')
    try { writeFileSync(dir + '/fill', Buffer.alloc(1 << 20)) } catch {}
    const full = file.replace('n'.repeat(20000))
    const kept = readFileSync(dir + '/s.json', 'utf8')
    rmSync(dir + '/fill')
    console.log(JSON.stringify({ first, full, kept, lines, again: file.replace('new'), now: readFileSync(dir + '/s.json', 'utf8') }))`
  const run = spawnSync(
    'unshare',
    ['-m', 'sh', '-c', `mount -t tmpfs -o size=64k none "$0" && exec "$1" --input-type=module -e "$2"`, dir, process.execPath, script],
    { encoding: 'utf8' },
  )
  t.equal(run.status, 0, run.stderr)
  const said = JSON.parse(run.stdout)
  t.match(said, { first: true, full: false, kept: 'old', again: true, now: 'new' })
  t.match(said.lines, [/ENOSPC/])
  t.end()
})

t.test('killed at any moment, the file is complete', async (t) => {
  const dir = t.testdir({})
  const path = join(dir, 's.json')
  const module = new URL('../../src/posture/status-file.js', import.meta.url).href
  const script = `
    import { atomicFile } from ${JSON.stringify(module)}
    const file = atomicFile({ path: ${JSON.stringify(path)}, pid: process.pid, clock: { nowMs: () => 0 }, warn() {} })
    const body = 'x'.repeat(60000)
    file.replace(JSON.stringify({ body, end: true }))
    process.stdout.write('go')
    for (;;) file.replace(JSON.stringify({ body, end: true }))`
  for (let i = 0; i < 12; i++) {
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
    await new Promise((resolve) => child.stdout.once('data', resolve))
    await new Promise((resolve) => setTimeout(resolve, 1 + i * 3))
    child.kill('SIGKILL')
    await new Promise((resolve) => child.once('exit', resolve))
    t.match(JSON.parse(fs.readFileSync(path, 'utf8')), { end: true })
  }
})
