import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { newFile } from '../../../src/files/captured.ts'
import { changeFaults, drifted, hashOf, type Journal, makeChanges, recorded, undoChanges } from '../../../src/system/takeover/journal.ts'

function journalIn(t: Test): { readonly dir: string; readonly journal: Journal; readonly at: (name: string) => string } {
  const dir = t.testdir({ old: 'as it was\n', shared: 'of the owner\n' })
  const at = (name: string) => join(dir, name)
  const planned = [
    { path: at('new/deeper/file'), ours: newFile('ours 1\n') },
    { path: at('old'), ours: newFile('ours 2\n') },
    { path: at('shared'), ours: newFile('ours 3\n'), shared: true as const },
  ]
  const base = { version: 1, id: '1', switched: true, backend: 'file', owner: 'x', address: '127.0.0.55', vpnDns: 'leave' } as const
  return { dir, at, journal: { ...base, parts: [], ...recorded(planned), units: [], startedAt: '' } }
}
const quiet = () => {}

t.test('changes are made, found drifted, made again and undone, each any number of times', (t) => {
  const { journal, at } = journalIn(t)
  t.equal(makeChanges(journal, quiet).length, 3)
  t.equal(makeChanges(journal, quiet).length, 0, 'what holds is left')
  t.strictSame(drifted(journal), [])
  writeFileSync(at('old'), 'of somebody else\n')
  t.strictSame(
    drifted(journal).map(({ path }) => path),
    [at('old')],
  )
  makeChanges(journal, quiet)
  for (const time of ['once', 'twice']) {
    t.strictSame(undoChanges(journal, quiet), [], time)
    t.equal(readFileSync(at('old'), 'utf8'), 'as it was\n')
    t.equal(readFileSync(at('shared'), 'utf8'), 'of the owner\n')
    t.notOk(existsSync(at('new')), 'directories that were made are gone')
  }
  t.end()
})

t.test('killed after any number of steps, an undo ends the same', (t) => {
  for (let steps = 0; steps < 3; steps++) {
    const { journal, at } = journalIn(t)
    let left = steps
    const die = () => {
      if (left-- === 0) throw new Error('killed')
    }
    t.throws(() => makeChanges(journal, die), /killed/)
    left = 1
    t.doesNotThrow(() => {
      try {
        undoChanges(journal, die)
      } catch {}
    })
    t.strictSame(undoChanges(journal, quiet), [])
    t.equal(readFileSync(at('old'), 'utf8'), 'as it was\n')
    t.notOk(existsSync(at('new')))
  }
  t.end()
})

t.test('what somebody else changed is left, and named; a directory that holds more stays', (t) => {
  const { journal, at } = journalIn(t)
  makeChanges(journal, quiet)
  writeFileSync(at('old'), 'of somebody else\n')
  writeFileSync(at('new/other'), '')
  t.strictSame(undoChanges(journal, quiet), [at('old')])
  t.equal(readFileSync(at('old'), 'utf8'), 'of somebody else\n')
  t.ok(existsSync(at('new/other')))
  t.notOk(existsSync(at('new/deeper')))
  t.end()
})

t.test("a shared file gets its owner's latest word", (t) => {
  const { journal, at } = journalIn(t)
  makeChanges(journal, quiet)
  undoChanges(journal, quiet, () => newFile('newer\n'))
  t.equal(readFileSync(at('shared'), 'utf8'), 'newer\n')
  t.equal(readFileSync(at('old'), 'utf8'), 'as it was\n')
  t.end()
})

t.test('hashes are of the content; a path that cannot be replaced is a sentence', (t) => {
  t.equal(hashOf(newFile('')), 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855')
  t.not(hashOf(newFile('a')), hashOf(newFile('b')))
  const dir = t.testdir({})
  mkdirSync(join(dir, 'there'))
  t.strictSame(changeFaults([{ path: join(dir, 'there/new') }]), [])
  const unwritable = { path: '/proc/self/none' }
  t.equal(changeFaults([unwritable, unwritable]).length, 1, 'a path that two name has one sentence')
  t.match(changeFaults([unwritable]), [/cannot be replaced/])
  t.end()
})
