import { mkdirSync, renameSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { systemClock } from '../../src/clock.ts'
import { watchFiles } from '../../src/system/file-watch.ts'

const QUIET_MS = 900

/** Counts changes of `paths`, and waits until there are `n`, or none for a while. */
function watching(t: Test, paths: readonly string[]) {
  let changes = 0
  const watch = watchFiles({
    clock: systemClock(),
    changed: () => {
      changes++
    },
  })
  watch.files(paths)
  t.teardown(() => watch.stop())
  return async (n: number) => {
    const until = performance.now() + 8000
    while (changes < n && performance.now() < until) await pause(20)
    await pause(n === 0 ? QUIET_MS : 100)
    const seen = changes
    changes = 0
    return seen
  }
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

t.test('written in place, several times at once: one change', async (t) => {
  const dir = t.testdir({ c: 'a' })
  const changes = watching(t, [join(dir, 'c')])
  for (const text of ['b', 'bc', 'bcd']) writeFileSync(join(dir, 'c'), text)
  t.equal(await changes(1), 1)
})

t.test('replaced by a rename, as editors do, repeatedly', async (t) => {
  const dir = t.testdir({ c: 'a' })
  const changes = watching(t, [join(dir, 'c')])
  for (const text of ['b', 'd']) {
    writeFileSync(join(dir, '.c.swp'), text)
    renameSync(join(dir, '.c.swp'), join(dir, 'c'))
    t.equal(await changes(1), 1, text)
  }
})

t.test('deleted, then made again', async (t) => {
  const dir = t.testdir({ c: 'a' })
  const changes = watching(t, [join(dir, 'c')])
  rmSync(join(dir, 'c'))
  t.equal(await changes(1), 1)
  writeFileSync(join(dir, 'c'), 'a')
  t.equal(await changes(1), 1)
})

t.test('a changed link: to another file, or to another directory on the path', async (t) => {
  const dir = t.testdir({ one: { c: '1' }, two: { c: '2' } })
  symlinkSync('one', join(dir, 'data'))
  symlinkSync(join('data', 'c'), join(dir, 'c'))
  const changes = watching(t, [join(dir, 'c')])
  symlinkSync('two', join(dir, 'data.new'))
  renameSync(join(dir, 'data.new'), join(dir, 'data'))
  t.equal(await changes(1), 1, 'the directory')
  writeFileSync(join(dir, 'two', 'c'), '3')
  t.equal(await changes(1), 1, 'the file behind the link, in its new place')
})

t.test('a touch, another file in the directory, a save without a change: no change', async (t) => {
  const dir = t.testdir({ c: 'a' })
  const changes = watching(t, [join(dir, 'c')])
  utimesSync(join(dir, 'c'), new Date(), new Date())
  writeFileSync(join(dir, 'other'), 'x')
  writeFileSync(join(dir, 'c'), 'a')
  mkdirSync(join(dir, 'sub'))
  t.equal(await changes(0), 0)
})

t.test('after stop nothing is reported', async (t) => {
  const dir = t.testdir({ c: 'a' })
  let changes = 0
  const watch = watchFiles({
    clock: systemClock(),
    changed: () => {
      changes++
    },
  })
  watch.files([join(dir, 'c')])
  watch.stop()
  writeFileSync(join(dir, 'c'), 'b')
  await pause(QUIET_MS)
  t.equal(changes, 0)
})

t.test('saved between the read and the watch: this is a change, too', async (t) => {
  const dir = t.testdir({ c: 'a', d: 'a' })
  let changes = 0
  const watch = watchFiles({ clock: systemClock(), changed: () => void changes++ })
  t.teardown(() => watch.stop())
  await pause(30)
  const readAtMs = Date.now()
  watch.files([join(dir, 'c'), join(dir, 'd')], readAtMs)
  await pause(QUIET_MS)
  t.equal(changes, 0, 'nothing happened since')
  await pause(30)
  writeFileSync(join(dir, 'd'), 'b')
  watch.files([join(dir, 'c'), join(dir, 'd')], readAtMs)
  await pause(QUIET_MS)
  t.equal(changes, 1)
  await pause(QUIET_MS)
  t.equal(changes, 1, 'once')
})
