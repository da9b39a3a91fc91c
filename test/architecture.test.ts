import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import ts from 'typescript'

/** Found by walking up: the same from test/ and from build/test/. */
const root = (function up(from: string): string {
  return readdirSync(from).includes('package.json') ? from : up(dirname(from))
})(dirname(fileURLToPath(import.meta.url)))

const FLOOR_OF_ROOM: Readonly<Record<string, number>> = {
  dns: 2,
  files: 2,
  config: 2,
  cleartext: 2,
  listen: 3,
  cache: 3,
  policy: 3,
  'local-names': 3,
  rules: 3,
  lists: 4,
  upstream: 3,
  link: 3,
  shaping: 3,
  posture: 3,
  system: 3,
  trace: 3,
  portal: 3,
  fetcher: 3,
  retention: 4,
  workers: 5,
  page: 5,
  demo: 6,
  importers: 6,
  commands: 6,
}
const FLOOR_OF_FILE: Readonly<Record<string, number>> = {
  'resolve.ts': 1,
  'route.ts': 1,
  'job.ts': 1,
  'who-knows.ts': 1,
  'events.ts': 1,
  'errors.ts': 1,
  'exit-codes.ts': 1,
  'clock.ts': 1,
  'containers.ts': 1,
  'deadlines.ts': 1,
  'client-shares.ts': 1,
  'transports.ts': 1,
  'tls-groups.ts': 1,
  'quic.ts': 1,
  'version.ts': 1,
  'rules-version.ts': 1,
  'own-lookup.ts': 4,
  'log.ts': 1,
  'resolver.ts': 4,
  'host-checks.ts': 4,
  'owned-paths.ts': 4,
  'evidence.ts': 4,
  'explain.ts': 4,
  'active-setups.ts': 4,
  'responder.ts': 4,
  'serving.ts': 5,
  'trusted-resolvers.ts': 4,
  'oblivious.ts': 4,
  'side-askers.ts': 4,
  'open-page.ts': 5,
  'divided-names.ts': 4,
  'daemon.ts': 5,
  'main.ts': 6,
}
/** Who may set a timer of Node's own, and why. */
const OWN_TIMERS: Readonly<Record<string, string>> = {
  'commands/service.ts': 'keeps the process alive while it drains, which a timer of Clock must not',
}
/**
 * What may be done with files outside files/: looking, and taking a name away, which never goes
 * through a link.
 */
const HARMLESS = /^(existsSync|readdirSync|readdir|readlink|statSync|lstatSync|realpathSync|watch|watchFile|unwatchFile|rm|type \w+)$/
/** Who reads or writes files on its own, and why. */
const OWN_FILES: Readonly<Record<string, string>> = {
  'version.ts': "reads the program's own package.json",
  'log.ts': 'writes to standard error, which is open',
  'demo/demo-daemon.ts': 'writes in a new directory of its own',
  'system/file-watch.ts': 'compares files that files/ has read',
  'system/bypass.ts': 'reads tables in /proc bit by bit',
  'system/process-identity.ts': 'reads /proc',
  'system/port-holder.ts': 'reads /proc',
  'system/inherited-sockets.ts': 'reads /proc',
  'system/hardening.ts': 'writes in /proc',
}
const MAX_LINES = 400
const MAX_COLUMNS = 100

interface Source {
  readonly path: string
  readonly text: string
  /** Files of ours that it imports, by path below src/. */
  readonly inner: readonly string[]
  /** Packages and modules of Node that it imports. */
  readonly outer: readonly string[]
}

const sources: readonly Source[] = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.ts'))
  .map((path) => path.split(sep).join('/'))
  .map((path) => read(path, readFileSync(join(root, 'src', path), 'utf8')))

function read(path: string, text: string): Source {
  const specifiers = importsOf(text)
  const inner = specifiers
    .filter((s) => s.startsWith('.'))
    .map((s) =>
      normalize(join(dirname(path), s))
        .split(sep)
        .join('/'),
    )
  return { path, text, inner, outer: specifiers.filter((s) => !s.startsWith('.')) }
}

