import { chmodSync, chownSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { serviceCommand, type UnitWorld } from '../../src/commands/install-service.ts'
import { isHidden } from '../../src/system/unit-install.ts'

/** A program that a unit can start on every system: only its path, owner and mode matter. */
const GOOD = realpathSync('/bin/sh')
const asRoot = process.geteuid?.() === 0

interface Situation {
  readonly world?: Partial<UnitWorld>
  /** Prepares the root directory. */
  readonly made?: (root: string) => void
  readonly says: RegExp
}

const runs = (main: string) => ({ program: () => ({ node: GOOD, main }) })

/** A file of another user, in a directory of root that the service can see. */
function ofAnotherUser(t: Test): string {
  const dir = mkdtempSync('/opt/enigm-program-')
  t.teardown(() => rmSync(dir, { recursive: true }))
  chmodSync(dir, 0o755)
  writeFileSync(join(dir, 'main.js'), '', { mode: 0o755 })
  chownSync(join(dir, 'main.js'), 65_534, 65_534)
  return join(dir, 'main.js')
}

/** Runs the command in an empty root directory. */
async function run(t: Test, words: readonly string[], { world = {}, made = () => {} }: Omit<Situation, 'says'>) {
  const root = mkdtempSync(join(tmpdir(), 'enigm-units-'))
  t.teardown(() => rmSync(root, { recursive: true }))
  mkdirSync(join(root, 'etc/systemd/system'), { recursive: true })
  made(root)
  const said = { code: -1, out: '', err: '', systemctl: [] as string[] }
  const all: UnitWorld = {
    out: { write: (text) => (said.out += text) },
    err: { write: (text) => (said.err += text) },
    exit: (code) => {
      said.code = code
    },
    isSystemd: () => true,
    isRoot: () => true,
    program: () => ({ node: GOOD, main: GOOD }),
    notifies: () => true,
    root,
    systemctl: (...args) => {
      said.systemctl.push(args.join(' '))
      return { code: 0, stdout: '', stderr: '' }
    },
    ...world,
  }
  await serviceCommand(all).parseAsync(words, { from: 'user' })
  const hide = (text: string) => text.replaceAll(root, '')
  return { ...said, out: hide(said.out), err: hide(said.err), units: readdirSync(join(root, 'etc/systemd/system')) }
}

const SITUATIONS: Readonly<Record<string, Situation>> = {
  'no systemd': { world: { isSystemd: () => false }, says: /^systemd does not run this system: docs\/service\.md/ },
  'not root': { world: { isRoot: () => false }, says: /^Only root can change services: run this with sudo\.\n$/ },
  'a home directory': { world: runs('/root/enigm-dns/dist/main.js'), says: /^\/root\/.* is in a directory that the service cannot see/ },
  'another home': { world: runs('/home/u/.nvm/main.js'), says: /^\/home\/u\/.*install it for all users/ },
  'a temporary directory': { world: runs('/tmp/enigm-dns/dist/main.js'), says: /^\/tmp\/.* is in a directory that the service cannot see/ },
  'not root, and a home directory': {
    world: { isRoot: () => false, ...runs('/home/u/main.js') },
    says: /^Only root can change services: run this with sudo\.\n\/home\/u\/main\.js is in a directory/,
  },
  'a character with a meaning in units': { world: runs('/opt/50% off/main.js'), says: /contains a character with a special meaning/ },
  'a unit of somebody else': {
    made: (root) => writeFileSync(join(root, 'etc/systemd/system/enigm-dns.service'), '[Service]\n'),
    says: /^\/etc\/systemd\/system\/enigm-dns\.service was not written by this program: move it away\.\n$/,
  },
}

for (const [what, { says, ...situation }] of Object.entries(SITUATIONS))
  t.test(`${what}: --dry-run refuses with the code and the sentences of the command, and both change nothing`, async (t) => {
    const dry = await run(t, ['install', '--dry-run'], situation)
    t.match(dry.err, says)
    t.equal(dry.code, 3)
    t.match(dry.out, /^# \/etc\/systemd\/system\/enigm-dns\.socket$/m, 'what would be written is shown in any case')
    const wet = await run(t, ['install'], situation)
    t.strictSame({ code: wet.code, err: wet.err }, { code: dry.code, err: dry.err })
    for (const one of [dry, wet]) t.strictSame([one.systemctl, one.units.filter((name) => name.endsWith('.socket'))], [[], []])
  })

t.test('a program of another user, and a directory in which no unit can be written', { skip: asRoot ? false : 'needs root' }, async (t) => {
  const world = runs(ofAnotherUser(t))
  const dry = await run(t, ['install', '--dry-run'], { world })
  t.match(dry, { code: 3, err: /main\.js belongs to user 65534, who could change the program/ })
  const { code, err, units } = await run(t, ['install'], { world })
  t.strictSame({ code, err, units }, { code: dry.code, err: dry.err, units: [] })
  const closed = { world: { root: '/proc' } }
  const inProc = await run(t, ['install', '--dry-run'], closed)
  t.match(inProc, { code: 3, err: /^The units cannot be written to \/etc\/systemd\/system \(ENOENT\)\.\n$/ })
  t.match((await run(t, ['install'], closed)).err, inProc.err)
})

t.test('without a refusal: --dry-run shows the files that the command writes', { skip: asRoot ? false : 'needs root' }, async (t) => {
  const dry = await run(t, ['install', '--dry-run'], {})
  t.match(dry, { code: 0, err: '', systemctl: [], units: [] })
  let root = ''
  const wet = await run(t, ['install'], {
    made: (at) => {
      root = at
    },
  })
  t.match(wet, { code: 0, err: '', systemctl: ['daemon-reload', 'try-restart enigm-dns.service'] })
  for (const name of wet.units) t.ok(dry.out.includes(readFileSync(join(root, 'etc/systemd/system', name), 'utf8')), name)
})

t.test('uninstall --dry-run refuses as the command does', async (t) => {
  const cases: readonly (readonly [Partial<UnitWorld>, RegExp])[] = [
    [{ isSystemd: () => false }, /^systemd does not run this system/],
    [{ isRoot: () => false }, /^Only root can change services/],
  ]
  for (const [world, says] of cases) {
    const dry = await run(t, ['uninstall', '--dry-run'], { world })
    t.match(dry, { code: 3, err: says, out: /^systemctl disable --now /m })
    const wet = await run(t, ['uninstall'], { world })
    t.strictSame({ code: wet.code, err: wet.err, systemctl: wet.systemctl }, { code: 3, err: dry.err, systemctl: [] })
  }
  t.match(await run(t, ['uninstall', '--dry-run'], {}), { code: 0, err: '', systemctl: [] })
})

t.test('a hidden directory that is a link hides its target too', async (t) => {
  const real = (directory: string) => (directory === '/home' ? '/var/home' : directory)
  t.equal(isHidden('/var/home/u/main.js', real), true)
  t.equal(isHidden('/home/u/main.js', real), true)
  t.equal(isHidden('/var/homes/main.js', real), false)
  t.equal(isHidden('/usr/lib/enigm-dns/main.js'), false)
})
