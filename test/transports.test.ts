import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import ts from 'typescript'
import { isTransport, TRANSPORT_NAMES } from '../src/transports.ts'

let root = dirname(fileURLToPath(import.meta.url))
while (!readdirSync(root).includes('package.json')) root = dirname(root)
const src = join(root, 'src')
const paths = readdirSync(src, { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.ts'))
  .map((path) => path.split(sep).join('/'))

/** What must know every transport: its place in the trusted set, and what carries it. */
const KNOWING = ['config/trusted-set.ts', 'link/transports.ts']
const ROW = "another: { ...({} as TransportFacts), label: 'Another' },"

/** Which of these do not compile when the table of transports has one more row. */
function brokenByAnother(): readonly string[] {
  const { config } = ts.readConfigFile(join(root, 'tsconfig.json'), ts.sys.readFile)
  const { options } = ts.parseJsonConfigFileContent(config, ts.sys, root)
  const host = ts.createCompilerHost(options)
  const { readFile } = host
  host.readFile = (path) => {
    const text = readFile(path)
    return path === join(src, 'transports.ts') ? text?.replace(/^} as const satisfies/m, `  ${ROW}\n$&`) : text
  }
  const program = ts.createProgram({ rootNames: KNOWING.map((path) => join(src, path)), options: { ...options, noEmit: true }, host })
  return KNOWING.filter((path) => program.getSemanticDiagnostics(program.getSourceFile(join(src, path))).length > 0)
}

t.test('a transport that a table lacks does not compile', (t) => {
  t.strictSame(brokenByAnother(), KNOWING)
  t.end()
})

/** Who may ask for one transport by name, and why that takes no other for it. */
const NAMING: Readonly<Record<string, string>> = {
  'commands/diagnosis.ts': 'tells that port 853 is blocked and DoH gets through',
  'commands/discover.ts': 'DDR says the path of DoH alone',
  'config/listed-entries.ts': 'a stamp of each kind has its own form',
  'config/stamps.ts': 'a stamp of each kind has its own form',
  'importers/draft.ts': 'drafts entries from the places that other programs name',
  'importers/places.ts': 'reads how other programs write the places of resolvers',
}

t.test('no code tests whether a transport is one of two: a third would be taken for the other', (t) => {
  const asking = /(?:[=!]==?|\?\?|\bcase) '(?:dot|doh)'|\bover\('(?:dot|doh)'\)/
  const found = paths.filter((path) => asking.test(readFileSync(join(src, path), 'utf8')))
  t.strictSame(found, Object.keys(NAMING))
  t.ok(asking.test("link.transport === 'dot' ? 1 : 2") && asking.test("transports[0] ?? 'dot'"))
  t.end()
})

t.test('each transport is run by the contract of links, and stands in the documents', (t) => {
  const read = (path: string) => readFileSync(join(root, path), 'utf8')
  const [rig, page] = [read('test/link/contract-rig.ts'), read('docs/transports.md')]
  for (const name of TRANSPORT_NAMES) {
    t.match(rig, `transport: '${name}', speaks:`, `${name} has a row in EVERYWHERE or NEWER`)
    t.match(page, `\n| \`${name}\` | `, `${name} has a row in the table`)
  }
  t.end()
})

t.test('only names in the table are valid', (t) => {
  t.strictSame(TRANSPORT_NAMES, ['dot', 'doh', 'odoh', 'doq', 'dnscrypt'])
  for (const name of TRANSPORT_NAMES) t.ok(isTransport(name))
  for (const text of ['', 'DoT', 'quic', 'constructor', '__proto__', 'toString']) t.notOk(isTransport(text), text)
  t.end()
})
