import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { toJsonSchema } from '@valibot/to-json-schema'
import t from 'tap'
import { statusDocument } from '../../src/posture/document.ts'
import { REASONS } from '../../src/posture/reasons.ts'

interface Node {
  readonly description?: string
  readonly properties?: Readonly<Record<string, Node>>
  readonly items?: Node
  readonly anyOf?: readonly Node[]
  readonly enum?: readonly string[]
  readonly 'x-share'?: string
}

let root: string = import.meta.dirname
while (!existsSync(join(root, 'package.json'))) root = dirname(root)
const file = join(root, 'docs', 'status.md')
const schema = toJsonSchema(statusDocument, { errorMode: 'ignore' }) as Node

/**
 * One row a field, in the order of the document. The five signals are alike: their inside is told
 * once.
 */
function fields(node: Node, path: string): readonly string[] {
  const inner = node.anyOf?.find((n) => n.properties !== undefined) ?? node
  const items = inner.items
  if (items?.properties !== undefined) return fields(items, `${path}[]`)
  return Object.entries(inner.properties ?? {}).flatMap(([name, field]) => {
    const at = path === '' ? name : `${path}.${name}`
    const alike = path === 'signals' && name !== 'secureNameResolution'
    const words = field.enum ?? field.anyOf?.find((n) => n.enum !== undefined)?.enum
    const values = words === undefined ? '' : `${words.map((word) => `\`${word}\``).join(' ')}. `
    const row = `| \`${at}\` | ${values}${field.description ?? ''} | ${field['x-share'] === undefined ? '' : field['x-share']} |`
    return [row, ...(alike ? [] : fields(field, at))]
  })
}

function spliced(text: string, mark: string, body: string): string {
  const [begin, end] = [`<!-- ${mark}: written by test/posture/docs.test.ts -->`, `<!-- /${mark} -->`]
  const [from, to] = [text.indexOf(begin), text.indexOf(end)]
  if (from < 0 || to < 0) throw new Error(`docs/status.md has no place for ${mark}`)
  return `${text.slice(0, from)}${begin}\n${body}\n${text.slice(to)}`
}

t.test('docs/status.md has every field and every reason (UPDATE_DOCS=1 rewrites it)', (t) => {
  const rows = ['| field | what it says | redacted |', '| --- | --- | --- |', ...fields(schema, '')]
  const reasons = ['| code | meaning |', '| --- | --- |', ...Object.entries(REASONS).map(([code, { doc }]) => `| \`${code}\` | ${doc} |`)]
  const text = readFileSync(file, 'utf8')
  const wanted = spliced(spliced(text, 'fields', rows.join('\n')), 'reasons', reasons.join('\n'))
  if (process.env.UPDATE_DOCS === '1') writeFileSync(file, wanted)
  t.equal(readFileSync(file, 'utf8'), wanted)
  t.ok(rows.length > 60, `${rows.length} rows`)
  t.end()
})
