// docs/configuration.md, the excerpt in README.md and the table in docs/reload.md are written from
// src/config/settings.ts.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { jsonSchemas } from '../../src/config/json-schema.ts'
import { EFFECTS, type Effect } from '../../src/config/settings.ts'
import { PROJECT_ROOT } from '../support/readme.ts'

/** What is read here of a JSON Schema. */
interface Node {
  readonly type?: string
  readonly description?: string
  readonly default?: unknown
  readonly enum?: readonly unknown[]
  readonly const?: unknown
  readonly minimum?: number
  readonly maximum?: number
  readonly minItems?: number
  readonly maxItems?: number
  readonly maxLength?: number
  readonly items?: Node
  readonly anyOf?: readonly Node[]
  readonly oneOf?: readonly Node[]
  readonly required?: readonly string[]
  readonly properties?: Readonly<Record<string, Node>>
  readonly additionalProperties?: Node | boolean
}

const { 'config.schema.json': config, 'resolvers.schema.json': set } = jsonSchemas() as unknown as Readonly<
  Record<'config.schema.json' | 'resolvers.schema.json', Node>
>

const code = (value: unknown) => `\`${typeof value === 'string' ? value : JSON.stringify(value)}\``

/** The values of a key, in words. */
function values(node: Node): string {
  if (node.const !== undefined) return code(node.const)
  if (node.enum !== undefined) return node.enum.map(code).join(', ')
  if (node.anyOf !== undefined) return node.anyOf.map(values).join(', ')
  if (node.type === 'boolean') return '`true`, `false`'
  if (node.type === 'integer' && node.minimum !== undefined) return `${node.minimum} to ${node.maximum}`
  if (node.type === 'array')
    return `list${node.items === undefined ? '' : ` of ${node.items.type === 'object' ? 'objects' : values(node.items)}`}`
  return { integer: 'whole number', string: 'text', object: 'object' }[node.type ?? ''] ?? ''
}

interface Row {
  readonly path: string
  readonly node: Node
  readonly required: boolean
}

/**
 * Every key below `node` that holds a value, in the order of the schema; items of a list stand
 * under `path[]`.
 */
function rows(node: Node, path = ''): readonly Row[] {
  return Object.entries(node.properties ?? {}).flatMap(([key, child]) => {
    const here = path === '' ? key : `${path}.${key}`
    const required = node.required?.includes(key) ?? false
    const named = typeof child.additionalProperties === 'object' ? child.additionalProperties : undefined
    const items = child.items === undefined ? [] : (child.items.oneOf ?? [child.items])
    const listed = child.type === 'array' && items.every(({ type }) => type === 'object')
    const inner =
      named !== undefined ? rows(named, `${here}.NAME`) : listed ? merged(items.map((item) => rows(item, `${here}[]`))) : rows(child, here)
    return inner.length > 0 ? inner : [{ path: here, node: child, required }]
  })
}

/** The rows of alternatives: what only some of them need is not required. */
function merged(alternatives: readonly (readonly Row[])[]): readonly Row[] {
  const all = alternatives.flat()
  return [...new Set(all.map(({ path }) => path))].flatMap((path) => {
    const same = all.filter((row) => row.path === path)
    const [first] = same
    if (first === undefined) return []
    const words = same.flatMap(({ node }) => node.enum ?? [])
    const node = words.length > 0 ? { ...first.node, enum: [...new Set(words)] } : first.node
    return [{ path, node, required: same.length === alternatives.length && same.every(({ required }) => required) }]
  })
}

const WHEN: Readonly<Record<Effect, string>> = { reload: 'at once', start: 'next start', 'stop-at-start': 'on: at once; off: next start' }

function effectOf(path: string): string {
  const known: Readonly<Record<string, Effect>> = EFFECTS
  return WHEN[known[path] ?? known[path.split('.')[0] ?? ''] ?? 'reload']
}

const fallback = ({ node, required }: Row) => (required ? 'required' : node.default === undefined ? '' : code(node.default))

function table(head: readonly string[], lines: readonly (readonly string[])[]): string {
  return [head, head.map(() => '---'), ...lines].map((cells) => `| ${cells.join(' | ')} |`).join('\n')
}

function settings(of: readonly Row[]): string {
  return table(
    ['key', 'values', 'default', 'a change takes effect', 'what it is for'],
    of.map((row) => [`\`${row.path}\``, values(row.node), fallback(row), effectOf(row.path), row.node.description ?? '']),
  )
}

function entries(of: readonly Row[]): string {
  return table(
    ['key', 'values', 'default', 'what it is for'],
    of.map((row) => [`\`${row.path}\``, values(row.node), fallback(row), row.node.description ?? '']),
  )
}

