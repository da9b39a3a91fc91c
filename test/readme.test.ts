// What README.md shows is run: its configuration, its trusted set, its shell lines. Those that change a system run in test/e2e/point-the-system.test.ts.
import { execFile } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { parseJsonc } from '../src/config/jsonc.ts'
import { checkConfig, loadConfig } from '../src/config/load.ts'
import { DEFAULT_CONFIG_FILE, defaultStateDir, defaultStatusFile } from '../src/config/paths.ts'
import { createAuthority } from '../src/demo/authority.ts'
import { startDot } from './support/dot-server.ts'
import { query } from './support/messages.ts'
import { PROJECT_ROOT, readmeFences, readmeRecipe } from './support/readme.ts'
import { cli, startDaemon } from './support/real/daemon.ts'
import { rcodeOf, udpClient } from './support/real/dns-client.ts'
import { addressRecord, replyTo } from './support/replies.ts'

const README = readFileSync(join(PROJECT_ROOT, 'README.md'), 'utf8')

t.test('the configuration that it shows is the one without a file', async (t) => {
  const places = { configFile: join(t.testdir(), 'none'), resolversFile: join(PROJECT_ROOT, 'resolvers.json') }
  const shown = join(t.testdir(), 'config.json')
  writeFileSync(shown, readmeRecipe('defaults'), { mode: 0o600 })
  const [written, silent] = await Promise.all([loadConfig(shown, {}, places), loadConfig(undefined, {}, places)])
  t.strictSame(written.config, { ...silent.config, use: ['quad9', 'dns4eu'] })
})

t.test('what it shows as comment is good as well', async (t) => {
  const text = readmeRecipe('defaults')
    .replace('// "resolvers": "my-resolvers.json",', '"resolvers": "my-resolvers.json",')
    .replace('// "policy": { ... }', '"policy": {},')
    .replace('// "page": { "listen": "127.0.0.1:9153" }', '"page": { "listen": "127.0.0.1:9153" },')
    .replace('"quad9", "dns4eu"', '"home"')
  const dir = t.testdir({ 'ca.pem': (await createAuthority()).certificate })
  for (const [name, content] of [
    ['config.json', text],
    ['my-resolvers.json', readmeRecipe('own-set')],
  ] as const) {
    writeFileSync(join(dir, name), content, { mode: 0o600 })
  }
  const { loaded, problems } = await checkConfig(join(dir, 'config.json'))
  t.strictSame(problems, [])
  t.match(loaded?.config, { page: { listen: '127.0.0.1:9153' }, policy: {} })
  t.match(loaded?.resolvers, [{ id: 'home', addresses: ['192.0.2.53'], transports: { dot: { port: 853 } } }])
})

/** Runs shell lines of README.md and returns what they print. */
const shell = async (lines: string, cwd: string) =>
  (await promisify(execFile)('bash', ['-eo', 'pipefail', '-c', lines], { cwd, timeout: 20_000 })).stdout.trim()

t.test('its own resolver, with caFile and spkiPins, answers; its lines for a pin give the pin', async (t) => {
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

t.test('`run --help` advises the address that the README does', async (t) => {
  const { stdout } = await cli('run', '--help')
  t.match(stdout, /--listen 127\.0\.0\.55:53 .*systemd-resolved/)
  t.match(readmeRecipe('resolved-run'), '--listen 127.0.0.55:53')
  t.notMatch(stdout, '127.0.0.54', 'which resolved drops')
})

t.test('files are where it says', (t) => {
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

t.test('every block of shell lines is run by a test', (t) => {
  const runners = ['readme.test.ts', 'e2e/point-the-system.test.ts']
    .map((name) => readFileSync(join(PROJECT_ROOT, 'test', name), 'utf8'))
    .join()
  const shellBlocks = readmeFences().filter(({ language }) => language === 'sh')
  // `npm run demo` is test/e2e/demo.test.ts, and `npm test` is what runs this.
  const unnamed = shellBlocks.filter(({ recipe, text }) => recipe === undefined && !text.startsWith('npm run demo'))
  t.strictSame(unnamed, [])
  for (const { recipe = '' } of shellBlocks.filter(({ recipe }) => recipe !== undefined)) t.ok(runners.includes(`'${recipe}'`), recipe)
  t.end()
})
