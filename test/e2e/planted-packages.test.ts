import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, cpSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t, { type Test } from 'tap'
import { CLI } from '../support/real/daemon.ts'
import { freePort } from '../support/real/server-process.ts'

const root = dirname(dirname(CLI))

/** Packages of every name that the program knows, each of which leaves a mark when it is loaded. */
function plant(directory: string, mark: string): string {
  const { devDependencies, optionalDependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  const native = `@koromix/koffi-${process.platform}-${process.arch}`
  for (const name of [...Object.keys({ ...devDependencies, ...optionalDependencies }), native]) {
    mkdirSync(join(directory, name), { recursive: true })
    writeFileSync(
      join(directory, name, 'index.js'),
      `require('node:fs').appendFileSync(${JSON.stringify(mark)}, '${name} of ${directory}\\n')`,
    )
  }
  return directory
}

/**
 * A copy of the program in `<dir>/opt/app`, run with packages planted wherever Node would look for
 * them. Says what was loaded, and whether the copy batches UDP.
 */
async function run(t: Test, packages: readonly string[]) {
  const dir = t.testdir({ opt: { app: {} }, home: {} })
  for (const open of [dir, join(dir, 'opt'), join(dir, 'opt', 'app')]) chmodSync(open, 0o755)
  const [app, mark] = [join(dir, 'opt', 'app'), join(dir, 'loaded')]
  cpSync(dirname(CLI), join(app, 'dist'), { recursive: true })
  for (const name of ['package.json', 'resolvers.json']) cpSync(join(root, name), join(app, name))
  for (const name of packages) cpSync(join(root, 'node_modules', name), join(app, 'node_modules', name), { recursive: true })
  const path = [plant(join(dir, 'path'), mark), plant(join(dir, 'home', '.node_modules'), mark)]
  for (const above of [dir, join(dir, 'opt')]) plant(join(above, 'node_modules'), mark)
  plant(join(dir, 'home', '.node_libraries'), mark)
  const resolver = {
    id: 'mine',
    authenticationDomainName: 'dns.example',
    addresses: ['127.0.0.1'],
    transports: { dot: { port: await freePort() } },
  }
  const write = (name: string, value: unknown) => writeFileSync(join(dir, name), JSON.stringify(value), { mode: 0o600 })
  write('set.json', { version: 1, resolvers: [resolver] })
  const files = { resolvers: 'set.json', statusFile: 'run/status.json', stateDir: 'state' }
  write('config.json', {
    listen: [`127.0.0.1:${await freePort()}`],
    ...files,
    udp: 'batch',
    page: { listen: `127.0.0.1:${await freePort()}` },
  })
  const env = { PATH: process.env.PATH ?? '', HOME: join(dir, 'home'), NODE_PATH: path.join(':') }
  const child = spawn(process.execPath, [join(app, 'dist', 'main.js'), 'run', '-c', join(dir, 'config.json')], { env, cwd: dir })
  let said = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (said += chunk))
  while (!said.includes('ready') && child.exitCode === null) await new Promise((resolve) => setTimeout(resolve, 10))
  if (child.exitCode === null) {
    child.kill('SIGTERM')
    await once(child, 'exit')
  }
  return { said, loaded: existsSync(mark) ? readFileSync(mark, 'utf8') : '' }
}

t.test('a package that is not installed with the program is not searched elsewhere', async (t) => {
  const { said, loaded } = await run(t, [])
  t.equal(loaded, '')
  t.match(said, /koffi/, 'batched UDP was asked for, and koffi is not there')
})

const koromix = existsSync(join(root, 'node_modules', '@koromix')) ? readdirSync(join(root, 'node_modules', '@koromix')) : []
t.test('the same without its machine code', { skip: koromix.length === 0 && 'needs koffi' }, async (t) => {
  const { said, loaded } = await run(t, ['koffi'])
  t.equal(loaded, '')
  t.match(said, /koffi/)
})

t.test('an installed package is used', { skip: koromix.length === 0 && 'needs koffi' }, async (t) => {
  const { said, loaded } = await run(t, ['koffi', ...koromix.map((name) => join('@koromix', name))])
  t.equal(loaded, '')
  t.match(said, /^ready$/m)
})
