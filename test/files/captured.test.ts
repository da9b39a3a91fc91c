import { chmodSync, lstatSync, mkdirSync, readFileSync, readlinkSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import {
  capture,
  holdsSame,
  makeParents,
  missingParents,
  newFile,
  newLink,
  putCaptured,
  removeEmpty,
  replacementFault,
  textIn,
} from '../../src/files/captured.ts'

t.test('a file, a link and a missing path are restored', (t) => {
  const dir = t.testdir({ file: 'one\0two\n' })
  const [file, link, none] = ['file', 'link', 'none'].map((name) => join(dir, name)) as [string, string, string]
  chmodSync(file, 0o640)
  symlinkSync('../nowhere', link)
  const before = [file, link, none].map(capture)
  const mtimeMs = lstatSync(file).mtimeMs
  for (const path of [file, link, none]) {
    putCaptured(path, newFile('ours\n'))
    t.equal(readFileSync(path, 'utf8'), 'ours\n')
  }
  for (const [i, path] of [file, link, none].entries()) putCaptured(path, before[i] ?? newFile(''))
  t.equal(readFileSync(file, 'latin1'), 'one\0two\n')
  t.equal(lstatSync(file).mode & 0o7777, 0o640)
  t.ok(Math.abs(lstatSync(file).mtimeMs - mtimeMs) < 1, 'its time too')
  t.equal(readlinkSync(link), '../nowhere')
  t.strictSame(capture(none), { kind: 'absent' })
  putCaptured(none, { kind: 'absent' })
  t.equal(textIn(capture(file)), 'one\0two\n')
  t.end()
})

t.test('content is compared, but not owner and time', (t) => {
  t.ok(holdsSame(newFile('a'), { ...newFile('a', 0o600), mtimeMs: 1 }))
  t.notOk(holdsSame(newFile('a'), newFile('b')))
  t.notOk(holdsSame(newFile('a'), newLink('a')))
  t.ok(holdsSame(newLink('a'), newLink('a')))
  t.notOk(holdsSame({ kind: 'absent' }, newFile('')))
  t.end()
})

t.test('missing directories are made, and removed when they are empty', (t) => {
  const dir = t.testdir({ here: {} })
  const path = join(dir, 'here/a/b/file')
  const missing = missingParents(path)
  t.strictSame(missing, [join(dir, 'here/a'), join(dir, 'here/a/b')])
  makeParents(path)
  t.strictSame(missingParents(path), [])
  writeFileSync(join(dir, 'here/a/other'), '')
  for (const directory of missing.toReversed()) removeEmpty(directory)
  t.strictSame(missingParents(path), [join(dir, 'here/a/b')], 'one that holds something stays')
  t.end()
})

t.test('objects that cannot be restored are refused, and replaceability is tested without a change', (t) => {
  const dir = t.testdir({ file: 'x', large: Buffer.alloc((1 << 20) + 1).toString() })
  mkdirSync(join(dir, 'directory'))
  t.throws(() => capture(join(dir, 'directory')), { code: 'state' })
  t.throws(() => capture(join(dir, 'large')), { code: 'state', message: /larger than/ })
  t.equal(replacementFault(join(dir, 'file')), undefined)
  t.equal(replacementFault(join(dir, 'none')), undefined)
  t.equal(replacementFault(join(dir, 'none/deeper')), undefined)
  t.ok(replacementFault('/proc/self/status'), 'where nothing can be made')
  t.end()
})
