import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { importCommand } from '../../src/commands/import.ts'
import { PROJECT_ROOT } from '../support/readme.ts'

function scene(t: Test) {
  const dir = mkdtempSync(join(tmpdir(), 'enigm-import-'))
  t.teardown(() => rmSync(dir, { recursive: true }))
  const run = async (...args: readonly string[]) => {
    const said = { out: '', err: '', code: -1 }
    const world = {
      out: { write: (text: string) => (said.out += text) },
      err: { write: (text: string) => (said.err += text) },
      exit: (code: number) => {
        said.code = code
      },
    }
    await importCommand(world).parseAsync(args, { from: 'user' })
    return said
  }
  return { dir, run }
}
const sample = (name: string) => join(PROJECT_ROOT, 'test/importers/samples', name)

t.test('without --out: the configuration is printed, and the report goes to standard error', async (t) => {
  const { run } = scene(t)
  const { out, err, code } = await run('--from', 'unbound', sample('unbound.conf'))
  t.match(JSON.parse(out), { use: ['quad9'], listen: ['127.0.0.1:53', '192.168.1.1:5353', '[::1]:53'] })
  t.match(err, /^line 2 +left out +include-toplevel: .* -> .*import it too/)
  t.match(
    err,
    /\d+ taken, \d+ the same here, \d+ left out; \d+ comments and empty lines\nThe new configuration asks: quad9 \(Quad9 Foundation\)\.\n$/,
  )
  t.equal(code, 1)
  const all = JSON.parse((await run('--from', 'unbound', sample('unbound.conf'), '--json')).out)
  t.match(all, {
    config: { use: ['quad9'] },
    files: [],
    resolvers: ['quad9'],
    lines: [{ line: 2, verdict: 'left out', says: /import it too/ }],
  })
})

t.test('with --out: files beside it, none is overwritten', async (t) => {
  const { run, dir } = scene(t)
  const place = join(dir, 'new.json')
  const { out, code } = await run('--from', 'adguardhome', sample('AdGuardHome.yaml'), '--out', place)
  t.equal(code, 1)
  t.match(out, /line 37 +left out/)
  t.match(JSON.parse(readFileSync(place, 'utf8')), { resolvers: 'new.resolvers.json' })
  t.equal(statSync(place).mode & 0o777, 0o600)
  t.match(readFileSync(join(dir, 'new.resolvers.json'), 'utf8'), /192\.0\.2\.53/)
  t.equal(readFileSync(join(dir, 'adguard-user-rules.txt'), 'utf8').split('\n').length, 3)
  const again = await run('--from', 'adguardhome', sample('AdGuardHome.yaml'), '--out', place)
  t.match(again, { code: 1, err: /Nothing was written, because .*new\.json.* exists/ })
  rmSync(place)
  t.match((await run('--from', 'adguardhome', sample('AdGuardHome.yaml'), '--out', place)).err, /adguard-user-rules\.txt/)
  t.notOk(existsSync(place), 'not a part of it either')
})

t.test('everything is taken; a password is not shown; a file of another form', async (t) => {
  const { run, dir } = scene(t)
  const file = join(dir, 'f')
  const from = async (source: string, text: string) => {
    writeFileSync(file, text)
    return run('--from', source, file)
  }
  t.equal((await from('unbound', 'server:\n  interface: 127.0.0.1\n')).code, 0)
  const secret = await from('pihole', 'PIHOLE_DNS_1=1.1.1.1\nWEBPASSWORD=hunter2\n')
  t.match(secret.err, /WEBPASSWORD= \.\.\./)
  t.notMatch(secret.out + secret.err, 'hunter2')
  t.match(await from('dnscrypt-proxy', 'x = [1'), { code: 2, out: '', err: /^import: .*f: line 1 is not TOML: a list does not end/ })
  t.match(await from('adguardhome', '\0\0\0'), { code: 2, err: /^import: / })
  t.match(await run('--from', 'unbound', join(dir, 'none')), { code: 2, err: /none cannot be read/ })
  t.match(await run('--from', 'unbound', dir), { code: 2, err: /cannot be read/ })
})
