// The documents as `npm run package` puts them into its packages: no link leads nowhere there.
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import t from 'tap'
import { deadLinks, PROJECT_ROOT } from './support/readme.ts'

type PlaceOf = (path: string) => string | undefined

const load = async (name: string): Promise<unknown> => import(pathToFileURL(join(PROJECT_ROOT, 'packaging', name)).href)
const { packagedDocument, documentsIn } = (await load('documents.mjs')) as {
  readonly packagedDocument: (path: string, text: string, placeOf: PlaceOf) => string
  readonly documentsIn: (folder: string) => readonly string[]
}
const { maintainerOf } = (await load('deb-tree.mjs')) as { readonly maintainerOf: (environment: object) => string }

t.test('a link goes where the file lies in the package, or becomes its words', (t) => {
  const placeOf: PlaceOf = (path) => (path === 'docs/b.md' ? 'beside' : path === 'data.json' ? '/usr/lib/x/data.json' : undefined)
  const said = (text: string) => packagedDocument('docs/a.md', text, placeOf)
  t.equal(said('[b](b.md) [c](b.md#part) [d](#here) [e](https://x.test/y)'), '[b](b.md) [c](b.md#part) [d](#here) [e](https://x.test/y)')
  t.equal(said('see [the data](../data.json#top).'), 'see [the data](/usr/lib/x/data.json#top).')
  t.equal(said('see [results](../bench/r.md#x), [src/y.ts](../src/y.ts "title").'), 'see results (`bench/r.md` in the source), src/y.ts (in the source).') // biome-ignore format: one line
  t.equal(said('![a [b] c](../bench/r.svg)'), 'a [b] c (`bench/r.svg` in the source)')
  t.equal(said('```md\n[x](../gone.md)\n```\n[x](../gone.md)'), '```md\n[x](../gone.md)\n```\nx (`gone.md` in the source)')
  t.end()
})

t.test('no link of a document leads nowhere in the .deb, nor in the .tgz', (t) => {
  const isData = (path: string) => /^(resolvers\.json|schema\/)/.test(path)
  const documents = documentsIn(PROJECT_ROOT)
  t.ok(documents.length > 20)
  for (const kind of ['deb', 'tgz'] as const) {
    const dir = join(t.testdir(), kind)
    const elsewhere: PlaceOf = (path) => (isData(path) ? (kind === 'deb' ? `/usr/lib/enigm-dns/${path}` : 'beside') : undefined)
    for (const path of documents) {
      mkdirSync(dirname(join(dir, path)), { recursive: true })
      if (!path.endsWith('.md')) cpSync(join(PROJECT_ROOT, path), join(dir, path))
      else {
        const text = readFileSync(join(PROJECT_ROOT, path), 'utf8')
        writeFileSync(
          join(dir, path),
          packagedDocument(path, text, (to) => (documents.includes(to) ? 'beside' : elsewhere(to))),
        )
      }
    }
    const data = kind === 'deb' ? join(dir, 'usr/lib/enigm-dns') : dir
    for (const name of ['resolvers.json', 'schema']) cpSync(join(PROJECT_ROOT, name), join(data, name), { recursive: true })
    t.strictSame(deadLinks(dir), [], kind)
  }
  t.end()
})

t.test('the maintainer is the person who builds it, or the author of the commit', (t) => {
  t.equal(maintainerOf({ DEBFULLNAME: 'Ada, "Countess"', DEBEMAIL: 'ada@example.org' }), 'Ada Countess <ada@example.org>')
  t.match(maintainerOf({}), /^[^<>@,"]+ <[^<>@ ]+@[^<>@ ]+>$/)
  t.equal(maintainerOf({ DEBFULLNAME: 'Ada' }), maintainerOf({}), 'one without the other names nobody')
  t.end()
})
