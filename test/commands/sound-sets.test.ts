import { execFileSync } from 'node:child_process'
import { linkSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { systemRandom } from '../../src/clock.ts'
import { listUpdates } from '../../src/commands/list-updates.ts'
import type { Host } from '../../src/commands/running-service.ts'
import { checkConfig, loadConfig } from '../../src/config/load.ts'
import type { Event } from '../../src/events.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { listsOfService, resolversRun } from '../support/set-commands.ts'

const host: Host = { services: () => [], likely: () => [], namespace: () => undefined, uid: process.geteuid?.(), statusFiles: [] }
const providerName = '2.dnscrypt-cert.a.example'
const publicKey = Buffer.alloc(32, 5).toString('base64')
const crypt = (address: string, more: object = {}) => ({
  id: 'crypt',
  operator: 'C',
  authenticationDomainName: providerName,
  addresses: [address],
  transports: { dnscrypt: { providerName, publicKey, port: 443, ...more } },
})
const home = { id: 'home', authenticationDomainName: 'home.example', addresses: ['192.0.2.53'], transports: { dot: {} } }
const relay = (address: string, more: object = {}) => ({ id: 'r1', operator: 'R', type: 'dnscrypt', addresses: [address], ...more })

/** A set, its configuration with one signed source, and the commands on them. */
function scene(t: Test, resolvers: readonly object[], relays: readonly object[] = []) {
  const directory = t.testdir({})
  const at = (name: string) => join(directory, name)
  execFileSync('minisign', ['-G', '-W', '-f', '-p', at('key.pub'), '-s', at('key.sec')], { stdio: 'ignore' })
  const minisignKey = readFileSync(at('key.pub'), 'utf8').split('\n')[1] ?? ''
  writeFileSync(at('set.json'), JSON.stringify({ version: 1, resolvers, ...(relays.length === 0 ? {} : { relays }) }, null, 2))
  const sources = [{ id: 'public', file: 'list.json', minisignKey }]
  writeFileSync(
    at('config.json'),
    JSON.stringify({
      resolvers: 'set.json',
      stateDir: 'state',
      use: ['home'],
      transports: ['dot', 'dnscrypt'],
      usageProfile: 'opportunistic',
      sources,
    }),
  )
  const publish = (list: object, time: number, text = JSON.stringify({ version: 1, resolvers: [], ...list })) => {
    writeFileSync(at('list.json'), text)
    const words = ['-S', '-s', at('key.sec'), '-m', at('list.json'), '-t', `timestamp:${time}\tfile:list.json`]
    execFileSync('minisign', words, { stdio: 'ignore' })
  }
  const run = (...words: readonly string[]) => resolversRun([...words, '--config', at('config.json')], { host })
  const problems = async () => (await checkConfig(at('config.json'))).problems.map(({ path, message }) => `${path}: ${message}`).join('\n')
  const entries = () => JSON.parse(readFileSync(at('set.json'), 'utf8'))
  return { at, publish, run, problems, entries }
}

t.test('a list names no relay: neither an import nor an update brings a set a relay that it does not have', async (t) => {
  const { at, publish, run, problems, entries } = scene(t, [home])
  writeFileSync(at('other.json'), JSON.stringify({ version: 1, resolvers: [crypt('192.0.2.1', { relay: 'nope' })] }))
  t.equal((await run('import', at('other.json'))).code, 0)
  t.equal(await problems(), '')
  t.match(entries().resolvers[1], { id: 'crypt', transports: { dnscrypt: { port: 443, relay: undefined } } })
  publish({ resolvers: [{ ...crypt('192.0.2.2', { relay: 'nope' }), id: 'second' }] }, 1000)
  t.equal((await run('update')).code, 0)
  t.equal((await run('accept')).code, 0)
  t.match(entries().resolvers[2], { id: 'second', transports: { dnscrypt: { relay: undefined } } })
  t.equal(await problems(), '')
})

t.test('a relay that a list moves to the resolver behind it stays where it was, and the other changes are applied', async (t) => {
  const of = { list: 'public' }
  const { publish, run, problems, entries } = scene(
    t,
    [home, { ...crypt('192.0.2.1', { relay: 'r1' }), ...of }, { ...home, id: 'other', ...of }],
    [relay('192.0.2.200', of)],
  )
  t.equal(await problems(), '')
  publish({ resolvers: [crypt('192.0.2.1'), { ...home, id: 'other', addresses: ['192.0.2.54'] }], relays: [relay('192.0.2.1')] }, 1000)
  t.equal((await run('update')).code, 0)
  const { code, err, out } = await run('accept')
  t.equal(code, 1, out)
  t.match(err, /r1 is not changed: crypt names "r1", but relay and resolver have the address 192\.0\.2\.1/)
  t.match(entries(), { resolvers: [{}, {}, { addresses: ['192.0.2.54'] }], relays: [{ addresses: ['192.0.2.200'] }] })
  t.equal(await problems(), '')
})

t.test('an import leaves out a change after which resolver and relay would be one', async (t) => {
  const of = { list: 'own', enabled: false }
  const { at, run, problems, entries } = scene(t, [home, { ...crypt('192.0.2.1', { relay: 'r1' }), ...of }], [relay('192.0.2.200')])
  writeFileSync(
    at('own.json'),
    JSON.stringify({ version: 1, resolvers: [crypt('192.0.2.200'), { ...home, id: 'more', addresses: ['192.0.2.9'] }] }),
  )
  const { code, out } = await run('import', at('own.json'))
  t.equal(code, 0)
  t.match(out, /1 added .*, 0 changed/)
  t.match(out, /crypt is not changed: it names "r1", but relay and resolver have the address/)
  t.match(entries().resolvers, [{}, { addresses: ['192.0.2.1'] }, { id: 'more' }])
  t.equal(await problems(), '')
})

t.test('a relay that a resolver names is removed only together with it', async (t) => {
  const { run, problems, entries } = scene(t, [home, crypt('192.0.2.1', { relay: 'r1' })], [relay('192.0.2.200')])
  const { code, err } = await run('remove', 'r1')
  t.equal(code, 2)
  t.match(err, /r1 is the relay of crypt/)
  t.equal(entries().relays.length, 1)
  t.equal((await run('remove', 'r1', 'crypt')).code, 0)
  t.equal(await problems(), '')
})

t.test('a set that has a fault of a relay already can be changed, which may be the way to mend it', async (t) => {
  const { at, problems, entries } = scene(t, [home, crypt('192.0.2.1', { relay: 'r1' })])
  t.match(await problems(), /"r1" is not in "relays"/)
  const places = { configFile: at('config.json'), resolversFile: undefined }
  t.equal((await resolversRun(['remove', 'home', '--set', at('set.json')], { host, places })).code, 0)
  t.match(entries().resolvers, [{ id: 'crypt' }])
})

t.test('another path of the set in use is the set in use', async (t) => {
  const { at, run, entries } = scene(t, [home, { ...home, id: 'other', list: 'public-list' }])
  symlinkSync(at('set.json'), at('alias.json'))
  linkSync(at('set.json'), at('hard.json'))
  writeFileSync(
    at('config.json'),
    JSON.stringify({
      ...JSON.parse(readFileSync(at('config.json'), 'utf8')),
      use: undefined,
      forward: [{ zone: 'corp.example', to: ['other'] }],
    }),
  )
  const changed = { ...home, id: 'other', addresses: ['192.0.2.77'] }
  writeFileSync(at('public-list.json'), JSON.stringify({ version: 1, resolvers: [changed] }))
  for (const set of ['set.json', 'alias.json', 'hard.json']) {
    const { out, code } = await run('import', at('public-list.json'), '--set', at(set))
    t.equal(code, 0)
    t.match(out, /other is in use, and the list has other addresses/, set)
    t.match((await run('list', '--set', at(set))).out, /home +in use/, set)
  }
  t.match(entries().resolvers[1], { addresses: ['192.0.2.53'] })
})

t.test('what a signed list maintains, an unsigned one of its name does not change', async (t) => {
  const of = { enabled: false, list: 'public' }
  const { at, publish, run, entries } = scene(t, [home, { ...home, id: 'other', ...of }])
  const moved = (address: string) => JSON.stringify({ version: 1, resolvers: [{ ...home, id: 'other', addresses: [address] }] })
  for (const name of ['public.json', 'public.txt', 'public.md']) {
    writeFileSync(at(name), moved('192.0.2.66'))
    const { code, err } = await run('import', at(name))
    t.equal(code, 4, name)
    t.match(err, /the source "public" maintains the entries of this name.*run: enigm-dns resolvers update/)
  }
  publish(JSON.parse(moved('192.0.2.60')), 1000)
  t.equal((await run('import', at('list.json'), '--minisign-key', at('key.pub'))).code, 0)
  t.equal((await run('accept')).code, 1, 'nothing was fetched')
  t.match(entries().resolvers, [{}, { addresses: ['192.0.2.53'] }, { list: 'list', addresses: ['192.0.2.60'] }])
  const before = readFileSync(at('set.json'), 'utf8')
  for (const name of ['list.json', 'list.md']) {
    writeFileSync(at(name), moved('192.0.2.66'))
    const { code, err } = await run('import', at(name))
    t.equal(code, 4, name)
    t.match(err, /is not checked: an earlier list of this name was signed; name its key with --minisign-key/)
  }
  t.equal(readFileSync(at('set.json'), 'utf8'), before)
  writeFileSync(at('fresh.json'), moved('192.0.2.66'))
  t.equal((await run('import', at('fresh.json'))).code, 0, 'under a name of its own it is a list like any other')
})

t.test('a resolver in use that its list withdraws is reported, also one that only the configuration selects', async (t) => {
  const of = { list: 'public' }
  const other = { ...home, id: 'other', authenticationDomainName: 'other.example', addresses: ['192.0.2.54'] }
  const { at, publish, run, entries } = scene(t, [
    { ...home, ...of, enabled: false },
    { ...other, ...of },
  ])
  publish({ resolvers: [{ ...home, id: 'more', addresses: ['192.0.2.55'] }] }, 1000)
  const first = await run('update')
  t.match(first.out, /2 changes wait/)
  t.match(first.out, /home: withdrawn: the list no longer has it/)
  const events: Event[] = []
  const report = (event: Event) => void events.push(event)
  const updates = listUpdates({ clock: new FakeClock(), random: systemRandom, lookup: async () => [], report })
  updates.adopt(await loadConfig(at('config.json')))
  updates.stop()
  t.match(events, [{ sources: [{ changes: [{ id: 'home', what: ['withdrawn'] }] }] }])
  const { code, out, err } = await run('accept')
  t.equal(code, 1)
  t.match(err, /home is withdrawn and still in use: remove its id in the configuration \("use", "forward", "views"\)/)
  t.match(out, /1 changed, 1 added/)
  t.match(entries().resolvers, [{ enabled: false }, { id: 'other', enabled: false }, { id: 'more' }])
})

t.test('"format" of a source: a list in the other format is refused, and the last good one stays', async (t) => {
  const { at, publish, run } = scene(t, [home])
  const json = { resolvers: [{ ...home, id: 'more', addresses: ['192.0.2.55'] }] }
  const config = JSON.parse(readFileSync(at('config.json'), 'utf8'))
  const write = (format: string) =>
    writeFileSync(at('config.json'), JSON.stringify({ ...config, sources: [{ ...config.sources[0], format }] }))
  write('stamps-md')
  publish(json, 1000)
  const wrong = await run('update')
  t.equal(wrong.code, 1)
  t.match(wrong.out, /public is JSON, but the source has "format": "stamps-md"/)
  write('json')
  t.equal((await run('update')).code, 0)
  t.match((await run('update')).out, /public: 1 entry/)
  publish(json, 2000, '## one\n')
  const other = await run('update')
  t.equal(other.code, 1)
  t.match(other.out, /public does not begin like JSON, but the source has "format": "json"/)
  t.match(other.out, /public: 1 entry, signed 1970-01-01T00:16:40/)
})

t.test('a kept copy that was tampered with is named even if the source cannot be read', async (t) => {
  const { at, publish, run } = scene(t, [home])
  publish({ resolvers: [{ ...home, id: 'more', addresses: ['192.0.2.55'] }] }, 1000)
  t.equal((await run('update')).code, 0)
  const kept = join(at('state'), 'resolver-lists', 'public.signed')
  const octets = readFileSync(kept)
  octets.writeUInt8(octets.readUInt8(octets.length - 3) ^ 1, octets.length - 3)
  writeFileSync(kept, octets)
  rmSync(at('list.json'))
  const { code, out } = await run('update')
  t.equal(code, 4)
  t.match(out, /public cannot be read \(ENOENT\)\npublic: the kept copy is not what the key signed/)
  const json = await run('update', '--json')
  t.match(JSON.parse(json.out).sources, [{ why: /cannot be read \(ENOENT\); the kept copy is not what the key signed/ }])
  const { events, updates } = await listsOfService(at('config.json'))
  updates.stop()
  t.match(events.at(-1), { sources: [{ state: 'none', why: /ENOENT.*the kept copy is not what the key signed/ }] })
})
