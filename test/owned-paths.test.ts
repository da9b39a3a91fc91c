import { spawnSync } from 'node:child_process'
import { chmodSync, chownSync, mkdirSync, readdirSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { type PathsSetup, pathFaults, preparePaths } from '../src/owned-paths.ts'

const ACCOUNT = { name: 'service', uid: 61_234, gid: 61_235, groups: [] }

t.test('a closed directory of root with other files in it is not given away', { skip: process.getuid?.() !== 0 }, async (t) => {
  for (const [name, given] of [
    ['tls.key', false],
    ['status.key', true],
  ] as const) {
    const directory = t.testdir()
    const stateDir = join(directory, 'state')
    mkdirSync(stateDir, { mode: 0o700 })
    writeFileSync(join(stateDir, name), 'kept', { mode: 0o600 })
    const setup = { config: { stateDir, statusFile: join(directory, 'run', 'status.json') }, files: [] } as unknown as PathsSetup
    const take = () => preparePaths(setup, ACCOUNT)
    if (given) take()
    else t.throws(take, { code: 'state', message: /^stateDir: .* holds other files, and would be given to user service; name a new/ })
    t.equal(statSync(stateDir).uid, given ? ACCOUNT.uid : 0, name)
  }
})

t.test('a file is never at the path of a directory, or above one', async (t) => {
  const directory = t.testdir()
  mkdirSync(join(directory, 'dir'))
  symlinkSync('dir', join(directory, 'link'))
  const faultsOf = ([stateDir, statusFile, page]: readonly [string, string, string?]) => {
    const config = {
      stateDir: join(directory, stateDir),
      statusFile: join(directory, statusFile),
      page: page && { listen: join(directory, page) },
    }
    return pathFaults({ config, files: [] } as unknown as PathsSetup)
  }
  for (const [said, ...paths] of [
    [/^statusFile: \S+\/both is .* stateDir/, 'both', 'both'],
    [/^statusFile: \S+\/both\.sig is .* stateDir/, 'both.sig', 'both'],
    [/^statusFile: \S+\/both is .* stateDir/, 'both/state', 'both'],
    [/^statusFile: \S+\/link\/both is .* stateDir/, 'dir/both', 'link/both'],
    [
      /^statusFile: \S+\/link\/status\.json is a file of page\.listen|^page\.listen: \S+ is a file of statusFile/,
      'state',
      'link/status.json',
      'dir/status.json',
    ],
    [/^the control socket: \S+\/control\.sock is .* stateDir/, 'run/control.sock', 'run/status.json'],
    [/^the saved cache: \S+\/cache\.sealed is .* stateDir/, 'run/cache.sealed/state', 'run/status.json'],
    [/^page\.listen: \S+\/both is .* stateDir/, 'both', 'run/status.json', 'both'],
    [/^page\.listen: \S+\/both is .* statusFile/, 'state', 'both/status.json', 'both'],
    [/^statusFile: \S+\/both is .* page\.listen/, 'state', 'both', 'both/page.sock'],
    [/^stateDir: \S+\/status\.key is .* statusFile/, 'state', 'state/status.key/status.json'],
  ] as const)
    t.match(faultsOf(paths), [said], paths.join(' '))
  for (const paths of [
    ['both', 'both/status.json'],
    ['both', 'both/run/status.json', 'both/page.sock'],
    ['run/state', 'run/status.json'],
    ['both', 'both2'],
  ] as const)
    t.strictSame(faultsOf(paths), [], paths.join(' '))
})

t.test('a start removes the temporary files of processes that have ended', async (t) => {
  const directory = t.testdir({ state: {}, run: {} })
  const { pid } = spawnSync('true')
  const stateDir = join(directory, 'state')
  const run = join(directory, 'run')
  const kept = [`status.key.${process.ppid}.tmp`, 'status.key', 'status.key.tmp']
  for (const name of [...kept, `status.key.${pid}.tmp`, `starts.json.${pid}.tmp`, `page.token.${process.pid}.tmp`])
    writeFileSync(join(stateDir, name), '', { mode: 0o600 })
  for (const name of [`cache.sealed.${pid}.tmp`, `other.${pid}.tmp`]) writeFileSync(join(run, name), '')
  preparePaths({ config: { stateDir, statusFile: join(run, 'status.json') }, files: [] } as unknown as PathsSetup)
  t.strictSame(readdirSync(stateDir).toSorted(), kept.toSorted())
  t.strictSame(readdirSync(run), [`other.${pid}.tmp`], 'others may use the directory of the status')
})

t.test('files of the user that the service had before may be kept', { skip: process.getuid?.() !== 0 }, async (t) => {
  const directory = t.testdir({ state: {} })
  const stateDir = join(directory, 'state')
  chmodSync(stateDir, 0o700)
  const paths = ['audit.jsonl', 'status.key'].map((name) => join(stateDir, name))
  for (const path of paths) {
    writeFileSync(path, '', { mode: 0o600 })
    chownSync(path, ACCOUNT.uid, ACCOUNT.gid)
  }
  const faults = pathFaults({ config: { stateDir, statusFile: join(directory, 'run', 'status.json') }, files: [] } as unknown as PathsSetup)
  for (const path of paths)
    t.ok(
      faults.some((fault) => fault.includes(`${path} belongs to user 61234`) && fault.includes(`run: chown root ${path}`)),
      path,
    )
})

t.test('lists that were fetched before the first start mark a state directory', async (t) => {
  const stateDir = t.testdir({ 'resolver-lists': {}, 'signed.json': '{}' })
  chmodSync(stateDir, 0o755)
  const config = { stateDir, statusFile: join(t.testdirName, '..', 'run', 'status.json') }
  t.strictSame(pathFaults({ config, files: [] } as unknown as PathsSetup), [])
  writeFileSync(join(stateDir, 'letter.txt'), '')
  rmSync(join(stateDir, 'resolver-lists'), { recursive: true })
  rmSync(join(stateDir, 'signed.json'))
  t.match(pathFaults({ config, files: [] } as unknown as PathsSetup), [/holds other files/])
})
