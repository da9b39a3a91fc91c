import { readdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import t from 'tap'
import { jsonSchemas } from '../../src/config/json-schema.ts'
import { shippedResolversFile } from '../../src/config/paths.ts'

const root = dirname(shippedResolversFile() ?? '')

for (const [name, schema] of Object.entries(jsonSchemas())) {
  t.test(`schema/${name} matches the code (UPDATE_SCHEMA=1 rewrites it)`, async (t) => {
    const file = join(root, 'schema', name)
    const text = `${JSON.stringify(schema, null, 2)}\n`
    if (process.env.UPDATE_SCHEMA === '1') await writeFile(file, text)
    t.equal(await readFile(file, 'utf8'), text)
  })
}

t.test('the schemas close every object, so that an editor marks a misspelt key', async (t) => {
  const open: string[] = []
  let objects = 0
  const walk = (node: unknown, path: string): void => {
    if (typeof node !== 'object' || node === null) return
    if ('properties' in node) {
      objects++
      if (!('additionalProperties' in node) || node.additionalProperties !== false) open.push(path)
    }
    for (const [key, child] of Object.entries(node)) walk(child, `${path}/${key}`)
  }
  walk(jsonSchemas(), '')
  t.strictSame(open, [])
  t.ok(objects >= 10)
})

t.test('nothing but this test loads the converter: it is a development dependency', async (t) => {
  const sources = (await readdir(join(root, 'src'), { recursive: true })).filter((path) => path.endsWith('.ts'))
  const importers: string[] = []
  for (const path of sources) {
    const text = await readFile(join(root, 'src', path), 'utf8')
    if (/from '[^']*json-schema(\.ts)?'/.test(text)) importers.push(path)
  }
  t.strictSame(importers, [join('config', 'json-schema.ts')])
})