/** Static, re-exporting, side-effect and dynamic imports, of code without its comments. */
function importsOf(text: string): readonly string[] {
  const found = withoutComments(text).matchAll(/(?:\bfrom|\bimport)\s*\(?\s*['"]([^'"]+)['"]/g)
  return [...found].map(([, specifier = '']) => specifier)
}

function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/(^|[^:'"`\\])\/\/.*$/gm, '$1')
}

const roomOf = (path: string) => (path.includes('/') ? (path.split('/')[0] ?? '') : '')
const floorOf = (path: string) => (roomOf(path) === '' ? FLOOR_OF_FILE[path] : FLOOR_OF_ROOM[roomOf(path)])

/** Which arrows of `source` break the house rules, as sentences. */
function wrongArrows(source: Source): readonly string[] {
  const floor = floorOf(source.path)
  if (floor === undefined) return [`${source.path} stands on no floor: give its room one in test/architecture.test.ts, or move it`]
  return source.inner.flatMap((target) => {
    const below = floorOf(target)
    if (below === undefined) return [`${source.path} imports ${target}, which stands on no floor`]
    if (below > floor) return [`${source.path} (floor ${floor}) imports ${target} (floor ${below}): imports go down`]
    if (below === 3 && floor === 3 && roomOf(source.path) !== roomOf(target)) return [`${source.path} imports its sibling ${target}`]
    return []
  })
}

/**
 * One import circle as a path of files, or undefined. `import type` counts too: a circle of types
 * is a circle in the reader's head.
 */
function circle(all: readonly Source[]): readonly string[] | undefined {
  const byPath = new Map(all.map((s) => [s.path, s]))
  const done = new Set<string>()
  const walk = (path: string, trail: readonly string[]): readonly string[] | undefined => {
    if (trail.includes(path)) return [...trail.slice(trail.indexOf(path)), path]
    if (done.has(path)) return undefined
    for (const next of byPath.get(path)?.inner ?? []) {
      const found = walk(next, [...trail, path])
      if (found !== undefined) return found
    }
    done.add(path)
    return undefined
  }
  for (const { path } of all) {
    const found = walk(path, [])
    if (found !== undefined) return found
  }
  return undefined
}

function using(pattern: RegExp, allowed: (path: string) => boolean): readonly string[] {
  return sources.filter((s) => !allowed(s.path) && pattern.test(withoutComments(s.text))).map((s) => s.path)
}

/** What a source takes from node:fs that is not harmless, as sentences. */
function handling({ path, text }: Source): readonly string[] {
  const imports = [...text.matchAll(/^import ([^'\n]+) from 'node:fs(?:\/promises)?'$/gm)].map(([, what = '']) => what)
  const names = imports
    .flatMap((what) => (what.startsWith('type ') ? [] : what.replaceAll(/[{}]/g, '').split(',')))
    .map((name) => name.trim())
  return names.filter((name) => name !== '' && !HARMLESS.test(name)).map((name) => `${path} uses ${name} of node:fs`)
}

t.test('imports go down, and siblings do not know each other', (t) => {
  t.ok(sources.length > 20, 'the sources were found')
  t.strictSame(sources.flatMap(wrongArrows), [])
  t.end()
})

t.test('every inner import is a file', (t) => {
  const paths = new Set(sources.map((s) => s.path))
  t.strictSame(
    sources.flatMap((s) => s.inner.filter((target) => !paths.has(target)).map((target) => `${s.path} -> ${target}`)),
    [],
  )
  t.end()
})

t.test('no circle', (t) => {
  t.equal(circle(sources)?.join(' -> '), undefined)
  t.end()
})

/** Packages that only a part of the build or of a type needs. */
const NOT_IMPORTED: Readonly<Record<string, string>> = { pino: 'log.ts and commands/run.ts load it at once, by require' }
/** Needed in schema/ alone: json-schema.ts is for the build and for tests. */
const BUILD_ONLY = ['@valibot/to-json-schema']

t.test('what the program imports is part of the build, so that an installation needs no package but koffi', (t) => {
  const { devDependencies, optionalDependencies, ...more } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Readonly<
    Record<'devDependencies' | 'optionalDependencies', Readonly<Record<string, string>>>
  >
  t.notOk('dependencies' in more, 'an installation fetches none')
  const packageOf = (name: string) => /^(@[^/]+\/)?[^/]+/.exec(name)?.[0] ?? name
  const imported = new Set(sources.flatMap((s) => s.outer.filter((name) => /^[@a-z][\w./@-]*$/.test(name)).map(packageOf)))
  for (const name of BUILD_ONLY) imported.delete(name)
  for (const name of Object.keys(NOT_IMPORTED)) imported.add(name)
  for (const name of Object.keys(optionalDependencies)) imported.delete(name)
  t.strictSame(
    [...imported].filter((name) => !(name in devDependencies)),
    [],
  )
  t.end()
})

t.test('what stays in one room', (t) => {
  const importing = (name: string) => sources.filter((s) => s.outer.includes(name)).map((s) => s.path)
  t.strictSame(
    importing('dns-packet').filter((path) => roomOf(path) !== 'dns'),
    [],
    'dns-packet: its names are lossy',
  )
  t.strictSame(
    importing('koffi').filter((path) => !['listen', 'system'].includes(roomOf(path))),
    [],
    'koffi: native calls',
  )
  t.strictSame(
    sources.filter((s) => roomOf(s.path) !== 'files' && !(s.path in OWN_FILES)).flatMap(handling),
    [],
    'files are opened, made and moved in files/: a hand-made way forgets a link, a FIFO or an owner',
  )
  t.strictSame(
    using(/\bprocess\.platform\b/, (path) => roomOf(path) === 'system'),
    [],
    'process.platform',
  )
  t.strictSame(
    using(/\b(setTimeout|setInterval|Date\.now|Math\.random)\b/, (path) => path === 'clock.ts' || path in OWN_TIMERS),
    [],
    'time and chance come through clock.ts',
  )
  t.strictSame(
    using(/\bexport default\b/, () => false),
    [],
    'no default exports',
  )
  t.end()
})

t.test(`no comment wider than ${MAX_COLUMNS} columns`, (t) => {
  const isTable = (line: string) => line.includes('rcode EDE')
  const isWide = (line: string) => line.length > MAX_COLUMNS && /^\s*(\/?\*|\/\/)/.test(line) && !isTable(line)
  t.strictSame(
    sources.flatMap(({ path, text }) => text.split('\n').flatMap((line, i) => (isWide(line) ? [`${path}:${i + 1}`] : []))),
    [],
  )
  t.end()
})

t.test(`no file of more than ${MAX_LINES} lines`, (t) => {
  t.strictSame(
    sources.filter((s) => s.text.split('\n').length - 1 > MAX_LINES).map((s) => s.path),
    [],
  )
  t.end()
})

/**
 * What protects: a parameter or property of one of these names or types. Forgotten, it must be an
 * error of the compiler and no open door.
 */
const GUARD_NAMES: ReadonlySet<string> = new Set(
  'gate rebinding allowed allowFrom allow allowAddresses permitted closed forbidden refusal dialPace pace turnInMs policy view'.split(' '),
)
const GUARD_TYPES = /\b(Gate|PolicyGate|SetupGate|RebindingRules|DialPace|Policy|View)\b/
/** Guards that may be left out, and why that opens nothing. */
const MAY_BE_ABSENT: Readonly<Record<string, string>> = {
  'host-checks.ts: policy?.networks': 'without a policy no network has a name',
  'commands/takeover-host.ts: (await findConfig(undefined, thisHost())).loaded?.config.policy?.vpnInterfaces':
    'without a policy no link is named',
  'posture/policy-rules.ts: policy?.allowCleartext': 'without a policy every zone that is asked in cleartext exposes',
  'shaping/profiles.ts: readonly rebinding?: number': 'a count, which some profiles do not tell',
}

/** Every node of a file. */
function* nodesOf(path: string, text: string): Generator<ts.Node> {
  const waiting: ts.Node[] = [ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true)]
  for (let node = waiting.pop(); node !== undefined; node = waiting.pop()) {
    yield node
    node.forEachChild((child) => void waiting.push(child))
  }
}

/**
 * Guards of `source` that are optional, have a default, or are used as if they might be missing.
 */
function openGuards({ path, text }: Source): readonly string[] {
  const found: string[] = []
  for (const node of nodesOf(path, text)) {
    if (ts.isPropertyAccessExpression(node) && node.questionDotToken !== undefined) {
      const last = ts.isPropertyAccessExpression(node.expression) ? node.expression.name.text : node.expression.getText()
      if (GUARD_NAMES.has(last)) found.push(`${path}: ${node.getText()}`)
    }
    if (!(ts.isParameter(node) || ts.isPropertySignature(node) || ts.isPropertyDeclaration(node) || ts.isBindingElement(node))) continue
    const optional = 'questionToken' in node && node.questionToken !== undefined
    const initializer = ts.isPropertySignature(node) ? undefined : node.initializer
    const defaulted = initializer !== undefined && !ts.isPropertyDeclaration(node)
    if (!optional && !defaulted) continue
    const type = ts.isBindingElement(node) ? undefined : node.type?.getText()
    if (
      !GUARD_NAMES.has(node.name.getText()) &&
      !GUARD_TYPES.test(type ?? '') &&
      !/new (PolicyGate|SetupGate|DialPace)\b/.test(initializer?.getText() ?? '')
    )
      continue
    found.push(`${path}: ${node.getText()}`)
  }
  return found.filter((one) => !Object.hasOwn(MAY_BE_ABSENT, one))
}

t.test('what protects has no default that opens: guards are required', (t) => {
  t.strictSame(sources.flatMap(openGuards), [])
  t.strictSame(
    using(/\bnew PolicyGate\(/, (path) => ['daemon.ts', 'workers/worker.ts'].includes(path)),
    [],
    'one gate, which the main thread sets; each worker reads its memory',
  )
  t.strictSame(
    using(/\bas View\b/, (path) => ['resolve.ts', 'workers/miss-codec.ts'].includes(path)),
    [],
    'one place makes views; one carries them between threads',
  )
  t.end()
})

/** The types of events in events.ts, and those that some code makes. */
function eventTypes(): { readonly declared: ReadonlySet<string>; readonly made: ReadonlySet<string> } {
  const declared = new Set<string>()
  const made = new Set<string>()
  for (const { path, text } of sources) {
    for (const node of nodesOf(path, text)) {
      if (path === 'events.ts' && ts.isPropertySignature(node) && node.name.getText() === 'type' && node.type !== undefined)
        declared.add(node.type.getText())
      if (ts.isPropertyAssignment(node) && node.name.getText() === 'type') made.add(node.initializer.getText())
    }
  }
  return { declared, made }
}

t.test('every event is made by somebody: what nothing reports is not to be looked for', (t) => {
  const { declared, made } = eventTypes()
  t.ok(declared.size > 15, `${declared.size} events`)
  t.strictSame(
    [...declared].filter((type) => !made.has(type)),
    [],
  )
  t.end()
})

/** Functions, classes and constants that nothing in src/ uses, and why they are there. */
const USED_ELSEWHERE: Readonly<Record<string, string>> = {
  jsonSchemas: 'writes schema/, in a test',
  REGISTRIES_AS_OF: 'tells readers and docs how old the lists are',
}

t.test('nothing is there for its test alone', (t) => {
  const exported = sources.flatMap(({ path, text }) =>
    [...text.matchAll(/^export (?:async )?(?:function|class|const) (\w+)/gm)].map(([, name = '']) => ({ path, name })),
  )
  const uses = (name: string) => sources.reduce((sum, { text }) => sum + (text.match(new RegExp(`\\b${name}\\b`, 'g'))?.length ?? 0), 0)
  t.strictSame(
    exported.filter(({ name }) => uses(name) < 2 && !Object.hasOwn(USED_ELSEWHERE, name)).map(({ path, name }) => `${path}: ${name}`),
    [],
  )
  t.end()
})

/** The text of a string or of a name. */
const literal = (node: ts.Node) => (ts.isStringLiteralLike(node) || ts.isIdentifier(node) ? node.text : '')

/** The codes of errors.ts. */
function errorCodes(): ReadonlySet<string> {
  const text = sources.find(({ path }) => path === 'errors.ts')?.text ?? ''
  for (const node of nodesOf('errors.ts', text))
    if (ts.isVariableDeclaration(node) && node.name.getText() === 'TABLE')
      for (const inner of nodesOf('table.ts', `const ${node.getText()}`))
        if (ts.isObjectLiteralExpression(inner))
          return new Set(inner.properties.flatMap(({ name }) => (name === undefined ? [] : [literal(name)])))
  return new Set()
}
const ERROR_CODES = errorCodes()
/**
 * Codes that are words of daily life: as such they count where something called code or fault is
 * compared with them.
 */
const CODE_LIKE = /\b(code|codes|fault|why|reason|failed)\)?$/i
/** Codes that one place compares alone, and what it knows of them that no table can. */
const COMPARED_ALONE: Readonly<Record<string, string>> = {
  deadline: 'of several failures it says most',
  overloaded: 'a question that was turned away further in is counted where clients are',
  'reply-mismatch': 'a parser gave it: its carrier counts what did not match',
  'http-size': 'a parser gave it, and stops reading',
  'target-key': 'the link to its target has the new key fetched',
  'http-status': 'an answer to cover traffic: the schedule slows down',
  'connection-lost': 'the carrier is gone: what was asked may be asked once more',
  'connect-failed': 'its cause tells whether there was a route',
}

const isCode = (node: ts.Node) => ts.isStringLiteralLike(node) && ERROR_CODES.has(node.text)
/**
 * Whether a record must have a row for every code, or every code of a kind: then a new code does
 * not compile until it has one.
 */
const isTotal = (text: string) => /^(Readonly<)?Record<(ErrorCode|IdentityCode|PolicyCode|HopCode), /.test(text)
/** Types that name two codes or more are lists as well. */
const isList = (codes: readonly string[]) => new Set(codes).size > 1

/**
 * Lists of codes outside errors.ts (arrays, sets, partial records, switches, types, chains of
 * comparisons), and codes compared that are no longer to be compared.
 */
function codesListed({ path, text }: Source): readonly string[] {
  if (path === 'errors.ts') return []
  const found: string[] = []
  const compared = new Map<ts.Node, string[]>()
  for (const node of nodesOf(path, text)) {
    const listed = (nodes: readonly ts.Node[]) => {
      const codes = nodes.map(literal).filter((code) => ERROR_CODES.has(code))
      // Some codes are words of daily life: a list that holds no other is about something else.
      if (isList(codes) && codes.some((code) => code.includes('-'))) found.push(`${path} lists ${[...new Set(codes)].join(', ')}`)
    }
    if (ts.isArrayLiteralExpression(node)) listed(node.elements)
    if (ts.isCaseBlock(node)) listed(node.clauses.flatMap((clause) => (ts.isCaseClause(clause) ? [clause.expression] : [])))
    if (ts.isUnionTypeNode(node)) listed(node.types.flatMap((type) => (ts.isLiteralTypeNode(type) ? [type.literal] : [])))
    if (ts.isObjectLiteralExpression(node)) {
      const declared = ts.isVariableDeclaration(node.parent) ? node.parent.type?.getText() : undefined
      const satisfied = ts.isSatisfiesExpression(node.parent) ? node.parent.type.getText() : undefined
      if (!isTotal(declared ?? satisfied ?? '')) listed(node.properties.flatMap(({ name }) => (name === undefined ? [] : [name])))
    }
    if (ts.isBinaryExpression(node) && /^[!=]==?$/.test(node.operatorToken.getText())) {
      for (const [code, other] of [
        [node.right, node.left],
        [node.left, node.right],
      ] as const) {
        if (!isCode(code) || !(literal(code).includes('-') || CODE_LIKE.test(other.getText()))) continue
        let chain: ts.Node = node
        while (ts.isBinaryExpression(chain.parent) || ts.isParenthesizedExpression(chain.parent)) chain = chain.parent
        compared.set(chain, [...(compared.get(chain) ?? []), literal(code)])
      }
    }
  }
  for (const codes of compared.values()) {
    if (isList(codes)) found.push(`${path} compares with ${codes.join(', ')}`)
    else if (codes[0] !== undefined && !Object.hasOwn(COMPARED_ALONE, codes[0])) found.push(`${path} compares with ${codes[0]}`)
  }
  return found
}
/** Where a code is also the name of something else. */
const SAME_WORDS: Readonly<Record<string, string>> = {
  'commands/next-command.ts lists portal-suspected, clock-suspect': 'reasons of the status document too',
  'posture/reasons.ts lists clock-suspect, portal-suspected, pin-mismatch, certificate-expired, certificate-not-yet-valid, certificate-name, certificate-untrusted':
    'reasons of the status document; seven have the name of the code that they show, which the compiler checks',
}

t.test('codes are classified by the table of errors.ts alone', (t) => {
  t.ok(ERROR_CODES.size > 20, `${ERROR_CODES.size} codes`)
  t.strictSame(
    sources.flatMap(codesListed).filter((found) => !Object.hasOwn(SAME_WORDS, found)),
    [],
    'ask a predicate of errors.ts, or give its table a column',
  )
  t.end()
})

t.test('the checks above do find what they look for', (t) => {
  const source = (path: string, text: string) => read(path, text)
  t.equal(wrongArrows(source('dns/a.ts', "import type { X } from '../link/b.ts'")).length, 1, 'up')
  t.equal(wrongArrows(source('link/a.ts', "export * from '../cache/b.ts'")).length, 1, 'sibling')
  t.equal(wrongArrows(source('link/a.ts', "await import('../daemon.ts')")).length, 1, 'dynamic')
  t.equal(handling(source('link/a.ts', "import { openSync, statSync } from 'node:fs'\nimport * as fs from 'node:fs'")).length, 2, 'files')
  t.equal(wrongArrows(source('attic/a.ts', '')).length, 1, 'no floor')
  t.equal(wrongArrows(source('link/a.ts', "// import '../daemon.ts'\nimport '../clock.ts'")).length, 0, 'comments do not count')
  for (const text of [
    'interface A { readonly gate?: PolicyGate }',
    'function f({ gate = new PolicyGate() }: Parts) {}',
    'const { closedNow = new PolicyGate() } = parts',
    'function f(rebinding: RebindingRules = OFF) {}',
    'class C { constructor(forbidden: () => boolean = () => false) {} }',
    'interface A { readonly rules?: RebindingRules }',
    'const closed = parts.gate?.closed === true',
  ])
    t.equal(openGuards(source('link/a.ts', text)).length, 1, text)
  t.strictSame(
    openGuards(source('link/a.ts', 'function f(gate: Gate, limit = 7, log?: Emit) { const pace = new DialPace(); return gate.closed }')),
    [],
  )
  for (const text of [
    "const OURS: ReadonlySet<ErrorCode> = new Set<ErrorCode>(['overloaded', 'tls-failed'])",
    "const CODES = ['tls-failed', undefined, 'connect-failed']",
    "const bad = code === 'tls-failed' || code === 'closed'",
    "const bad = !(a.code === 'closed') && b && (a.code !== 'deadline')",
    "if (fault.code === 'internal') throw fault",
    "switch (code) { case 'tls-failed': case 'deadline': return 1 }",
    "const words: Partial<Record<ErrorCode, string>> = { 'tls-failed': 'a', deadline: 'b' }",
    "const words = { 'tls-failed': 'a', deadline: 'b' }",
    "type Dial = 'connect-failed' | 'connect-refused'",
  ])
    t.equal(codesListed(source('link/a.ts', text)).length, 1, text)
  t.strictSame(
    [
      "const words: Readonly<Record<IdentityCode, string>> = { 'pin-mismatch': 'a', 'certificate-name': 'b' }",
      "if (error.code === 'connection-lost') again()",
      "const keys = ['config', 'listen', 'state']",
      "if (phase === 'closed' || phase === 'config') return",
      "const codes = { ECONNREFUSED: 'connect-refused', ETIMEDOUT: 'connect-timeout' }",
    ].flatMap((text) => codesListed(source('link/a.ts', text))),
    [],
  )
  t.strictSame(circle([source('dns/a.ts', "import './b.ts'"), source('dns/b.ts', "import './a.ts'")]), ['dns/a.ts', 'dns/b.ts', 'dns/a.ts'])
  t.end()
})
