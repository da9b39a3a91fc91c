// What README.md and docs/ show is run: configuration, trusted set, shell lines. Those that change
// a system run in test/e2e/point-the-system.test.ts.
import { execFile } from 'node:child_process'
import { existsSync, readdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { parseJsonc } from '../src/config/jsonc.ts'
import { checkConfig, loadConfig } from '../src/config/load.ts'
import { DEFAULT_CONFIG_FILE, defaultStateDir, defaultStatusFile } from '../src/config/paths.ts'
import { createAuthority } from '../src/demo/authority.ts'
import { startDot } from './support/dot-server.ts'
import { query } from './support/messages.ts'
import { DOCUMENTS, documentText, fences, PROJECT_ROOT, readmeRecipe } from './support/readme.ts'
import { cli, startDaemon } from './support/real/daemon.ts'
import { rcodeOf, udpClient } from './support/real/dns-client.ts'
import { addressRecord, replyTo } from './support/replies.ts'

const README = documentText('README.md')

t.test('the configuration that it shows equals the defaults', async (t) => {
  const places = { configFile: join(t.testdir(), 'none'), resolversFile: join(PROJECT_ROOT, 'resolvers.json') }
  const shown = join(t.testdir(), 'config.json')
  writeFileSync(shown, readmeRecipe('defaults'), { mode: 0o600 })
  const [written, silent] = await Promise.all([loadConfig(shown, {}, places), loadConfig(undefined, {}, places)])
  t.strictSame(written.config, { ...silent.config, use: ['quad9', 'dns4eu'] })
})

t.test('the configuration in its comments is valid too', async (t) => {
  const text = readmeRecipe('defaults')
    .replace(/^ {2}\/\/ "/gm, '  "')
    .replace(/"use": \[.*?\]/, '"use": ["home"]')
  const dir = t.testdir({ 'ca.pem': (await createAuthority()).certificate })
  for (const [name, content] of [
    ['config.json', text],
    ['my-resolvers.json', readmeRecipe('own-set')],
  ] as const) {
    writeFileSync(join(dir, name), content, { mode: 0o600 })
  }
  const { loaded, problems } = await checkConfig(join(dir, 'config.json'))
  t.strictSame(problems, [])
  t.match(loaded?.config, { policy: {}, user: 'enigm-dns' })
  t.match(loaded?.resolvers, [{ id: 'home', addresses: ['192.0.2.53'], transports: { dot: { port: 853 } } }])
})

/** Runs shell lines of a document and returns what they print. */
const shell = async (lines: string, cwd: string) =>
  (await promisify(execFile)('bash', ['-eo', 'pipefail', '-c', lines], { cwd, timeout: 20_000 })).stdout.trim()

t.test('its own resolver, with caFile and spkiPins, answers; its commands for a pin return the pin', async (t) => {
  const authority = await createAuthority()
  const { value } = parseJsonc(readmeRecipe('own-set')) as { value: { resolvers: [{ authenticationDomainName: string }] } }
  const [example] = value.resolvers
  const identity = await authority.issue({ name: example.authenticationDomainName })
  const server = await startDot({ identity, answer: (message) => replyTo(message, [addressRecord()]) })
  t.teardown(() => server.close())
  const dir = t.testdir({ 'cert.pem': identity.cert })
  t.equal(await shell(readmeRecipe('pin'), dir), identity.spkiPin)
  const ofServer = readmeRecipe('pin-of-server').replace('192.0.2.53:853', `127.0.0.1:${server.port}`)
  t.equal(await shell(ofServer, dir), identity.spkiPin)

  const answers = async (t: Test, pin: string) => {
    const here = { ...example, addresses: ['127.0.0.1'], transports: { dot: { port: server.port } }, spkiPins: [pin] }
    const daemon = await startDaemon({ resolvers: [here], ca: authority.certificate, config: { timeoutMs: 1500 } })
    t.teardown(() => daemon.stop())
    const client = await udpClient(daemon.port)
    t.teardown(() => client.close())
    return rcodeOf(await client.ask(query()))
  }
  t.equal(await answers(t, identity.spkiPin), 0)
  t.equal(await answers(t, Buffer.alloc(32, 7).toString('base64')), 2, 'and not with the pin of another key')
})

t.test('run --help recommends the same address as the README', async (t) => {
  const { stdout } = await cli('run', '--help')
  t.match(stdout, /--listen 127\.0\.0\.55:53 .*systemd-resolved/)
  t.match(readmeRecipe('resolved-run'), '--listen 127.0.0.55:53')
  t.notMatch(stdout, '127.0.0.54', 'which resolved drops')
})

t.test('files are at the documented places', (t) => {
  const account = (uid: number, env = {}) => ({ uid, env, home: '~', tmp: '/tmp' })
  const xdg = { XDG_RUNTIME_DIR: '/r', XDG_STATE_HOME: '/s' }
  const paths = [
    DEFAULT_CONFIG_FILE,
    defaultStatusFile(account(0)),
    defaultStatusFile(account(7, xdg)).replace('/r', '$XDG_RUNTIME_DIR'),
    defaultStatusFile(account(7)).replace('-7', '-UID'),
    defaultStateDir(account(0)),
    defaultStateDir(account(7, xdg)).replace('/s', '$XDG_STATE_HOME'),
    defaultStateDir(account(7)),
  ]
  for (const path of paths) t.ok(README.includes(`\`${path}\``), path)
  t.end()
})

/** Blocks of shell lines that no test runs, by what they begin with, and why. */
const NOT_RUN: readonly string[] = [
  'npm run demo', // test/e2e/demo.test.ts runs it, and `npm test` is what runs this
  'node --perf-basic-prof', // needs perf, which reads the whole machine
]

t.test('every block of shell commands is run by a test', (t) => {
  const runners = [
    'readme.test.ts',
    'e2e/point-the-system.test.ts',
    'e2e/service-lab.test.ts',
    'e2e/package-lab.test.ts',
    'e2e/system-enable.test.ts',
    'long/supervisors.test.ts',
  ]
    .map((name) => documentText(join('test', name)))
    .join()
  const shellBlocks = fences().filter(({ language }) => language === 'sh')
  const unnamed = shellBlocks.filter(({ recipe, text }) => recipe === undefined && !NOT_RUN.some((begin) => text.startsWith(begin)))
  t.strictSame(unnamed, [])
  for (const { recipe = '' } of shellBlocks.filter(({ recipe }) => recipe !== undefined)) t.ok(runners.includes(`'${recipe}'`), recipe)
  t.end()
})

t.test('every npm command in a document exists, and every WORD of npm test finds a test', (t) => {
  const { scripts } = JSON.parse(documentText('package.json')) as { readonly scripts: Readonly<Record<string, string>> }
  const tests = readdirSync(join(PROJECT_ROOT, 'test'), { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.test.ts'))
  for (const name of DOCUMENTS) {
    for (const [, script = ''] of documentText(name).matchAll(/npm run ([a-z][a-z:-]*)/g))
      t.ok(script in scripts, `${name}: npm run ${script}`)
    for (const [, word = ''] of documentText(name).matchAll(/npm test -- ([a-z0-9/-]+)/g))
      t.ok(
        tests.some((test) => test.includes(word)),
        `${name}: npm test -- ${word}`,
      )
  }
  t.end()
})

/** The anchor of a heading, as GitHub makes it. */
const anchorOf = (heading: string) =>
  heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N} _-]/gu, '')
    .replaceAll(' ', '-')

t.test('every link has a target, and every page is in the index', (t) => {
  for (const name of DOCUMENTS) {
    for (const [, target = ''] of documentText(name).matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^[a-z]+:/.test(target)) continue
      const [path = '', anchor] = target.split('#')
      const file = path === '' ? name : join(dirname(name), path)
      const isThere = existsSync(join(PROJECT_ROOT, file))
      t.ok(isThere, `${name}: ${target}`)
      if (anchor === undefined || !isThere) continue
      const headings = [...documentText(file).matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) => anchorOf(heading))
      t.ok(headings.includes(anchor), `${name}: ${target}`)
    }
  }
  const index = documentText('docs/README.md')
  for (const name of DOCUMENTS.filter((name) => name.startsWith('docs/') && name !== 'docs/README.md'))
    t.ok(index.includes(`](${name.slice('docs/'.length)}`), `docs/README.md leads to ${name}`)
  t.ok(README.includes('](docs/README.md)'))
  t.end()
})
