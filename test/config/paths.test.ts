import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import t from 'tap'
import { defaultStateDir, defaultStatusFile, shippedResolversFile, thisAccount } from '../../src/config/paths.ts'

const account = (uid: number | undefined, env: Record<string, string> = {}) => ({ uid, env, home: '/home/a', tmp: '/tmp-dir' })

t.test('root has the system directories, for any environment', async (t) => {
  const root = account(0, { XDG_RUNTIME_DIR: '/run/user/0', XDG_STATE_HOME: '/x' })
  t.equal(defaultStatusFile(root), '/run/enigm-dns/status.json')
  t.equal(defaultStateDir(root), '/var/lib/enigm-dns')
})

t.test('others have the XDG directories, and fall back', async (t) => {
  const xdg = account(1000, { XDG_RUNTIME_DIR: '/run/user/1000', XDG_STATE_HOME: '/state' })
  t.equal(defaultStatusFile(xdg), '/run/user/1000/enigm-dns/status.json')
  t.equal(defaultStateDir(xdg), '/state/enigm-dns')
  t.equal(defaultStatusFile(account(1000)), '/tmp-dir/enigm-dns-1000/status.json')
  t.equal(defaultStateDir(account(1000)), '/home/a/.local/state/enigm-dns')
  t.equal(defaultStatusFile(account(undefined)), '/tmp-dir/enigm-dns-user/status.json')
  const relative = account(1000, { XDG_RUNTIME_DIR: 'run', XDG_STATE_HOME: '' })
  t.equal(defaultStatusFile(relative), '/tmp-dir/enigm-dns-1000/status.json', 'a relative path is invalid')
  t.equal(defaultStateDir(relative), '/home/a/.local/state/enigm-dns')
})

t.test('this account', async (t) => {
  t.equal(thisAccount().uid, process.getuid?.())
  t.ok(thisAccount().home.length > 0)
})

t.test('the shipped set is found from source, dist and test build, and not beyond the package', async (t) => {
  const root = await mkdtemp(join(tmpdir(), 'enigm-paths-'))
  t.teardown(() => rm(root, { recursive: true }))
  await mkdir(join(root, 'build/src/config'), { recursive: true })
  await writeFile(join(root, 'resolvers.json'), '{}')
  const from = (path: string) => shippedResolversFile(pathToFileURL(join(root, path)).href)
  t.equal(from('dist/config/load.js'), undefined, 'a resolvers.json without a package beside it is somebody else’s')
  await writeFile(join(root, 'package.json'), '{}')
  for (const path of ['src/config/load.ts', 'dist/config/load.js', 'build/src/config/load.js'])
    t.equal(from(path), join(root, 'resolvers.json'), path)
  t.equal(from('a/b/c/d/e/f/load.js'), undefined)
  t.match(shippedResolversFile(), /resolvers\.json$/, 'and from here')
})