function reference(): string {
  const all = rows(config)
  const isPolicy = ({ path }: Row) => path.startsWith('policy.')
  const isNetwork = ({ path }: Row) => path.startsWith('policy.networks[]')
  const rule = (path: string) => path.replace('policy.networks[].', 'policy.')
  const rules = new Set(all.filter((row) => isPolicy(row) && !isNetwork(row)).map(({ path }) => path))
  return `# Every key of the configuration

<!-- Written by test/config/reference.test.ts from src/config/settings.ts: UPDATE_DOCS=1 node build/test/config/reference.test.js -->

The configuration is one JSON file with comments: \`/etc/enigm-dns/config.json\`, or \`--config FILE\`. Every key is optional. An unknown key is an error.
\`enigm-dns check\` lists every fault with its place and its fix, and everything else that a start would refuse or warn about, such as a setting that does nothing because another one is missing. [schema/config.schema.json](../schema/config.schema.json) lets an editor check the file.
"At once" means: half a second after the file is saved, or at \`enigm-dns reload\`. [reload.md](reload.md)

${settings(all.filter((row) => !isPolicy(row)))}

## policy

[policy.md](policy.md) explains the rules.

${settings(all.filter((row) => isPolicy(row) && !isNetwork(row)))}

Each entry of \`policy.networks\` has a \`name\`, a \`match\`, and any of the rules above. They apply on that network in addition.

${settings(all.filter((row) => isNetwork(row) && !rules.has(rule(row.path))))}

## The trusted set

\`resolvers\` names this file: [resolvers.md](resolvers.md). Its schema is [schema/resolvers.schema.json](../schema/resolvers.schema.json).

${entries(rows(set))}
`
}

/** Compares a file with what it must be, or rewrites it. */
function holds(t: Test, name: string, of: (text: string) => string): void {
  const file = join(PROJECT_ROOT, name)
  const read = () => {
    try {
      return readFileSync(file, 'utf8')
    } catch {
      return ''
    }
  }
  const wanted = of(read())
  if (process.env.UPDATE_DOCS === '1') writeFileSync(file, wanted)
  t.equal(read(), wanted, `${name} (UPDATE_DOCS=1 rewrites it)`)
}

/** `text` with what stands between the marks replaced. */
function spliced(text: string, mark: string, body: string): string {
  const [begin, end] = [`<!-- ${mark}: written by test/config/reference.test.ts -->`, `<!-- /${mark} -->`]
  const [from, to] = [text.indexOf(begin), text.indexOf(end)]
  if (from < 0 || to < 0) throw new Error(`no place for ${mark}`)
  return `${text.slice(0, from)}${begin}\n${body}\n${text.slice(to)}`
}

const listed = (effect: Effect) => {
  const paths = Object.entries(EFFECTS).filter(([, one]) => one === effect)
  return paths.map(([path]) => `\`${path}\``).join(', ')
}

t.test('docs/configuration.md has every key with its description from the table', (t) => {
  holds(t, 'docs/configuration.md', reference)
  const silent = [...rows(config), ...rows(set)].filter(({ node }) => (node.description ?? '') === '')
  t.strictSame(
    silent.map(({ path }) => path).filter((path) => !/^policy\.networks\[\]\./.test(path)),
    [],
    'every key says what it is for',
  )
  t.end()
})

/** What README.md shows, and the value where the table has no default; null: shown as a comment. */
const EXCERPT: readonly (readonly [key: string, shown?: string | null])[] = [
  ['listen'],
  ['allowFrom'],
  ['use', `["${shippedIds().join('", "')}"]`],
  ['shaping', '{ "profile": "jitter" }'],
  ['resolvers', '"my-resolvers.json"'],
  ['user', '"enigm-dns"'],
  ['policy', '{}'],
]

function shippedIds(): readonly string[] {
  const { resolvers } = JSON.parse(readFileSync(join(PROJECT_ROOT, 'resolvers.json'), 'utf8')) as {
    readonly resolvers: readonly { readonly id: string; readonly enabled?: boolean }[]
  }
  return resolvers.filter(({ enabled }) => enabled !== false).map(({ id }) => id)
}

/**
 * Keys that are absent by default stand in a comment, but for the list of resolvers, which is what
 * it would be.
 */
function excerpt(): string {
  const lines = EXCERPT.map(([key, shown], index) => {
    const node = config.properties?.[key] ?? {}
    const says = (node.description ?? '').split(/(?<=\.) /)[0]
    const value = shown ?? JSON.stringify(node.default).replaceAll('","', '", "')
    const isSet = node.default !== undefined || key === 'use'
    const comma = index === EXCERPT.length - 1 ? '' : ','
    return { code: `  ${isSet ? '' : '// '}"${key}": ${value}${comma}`, says }
  })
  const width = Math.max(...lines.map(({ code }) => code.length))
  return [
    '<!-- recipe: defaults -->',
    '```jsonc',
    '{',
    ...lines.map(({ code, says }) => `${code.padEnd(width)}  // ${says}`),
    '}',
    '```',
  ].join('\n')
}

t.test('README.md shows at most eight keys, as in the table', (t) => {
  holds(t, 'README.md', (text) => spliced(text, 'settings', excerpt()))
  const text = readFileSync(join(PROJECT_ROOT, 'README.md'), 'utf8')
  const known = [...rows(config), ...rows(set)].flatMap(({ path }) => [path, ...path.replaceAll('[]', '').split('.')])
  const named = new Set(
    [...known, ...Object.keys(config.properties ?? {})].filter((key) => text.includes(`\`${key}\``) || text.includes(`"${key}":`)),
  )
  t.ok(named.size <= 8, [...named].join())
  t.ok(text.split('\n').length <= 151, 'and has at most 150 lines')
  t.end()
})

t.test('docs/reload.md says when each setting takes effect', (t) => {
  const body = table(
    ['a change of', 'takes effect'],
    [
      [listed('start'), 'at the next start; until then the old value stays, and the log and the status name the setting'],
      [listed('stop-at-start'), 'switched on: at once; switched off: the log goes on until the next start'],
      ['every other setting', 'half a second after the file is saved, or at `enigm-dns reload`'],
    ],
  )
  holds(t, 'docs/reload.md', (text) => spliced(text, 'settings', body))
  t.end()
})
