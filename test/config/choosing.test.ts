import { readFileSync, writeFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { checkConfig } from '../../src/config/load.ts'
import { PROJECT_ROOT } from '../support/readme.ts'

const entry = (id: string, claims: object, more: object = {}) => ({
  id,
  operator: `Operator ${id}`,
  jurisdiction: 'CH',
  authenticationDomainName: `${id}.example`,
  addresses: ['192.0.2.1'],
  transports: { dot: {}, doh: {} },
  claims,
  ...more,
})

const SET = [
  entry('good', { dnssec: true, logging: false, filtering: 'none' }),
  entry('silent', {}),
  entry('logs', { dnssec: true, logging: true, filtering: 'none' }),
  entry('filters', { dnssec: true, logging: false, filtering: 'malware' }, { jurisdiction: 'DE', transports: { doh: {} } }),
  entry('second', { dnssec: true, logging: false, filtering: 'None' }, { jurisdiction: 'SE', transports: { dot: {} } }),
  entry('same-operator', { dnssec: true, logging: false, filtering: 'none' }, { operator: 'Operator good' }),
  entry('off', { dnssec: true, logging: false, filtering: 'none' }, { enabled: false }),
]

async function used(t: Test, use: unknown, more: object = {}) {
  const dir = t.testdir({ 'set.json': JSON.stringify({ version: 1, resolvers: SET }) })
  const file = join(dir, 'config.json')
  await writeFile(file, JSON.stringify({ resolvers: 'set.json', use, ...more }))
  const { loaded, problems } = await checkConfig(file)
  return { ids: loaded?.config.use, problems: problems.map(({ path, message }) => `${path}: ${message}`).join('\n') }
}

t.test('`use` as a query: what a resolver states, offers and where it is; an entry that is not enabled is not chosen', async (t) => {
  for (const [use, ids] of [
    [{ dnssec: true, logging: false, filtering: 'none' }, ['good', 'second', 'same-operator']],
    [{ logging: true }, ['logs']],
    [{ filtering: 'malware' }, ['filters']],
    [{ jurisdictions: ['DE', 'SE'] }, ['filters', 'second']],
    [{ transports: ['dot'], jurisdictions: ['DE', 'SE'] }, ['second']],
    [{ dnssec: true, operators: 2 }, ['good', 'logs', 'same-operator']],
    [{ dnssec: true, operators: 1 }, ['good', 'same-operator']],
    [{ logging: false, filtering: 'none', disabled: true }, ['good', 'second', 'same-operator', 'off']],
    [{}, ['good', 'silent', 'logs', 'filters', 'second', 'same-operator']],
  ] as const) {
    const found = await used(t, use)
    t.strictSame(found.ids, ids, `${JSON.stringify(use)} ${found.problems}`)
  }
  t.strictSame((await used(t, { filtering: 'malware' }, { transports: ['doh'] })).ids, ['filters'])
})

t.test('a query that nobody meets, or too few, says which part is too much', async (t) => {
  for (const [use, clause] of [
    [{ ecs: false }, /^use: no resolver of the set matches; 6 more would match without "ecs"; ask for less/],
    [
      { filtering: 'none', jurisdictions: ['DE'] },
      /no resolver of the set matches; 1 more would match without "filtering"; \d more would match without "jurisdictions"/,
    ],
    [
      { dnssec: true, operators: 5 },
      /^use: 4 of 5 operators match; 1 more would match without "enabled": false in the set; 1 more would match without "dnssec"/,
    ],
    [{ dnssec: 'yes' }, /^use\.dnssec: must be true or false/],
    [{ speed: 'high' }, /^use\.speed: is not a known key/],
    [{ transports: ['udp'] }, /^use\.transports\[0\]: must be one of/],
    [{ operators: 0 }, /^use\.operators: must be a whole number/],
    [[], /^use: names no resolver/],
    ['good', /^use: must be a list/],
    [7, /^use: must be a list/],
  ] as const)
    t.match((await used(t, use)).problems, clause)
})

interface Shipped {
  readonly id: string
  readonly operator: string
  readonly jurisdiction?: string
  readonly enabled: boolean
  readonly transports: object
  readonly claims?: { readonly filtering?: string; readonly logging?: boolean; readonly dnssec?: boolean }
}

const shippedSet = () =>
  (JSON.parse(readFileSync(join(PROJECT_ROOT, 'resolvers.json'), 'utf8')) as { readonly resolvers: readonly Shipped[] }).resolvers
const transportNames = ({ transports }: Shipped) => Object.keys(transports).map((name) => ({ dot: 'DoT', doh: 'DoH' })[name] ?? name)
const table = (...rows: readonly (readonly string[])[]) =>
  [rows[0] ?? [], (rows[0] ?? []).map(() => '---'), ...rows.slice(1)].map((cells) => `| ${cells.join(' | ')} |`).join('\n')

/** The table of docs/resolvers.md, from the shipped set. */
function fullTable(): string {
  const yes = (value: boolean | undefined) => (value === undefined ? 'not stated' : value ? 'yes' : 'no')
  const rows = shippedSet().map((one) => [
    `\`${one.id}\`${one.enabled ? ', used by default' : ''}`,
    one.operator,
    one.jurisdiction ?? 'not stated',
    one.claims?.filtering ?? 'not stated',
    yes(one.claims?.logging),
    yes(one.claims?.dnssec),
    transportNames(one).join(', '),
  ])
  return table(['resolver', 'operator', 'country', 'filters', 'logs', 'DNSSEC', 'transports'], ...rows)
}

/** The table of README.md: the same, in one row for each kind of filtering. */
function shortTable(): string {
  const kinds: readonly (readonly [string, (filtering: string | undefined) => boolean])[] = [
    ['nothing is filtered', (filtering) => filtering === 'none'],
    ['malware is filtered', (filtering) => filtering?.includes('malware') === true],
    ['(no statement)', (filtering) => filtering === undefined],
  ]
  const said = (one: Shipped) =>
    [
      `\`${one.id}\`: ${one.jurisdiction ?? 'country not stated'}`,
      ...(one.claims?.logging === false ? ['no logs'] : []),
      transportNames(one).join(' and '),
    ].join(', ')
  const rows = kinds.map(([words, isOf]) => [
    words,
    shippedSet()
      .filter(({ claims }) => isOf(claims?.filtering))
      .map(said)
      .join('; '),
  ])
  return table(['filtering, as the operator states', 'shipped resolvers (country; logs, as the operator states; transports)'], ...rows)
}

t.test('README.md and docs/resolvers.md have the shipped resolvers to choose from (UPDATE_DOCS=1 rewrites them)', async (t) => {
  const parts: readonly (readonly [string, (text: string) => string])[] = [
    ['README.md', (text) => text.replace(/\| filtering, as the operator states .*\n(\|.*\n)*/, () => `${shortTable()}\n`)],
    [
      'docs/resolvers.md',
      (text) =>
        text.replace(
          /(<!-- choosing: [^>]*-->\n)[\s\S]*?(<!-- \/choosing -->)/,
          (_all, begin: string, end: string) => `${begin}${fullTable()}\n${end}`,
        ),
    ],
  ]
  for (const [name, spliced] of parts) {
    const file = join(PROJECT_ROOT, name)
    const wanted = spliced(readFileSync(file, 'utf8'))
    if (process.env.UPDATE_DOCS === '1') writeFileSync(file, wanted)
    t.equal(readFileSync(file, 'utf8'), wanted)
    for (const { id } of shippedSet()) t.ok(wanted.includes(`\`${id}\``), `${name} has ${id}`)
  }
})
