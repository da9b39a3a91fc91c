import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { type Incoming, KeptCopies } from '../../src/fetcher/kept-copies.ts'

const URL_ = 'https://lists.test/a.txt'
const known = (url = URL_) => ({ url, etag: '"1"', checkedAtMs: 5 })
async function write(incoming: Incoming, text: string): Promise<Incoming> {
  await incoming.write(Buffer.from(text))
  await incoming.end()
  return incoming
}

t.test('a copy is kept with what is known about it, and only for its own address', async (t) => {
  const dir = join(t.testdir(), 'lists')
  const copies = new KeptCopies(dir)
  t.equal(copies.about('a', URL_), undefined)
  t.notOk(existsSync(dir), 'nothing is made before it is needed')
  const path = await (await write(await copies.begin('a'), 'first')).keep(known())
  const about = copies.about('a', URL_)
  t.match(about, { sha256: createHash('sha256').update('first').digest('hex'), octets: 5, etag: '"1"' })
  t.equal(readFileSync(path, 'utf8'), 'first')
  t.equal(about && copies.path('a', about), path)
  t.equal(copies.about('a', 'https://lists.test/b.txt'), undefined)
  t.equal(statSync(dir).mode & 0o777, 0o700)
  t.equal(statSync(path).mode & 0o777, 0o600)
  if (about !== undefined) copies.unchanged('a', about, 9)
  t.equal(copies.about('a', URL_)?.checkedAtMs, 9)
})

t.test('until a new copy is kept the old one stays; then the old one goes', async (t) => {
  const dir = t.testdir()
  const copies = new KeptCopies(join(dir, 'lists'))
  const first = await (await write(await copies.begin('a'), 'first')).keep(known())
  const dropped = await write(await copies.begin('a'), 'damaged')
  await dropped.drop()
  t.equal(readFileSync(first, 'utf8'), 'first')
  const second = await (await write(await copies.begin('a'), 'second')).keep(known())
  t.notOk(existsSync(first))
  t.equal(readFileSync(second, 'utf8'), 'second')
  t.equal(readdirSync(join(dir, 'lists')).length, 2, 'the copy and its document')
})

t.test('copies of sources that are gone, and what a killed process left, are removed', async (t) => {
  const dir = join(t.testdir(), 'lists')
  const copies = new KeptCopies(dir)
  for (const id of ['a', 'b']) await (await write(await copies.begin(id), id)).keep(known())
  writeFileSync(join(dir, 'a.new.99.tmp'), 'half')
  writeFileSync(join(dir, 'notes.txt'), 'of somebody else')
  copies.keepOnly(new Set(['a']))
  t.match(readdirSync(dir).toSorted().join(' '), /^a\.[0-9a-f]{16}\.copy a\.json notes\.txt$/)
  writeFileSync(join(dir, 'a.json'), '{}')
  t.equal(copies.about('a', URL_), undefined, 'a damaged document is none')
})
