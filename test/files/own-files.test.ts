import { execFileSync } from 'node:child_process'
import * as fs from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { anyOwner, openChecked, ownFile, readSmall, readUnlinked, secretFile, textOf } from '../../src/files/reading.ts'
import { owners, walk, writingFaults } from '../../src/files/trust.ts'
import {
  closeDirectory,
  makeDirectory,
  makeOnce,
  openToAppend,
  replaceFile,
  systemCalls,
  temporaryOf,
  writeNew,
} from '../../src/files/writing.ts'

const posix = process.getuid !== undefined
const isRoot = process.getuid?.() === 0
const MAX = 100

t.test('only a regular file of ours with one name that nobody else could write is read', { skip: !posix }, async (t) => {
  const dir = t.testdir({ f: 'text', directory: {}, large: 'x'.repeat(MAX + 1) })
  const at = (name: string) => join(dir, name)
  fs.chmodSync(at('f'), 0o644)
  t.strictSame(readUnlinked(at('f'), MAX, ownFile), Buffer.from('text'))
  t.equal(readUnlinked(at('f'), MAX, secretFile), 'may be read by others')
  t.equal(readUnlinked(at('none'), MAX, ownFile), undefined)
  t.equal(readUnlinked(join(at('f'), 'below'), MAX, ownFile), undefined)
  t.match(readUnlinked(at('directory'), MAX, anyOwner), 'is a directory, not a regular file')
  t.match(readUnlinked(at('large'), MAX, anyOwner), 'is larger than')
  execFileSync('mkfifo', [at('fifo')])
  t.match(readUnlinked(at('fifo'), MAX, anyOwner), 'is not a regular file', 'a FIFO is not waited for')
  t.match(await openChecked(at('fifo'), MAX, anyOwner), 'is not a regular file')
  t.equal(textOf(at('fifo')), '', 'nor where the system keeps its files')
  fs.symlinkSync('f', at('link'))
  t.match(readUnlinked(at('link'), MAX, ownFile), 'is a link')
  t.strictSame(readSmall(at('link'), MAX, anyOwner), Buffer.from('text'))
  for (const mode of [0o620, 0o602]) {
    fs.chmodSync(at('f'), mode)
    t.equal(readUnlinked(at('f'), MAX, ownFile), 'may be written by others')
  }
  fs.chmodSync(at('f'), 0o600)
  fs.linkSync(at('f'), at('second'))
  t.match(readUnlinked(at('f'), MAX, ownFile), 'more than one name')
  fs.rmSync(at('second'))
  if (!isRoot) return
  fs.chownSync(at('f'), 12_345, 12_345)
  t.equal(readUnlinked(at('f'), MAX, ownFile), 'belongs to user 12345, not to us')
})

t.test('a write does not follow existing links', { skip: !posix }, (t) => {
  const dir = t.testdir({ victim: 'precious', kept: 'old' })
  const at = (name: string) => join(dir, name)
  for (const name of ['made', 'kept', 'once']) fs.symlinkSync('victim', temporaryOf(at(name)))
  replaceFile(at('made'), 'new', 0o640)
  replaceFile(at('kept'), 'new', 0o600)
  makeOnce(at('once'), () => 'new')
  makeOnce(at('once'), () => 'newer')
  for (const name of ['made', 'kept', 'once']) t.equal(fs.readFileSync(at(name), 'utf8'), 'new')
  t.equal(fs.statSync(at('made')).mode & 0o777, 0o640)
  fs.symlinkSync('nowhere', at('dangling'))
  makeOnce(at('dangling'), () => 'new')
  t.notOk(fs.existsSync(at('nowhere')), 'nor does it make what a link names')
  fs.symlinkSync('victim', at('log'))
  t.throws(() => openToAppend(at('log')), { code: 'ELOOP' })
  t.throws(() => writeNew(at('log'), 'x', 0o600), { code: 'EEXIST' })
  execFileSync('mkfifo', [at('fifo')])
  t.throws(() => openToAppend(at('fifo')), { code: 'ENXIO' }, 'nobody reads the FIFO')
  t.equal(fs.readFileSync(at('victim'), 'utf8'), 'precious')
  t.same(
    fs.readdirSync(dir).filter((name) => name.endsWith('.tmp')),
    [],
  )
  fs.mkdirSync(at('open'))
  fs.symlinkSync('open', at('way'))
  t.throws(() => closeDirectory(at('way')), /ELOOP|ENOTDIR/)
  makeDirectory(join(at('a'), 'b'), 0o750)
  t.equal(fs.statSync(at('a')).mode & 0o777, 0o750)
  t.end()
})

t.test('a directory for writing: nobody else writes it or one above it', { skip: !posix }, (t) => {
  const dir = t.testdir({ in: { it: {} } })
  const at = join(dir, 'in', 'it')
  t.strictSame(writingFaults(at, owners()), [])
  t.strictSame(writingFaults(join(at, 'made', 'later'), owners()), [])
  for (const mode of [0o775, 0o757]) {
    fs.chmodSync(at, mode)
    t.match(writingFaults(at, owners()), [`${at} can be written by others; run: chmod go-w ${at}`])
  }
  fs.chmodSync(at, 0o1777)
  t.match(writingFaults(at, owners()), [/can be written by others; name a directory below it/])
  t.strictSame(writingFaults(join(at, 'below'), owners()), [], 'below a sticky one')
  fs.chmodSync(at, 0o755)
  fs.chmodSync(join(dir, 'in'), 0o777)
  t.match(writingFaults(at, owners()), [`${at} lies below ${join(dir, 'in')}, which others can write; run: chmod go-w ${join(dir, 'in')}`])
  fs.chmodSync(join(dir, 'in'), 0o755)
  fs.writeFileSync(join(dir, 'file'), '')
  t.match(writingFaults(join(dir, 'file'), owners()), [/is not a directory/])
  if (isRoot) {
    fs.chownSync(at, 12_345, 12_345)
    t.match(writingFaults(at, owners()), [`${at} belongs to user 12345, not to us; run: chown root ${at}`])
    t.strictSame(writingFaults(at, owners(12_345)), [], 'but to one that is named')
  }
  t.end()
})

t.test('a path is followed as the system does', { skip: !posix }, (t) => {
  const dir = fs.realpathSync(t.testdir({ a: { b: { f: '' } }, c: {} }))
  fs.symlinkSync('../a/b', join(dir, 'c', 'way'))
  fs.symlinkSync(join(dir, 'c', 'way'), join(dir, 'far'))
  t.equal(walk(join(dir, 'far', 'f'), owners()).real, join(dir, 'a', 'b', 'f'))
  fs.symlinkSync('a/b/../x', join(dir, 'up'))
  t.match(walk(join(dir, 'up'), owners()), { real: join(dir, 'a', 'x'), stats: undefined })
  t.equal(walk('/', owners()).real, '/')
  fs.symlinkSync('round', join(dir, 'round'))
  t.throws(() => walk(join(dir, 'round'), owners()), { code: 'ELOOP' })
  t.end()
})

t.test('a file that cannot be filled does not stay', (t) => {
  const dir = t.testdir()
  const full = () => {
    throw Object.assign(new Error('full'), { code: 'ENOSPC' })
  }
  t.throws(() => writeNew(join(dir, 'new'), 'text', 0o600, false, { ...systemCalls, writeSync: full }), { code: 'ENOSPC' })
  t.strictSame(fs.readdirSync(dir), [])
  t.end()
})
