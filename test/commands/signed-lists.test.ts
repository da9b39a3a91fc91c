import { execFileSync } from 'node:child_process'
import { chmodSync, chownSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { systemClock, systemRandom } from '../../src/clock.ts'
import { listUpdates, unfitness, updateLists } from '../../src/commands/list-updates.ts'
import type { Host } from '../../src/commands/running-service.ts'
import type { ListSource } from '../../src/config/kept-lists.ts'
import { checkConfig, loadConfig } from '../../src/config/load.ts'
import { type Stamp, writeStamp } from '../../src/config/stamps.ts'
import type { Event } from '../../src/events.ts'
import { seenTimes } from '../../src/files/signed.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { listsOfService, resolversRun } from '../support/set-commands.ts'

const host: Host = { services: () => [], likely: () => [], namespace: () => undefined, uid: process.geteuid?.(), statusFiles: [] }
const ALL = { dnssec: true, noLogs: true, noFilter: true }
const stamp = (hostname: string, address: string, certHashes: readonly string[] = []): string =>
  writeStamp({ protocol: 'dot', properties: ALL, address, port: 853, hostname, certHashes } satisfies Stamp)
const HASH = Buffer.alloc(32, 7).toString('base64')

const makeKey = (directory: string, key = 'key') => {
  execFileSync('minisign', ['-G', '-W', '-f', '-p', join(directory, `${key}.pub`), '-s', join(directory, `${key}.sec`)], {
    stdio: 'ignore',
  })
  return readFileSync(join(directory, `${key}.pub`), 'utf8').split('\n')[1] ?? ''
}

const CLAIMS = { logging: false, filtering: 'none', dnssec: true }
const entry = (id: string, address: string, more: object = {}) => ({
  id,
  enabled: true,
  authenticationDomainName: `${id}.example`,
  addresses: [address],
  transports: { dot: { port: 853 } },
  claims: CLAIMS,
  ...more,
})

/** A configuration with one source, whose list and signature stand in a file. */
function scene(t: Test, more: object = {}, legacy = false) {
  const directory = t.testdir({})
  const at = (name: string) => join(directory, name)
  const key = makeKey(directory)
  const set = { version: 1, resolvers: [entry('a', '192.0.2.1'), entry('b', '192.0.2.2'), entry('mine', '192.0.2.3')] }
  writeFileSync(at('set.json'), JSON.stringify(set, null, 2).replace('{', '{ // mine'))
  const sources = [{ id: 'public', file: 'list.md', minisignKey: key }]
  writeFileSync(at('config.json'), JSON.stringify({ resolvers: 'set.json', stateDir: 'state', sources, ...more }))
  const publish = (text: string, time: number, signer = 'key') => {
    writeFileSync(at('list.md'), text)
    const words = ['-S', ...(legacy ? ['-l'] : []), '-s', at(`${signer}.sec`), '-m', at('list.md'), '-t', `timestamp:${time}\tfile:list.md`]
    execFileSync('minisign', words, { stdio: 'ignore' })
  }
  const run = (...words: readonly string[]) => resolversRun([...words, '--config', at('config.json')], { host })
  const resolvers = async () => (await loadConfig(at('config.json'))).resolvers
  return { directory, at, key, publish, run, resolvers }
}

const list = (...entries: readonly (readonly [id: string, ...stamps: string[]])[]) =>
  entries.map(([id, ...stamps]) => `## ${id}\n\n${stamps.join('\n')}\n`).join('\n')
const OLD = list(['a', stamp('a.example', '192.0.2.1')], ['b', stamp('b.example', '192.0.2.2')])
const NEW = list(
  ['a', stamp('a.example', '192.0.2.9')],
  ['b', stamp('b.example', '192.0.2.2', [HASH])],
  ['c', stamp('c.example', '192.0.2.4')],
)

for (const legacy of [false, true])
  t.test(`a list (${legacy ? 'Ed' : 'ED'}) that changes addresses and pins of resolvers in use waits for a person`, async (t) => {
    const { at, publish, run, resolvers } = scene(t, {}, legacy)
    publish(OLD, 1000)
    const first = await run('update')
    t.equal(first.code, 0, first.err)
    t.match(first.out, /public: 2 entries, signed 1970-01-01T00:16:40.000Z; 0 are not in the set, 0 changes wait\./)
    publish(NEW, 2000)
    const second = await run('update', '--json')
    t.equal(second.code, 0)
    t.match(JSON.parse(second.out), {
      sources: [
        {
          id: 'public',
          entries: 3,
          changes: [
            { resolver: 'a', what: ['addresses'] },
            { resolver: 'b', what: ['pins'] },
          ],
          new: ['c'],
        },
      ],
    })
    t.match(await resolvers(), [{ addresses: ['192.0.2.1'] }, { addresses: ['192.0.2.2'] }, {}], 'nothing is in force yet')
    const accepted = await run('accept', 'a')
    t.equal(accepted.code, 0, accepted.err)
    t.match((await resolvers())[0], { id: 'a', addresses: ['192.0.2.9'] })
    t.equal((await resolvers())[1]?.certHashes, undefined)
    t.equal((await run('accept')).code, 0)
    t.match(await resolvers(), [{ addresses: ['192.0.2.9'] }, { certHashes: [HASH] }, { id: 'mine', addresses: ['192.0.2.3'] }])
    t.match(readFileSync(at('set.json'), 'utf8'), /\/\/ mine[\s\S]*"id": "c",\n {6}"list": "public",\n {6}"enabled": false/)
    t.match((await run('update')).out, /0 are not in the set, 0 changes wait\./)
    t.equal((await run('accept', 'nobody')).code, 1)
  })

t.test('accept applies only what was shown: a list that became newer meanwhile is shown first', async (t) => {
  const { at, publish, run, resolvers } = scene(t)
  publish(list(['a', stamp('a.example', '192.0.2.1')], ['b', stamp('b.example', '192.0.2.8')]), 1000)
  t.match((await run('update')).out, /b: addresses/)
  // The service fetches the next list after the person has looked.
  publish(NEW, 2000)
  const source = { id: 'public', file: at('list.md'), minisignKey: readFileSync(at('key.pub'), 'utf8').split('\n')[1] ?? '' }
  await updateLists([source], at('state'), { clock: systemClock(), lookup: async () => [] })
  const before = readFileSync(at('set.json'), 'utf8')
  const first = await run('accept')
  t.equal(first.code, 1)
  t.match(first.out, /a: addresses: \{"addresses":\["192\.0\.2\.1"\]\} -> \{"addresses":\["192\.0\.2\.9"\]\}/)
  t.match(first.err, /These changes were not shown before, .* nothing was changed\. To apply them, run the same command again\./)
  t.equal(readFileSync(at('set.json'), 'utf8'), before)
  t.equal((await run('accept')).code, 0)
  t.match(await resolvers(), [{ addresses: ['192.0.2.9'] }, { addresses: ['192.0.2.2'], certHashes: [HASH] }, {}])
})

t.test('a list that is tampered with, cut, foreign or rolled back changes nothing, and the last good one stays', async (t) => {
  const { directory, at, publish, run } = scene(t)
  makeKey(directory, 'other')
  t.equal((await run('accept')).code, 1, 'nothing was fetched yet')
  publish(NEW, 2000)
  t.equal((await run('update')).code, 0)
  const bad = async (what: string, reason: RegExp) => {
    const { code, out } = await run('update')
    t.equal(code, 4, what)
    t.match(out, reason, what)
    t.match(out, /public: 3 entries, signed 1970-01-01T00:33:20/, `${what}: the good one is kept`)
  }
  writeFileSync(at('list.md'), NEW.replace('192', '193').replace('## a', '## evil'))
  await bad('tampered', /public is not what the key signed: the signature does not match its content/)
  writeFileSync(at('list.md'), NEW.slice(0, -20))
  await bad('cut', /the signature does not match/)
  publish(OLD, 1000)
  await bad('rolled back', /is older \(1970-01-01T00:16:40Z\) than the one that was accepted before/)
  publish(OLD, 3000, 'other')
  await bad('another key', /another key signed it/)
  // The kept copy is checked again, too.
  const kept = join(at('state'), 'resolver-lists', 'public.signed')
  const octets = readFileSync(kept)
  octets.writeUInt8(octets.readUInt8(octets.length - 3) ^ 1, octets.length - 3)
  writeFileSync(kept, octets)
  const { code, err } = await run('accept')
  t.equal(code, 4)
  t.match(err, /public is not what the key signed/)
})

t.test('"updates": "apply": what a proven list says is in force at the next load, and an older copy is not', async (t) => {
  const { at, publish, run, resolvers } = scene(t, { updates: 'apply' })
  publish(OLD, 1000)
  await run('update')
  const kept = join(at('state'), 'resolver-lists', 'public.signed')
  const old = readFileSync(kept)
  publish(NEW, 2000)
  t.equal((await run('update')).code, 0)
  t.match(await resolvers(), [{ id: 'a', addresses: ['192.0.2.9'], ca: undefined }, { certHashes: [HASH] }, { addresses: ['192.0.2.3'] }])
  t.match(readFileSync(at('set.json'), 'utf8'), /192\.0\.2\.1/, 'the file stays')
  t.ok((await loadConfig(at('config.json'))).files.includes(kept), 'a new copy is a reload')
  writeFileSync(kept, old)
  t.match((await resolvers())[0], { addresses: ['192.0.2.1'] })
})

t.test('entries of a set that a person wrote, or that another list maintains, are not changed', async (t) => {
  const { at, publish, run } = scene(t)
  const own = [entry('a', '198.51.100.1', { authenticationDomainName: 'another.example' }), entry('b', '192.0.2.2', { list: 'second' })]
  writeFileSync(at('set.json'), JSON.stringify({ version: 1, resolvers: own }))
  const config = JSON.parse(readFileSync(at('config.json'), 'utf8'))
  config.sources.push({ ...config.sources[0], id: 'second', file: 'absent.md' })
  writeFileSync(at('config.json'), JSON.stringify(config))
  publish(NEW, 1000)
  const { out, code } = await run('update')
  t.equal(code, 1, 'the other list is not there')
  t.match(out, /public: 3 entries, .* 0 changes wait/)
  t.match(out, /second cannot be read \(ENOENT\)/)
  const accepted = await run('accept')
  t.equal(accepted.code, 1, 'not every list was read')
  t.match(accepted.err, /second was not read yet, or was always refused; this says why: enigm-dns resolvers update/)
})

t.test('a running service reports what a list would change, once, and what it refused', async (t) => {
  const { at, publish } = scene(t)
  publish(NEW, 1000)
  const clock = new FakeClock()
  const events: Event[] = []
  const updates = listUpdates({ clock, random: systemRandom, lookup: async () => [], report: (event) => void events.push(event) })
  updates.adopt(await loadConfig(at('config.json')))
  const settle = async (ms: number) => {
    clock.advance(ms)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  t.match(events, [{ type: 'seen.sources', sources: [{ id: 'public', state: 'none', changes: [] }] }])
  t.notOk(JSON.stringify(events).includes('why'), 'a list that is about to be read has no fault')
  await settle(1100)
  t.match(events.at(-1), {
    sources: [
      {
        id: 'public',
        state: 'current',
        entries: 3,
        signedS: 1000,
        changes: [
          { id: 'a', what: ['addresses'], from: '{"addresses":["192.0.2.1"]}', to: '{"addresses":["192.0.2.9"]}' },
          { id: 'b', what: ['pins'] },
        ],
      },
    ],
  })
  const before = events.length
  await settle(10_100)
  t.equal(events.length, before, 'nothing new, no event')
  publish(OLD, 900)
  await settle(10_100)
  t.match(events.at(-1), { sources: [{ state: 'old', why: /is older/, entries: 3 }] })
  updates.stop()
})

t.test('what a person added to an entry stays, and a change that no set may hold is left out', async (t) => {
  const { at, publish, run, resolvers } = scene(t, { updates: 'apply' })
  const key = Buffer.alloc(32, 5).toString('base64')
  const providerName = '2.dnscrypt-cert.a.example'
  const own = entry('a', '192.0.2.1', {
    operator: 'A',
    list: 'public',
    transports: { dot: { port: 853 }, doq: { port: 853 }, dnscrypt: { providerName, publicKey: key, port: 443, relay: 'anon' } },
  })
  const relays = [{ id: 'anon', operator: 'R', type: 'dnscrypt', addresses: ['192.0.2.200'] }]
  writeFileSync(at('set.json'), JSON.stringify({ version: 1, resolvers: [own], relays }))
  const listed = (address: string, port: number) => {
    const claims = { claims: CLAIMS, authenticationDomainName: 'a.example' }
    const transports = { dot: { port }, dnscrypt: { providerName, publicKey: key, port: 444 } }
    return JSON.stringify({ version: 1, resolvers: [{ id: 'a', addresses: [address], transports, ...claims }] })
  }
  publish(listed('192.0.2.1', 853), 1000)
  t.match((await run('update')).out, /1 change is applied/)
  const kept = { doq: { port: 853 }, dnscrypt: { port: 444, relay: 'anon' } }
  t.match(await resolvers(), [{ transports: kept, dnscryptRelay: { id: 'anon' } }])
  t.equal((await run('accept')).code, 0)
  t.match(JSON.parse(readFileSync(at('set.json'), 'utf8')).resolvers, [{ transports: kept }])
  t.match((await run('update')).out, /0 changes are applied/, 'and it is compared with what stays')
  publish(listed('192.0.2.200', 853), 2000)
  t.equal((await run('update')).code, 0)
  t.match(await resolvers(), [{ addresses: ['192.0.2.1'] }], 'the resolver would be at the address of its relay')
  const nowhere = writeStamp({ protocol: 'dot', properties: ALL, port: 853, hostname: 'a.example', certHashes: [] })
  publish(list(['a', nowhere]), 3000)
  await run('update')
  t.match(await resolvers(), [{ addresses: ['192.0.2.1'] }], 'a stamp without an address takes none away')
})

t.test('exit code 4 is for signatures alone', async (t) => {
  const { at, publish, run } = scene(t)
  publish('no list', 1000)
  t.equal((await run('update')).code, 1)
  publish(NEW, 2000)
  t.equal((await run('update')).code, 0)
  writeFileSync(join(at('state'), 'signed.json'), '{')
  t.equal((await run('update')).code, 1)
  t.equal((await run('accept')).code, 1)
})

t.test('a file that may not be looked at ends nothing, and is taken once it may', async (t) => {
  const { at, publish } = scene(t)
  const config = JSON.parse(readFileSync(at('config.json'), 'utf8'))
  const { file } = config.sources[0]
  writeFileSync(at('plain'), '')
  const loaded = await loadConfig(at('config.json'))
  // A part of the path is a file: ENOTDIR, which is not "no such file".
  const source = { ...(loaded.config.sources ?? [])[0], file: join(at('plain'), file) } as ListSource
  const clock = new FakeClock()
  const events: Event[] = []
  const updates = listUpdates({ clock, random: systemRandom, lookup: async () => [], report: (event) => void events.push(event) })
  updates.adopt({ ...loaded, config: { ...loaded.config, sources: [source] } })
  const settle = async (ms: number) => {
    clock.advance(ms)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  await settle(1100)
  t.match(events.at(-1), { sources: [{ state: 'none', why: /ENOTDIR/ }] })
  updates.adopt(loaded)
  publish(NEW, 1000)
  await settle(3100)
  await settle(3100)
  t.match(events.at(-1), { sources: [{ state: 'current' }] })
  updates.stop()
})

const problems = async (file: string) => (await checkConfig(file)).problems.map(({ path, message }) => `${path}: ${message}`)

t.test('sources and policyFrom: each fault has its sentence', async (t) => {
  const { at, key } = scene(t)
  for (const [config, clause] of [
    [{ sources: [{ id: 'x', minisignKey: key }] }, /sources\[0\]: must name where the list is/],
    [{ sources: [{ id: 'x', file: 'a', url: 'https://a.example/b', minisignKey: key }] }, /must name where the list is/],
    [{ sources: [{ id: 'x', url: 'http://a.example/b', minisignKey: key }] }, /sources\[0\]\.url: must begin with https/],
    [{ sources: [{ id: 'x', file: 'a', minisignKey: 'RWnonsense' }] }, /sources\[0\]\.minisignKey: must be the public key of minisign/],
    [
      {
        sources: [
          { id: 'x', file: 'a', minisignKey: key },
          { id: 'x', file: 'b', minisignKey: key },
        ],
      },
      /names an item twice/,
    ],
    [{ updates: 'always' }, /updates: must be one of: ask, apply/],
    [{ policyFrom: { file: 'absent.json', minisignKey: key } }, /cannot be read: there is no such file/],
  ] as const) {
    writeFileSync(at('bad.json'), JSON.stringify({ resolvers: 'set.json', ...config }))
    t.match((await problems(at('bad.json'))).join('\n'), clause)
  }
})

t.test('a signed policy: the configuration tightens it and never relaxes it', async (t) => {
  const { directory, at, key } = scene(t)
  const sign = (time: number, signer = 'key') =>
    execFileSync('minisign', ['-S', '-s', at(`${signer}.sec`), '-m', at('org.json'), '-t', `timestamp:${time}\tfile:org.json`], {
      stdio: 'ignore',
    })
  const org = {
    minimumUsageProfile: 'strict',
    transports: ['dot'],
    vpn: 'preferred',
    vpnInterfaces: ['wg0'],
    audit: 'on',
    networks: [{ name: 'office', match: { gateway: '10.0.0.1' }, vpn: 'required' }],
  }
  writeFileSync(at('org.json'), JSON.stringify(org))
  sign(2000)
  const policyFrom = { file: 'org.json', minisignKey: key }
  const write = (more: object) =>
    writeFileSync(at('config.json'), JSON.stringify({ resolvers: 'set.json', stateDir: 'state', transports: ['dot'], policyFrom, ...more }))
  write({})
  t.match((await loadConfig(at('config.json'))).config.policy, org)
  t.strictSame((await loadConfig(at('config.json'))).files.includes(at('org.json')), true)
  write({ policy: { vpn: 'required', minimumOperators: 2, networks: [{ name: 'home', match: { gateway: '10.0.0.2' } }] } })
  t.match((await loadConfig(at('config.json'))).config.policy, {
    ...org,
    vpn: 'required',
    minimumOperators: 2,
    networks: [{ name: 'office' }, { name: 'home' }],
    unsignedNetworks: ['home'],
  })
  write({ policy: { audit: 'required', allowCleartext: [] } })
  t.match((await loadConfig(at('config.json'))).config.policy, { audit: 'required', allowCleartext: [] }, 'both are stricter')
  for (const [policy, clause] of [
    [{ vpn: 'off' }, /policy\.vpn: is weaker than the signed policy \(preferred\)/],
    [{ minimumUsageProfile: 'opportunistic' }, /policy\.minimumUsageProfile: is weaker/],
    [{ transports: ['dot', 'doh'] }, /policy\.transports: is weaker than the signed policy \(dot\)/],
    [{ vpnInterfaces: ['wg0', 'eth0'] }, /policy\.vpnInterfaces: "eth0" does not count as a VPN/],
    [{ audit: 'off' }, /policy\.audit: is weaker/],
    [{ allowCleartext: ['corp.example'] }, /policy\.allowCleartext: "corp\.example" may not be asked without encryption by the signed/],
    [
      { networks: [{ name: 'office', match: { gateway: '10.0.0.9' } }] },
      /policy\.networks\[0\]\.name: "office" is the name of a network in the signed policy/,
    ],
  ] as const) {
    write({ policy })
    t.match((await problems(at('config.json'))).join('\n'), clause)
  }
  writeFileSync(at('org.json'), JSON.stringify({ ...org, audit: 'required' }))
  sign(2001)
  write({ policy: { audit: 'on' } })
  t.match((await problems(at('config.json'))).join('\n'), /policy\.audit: is weaker than the signed policy \(required\)/)
  write({ policy: { vpn: 'required' } })
  t.equal((await loadConfig(at('config.json'))).config.policy?.audit, 'required', 'what is not written relaxes nothing')
  write({ usageProfile: 'opportunistic' })
  t.match((await checkConfig(at('config.json'))).problems, [
    { file: at('org.json'), path: 'minimumUsageProfile', message: /requires strict.* \(a rule of the signed policy: only its signer/ },
  ])
  const strictHome = { name: 'home', match: { gateway: '10.0.0.2' }, minimumOperators: 9 }
  write({ policy: { networks: [strictHome] } })
  t.match((await checkConfig(at('config.json'))).problems, [
    { file: at('config.json'), path: 'policy.networks[0].minimumOperators', message: /requires 9 operators/ },
  ])
  write({})
  writeFileSync(at('org.json'), JSON.stringify({ ...org, vpn: 'off' }))
  t.match(
    (await problems(at('config.json'))).join('\n'),
    /the signature does not match its content; the policy must be the one that was signed/,
  )
  makeKey(directory, 'other')
  sign(3000, 'other')
  t.match((await problems(at('config.json'))).join('\n'), /another key signed it/)
  const { rememberPolicy } = await import('../../src/config/policy-from.ts')
  t.equal(rememberPolicy({ file: at('org.json'), minisignKey: key }, 2000, at('state'), Date.now()), undefined)
  sign(1000)
  t.match((await problems(at('config.json'))).join('\n'), /is older \(1970-01-01T00:16:40Z\)/, 'a weaker one of last year is refused')
})

t.test('"updates": "apply": a list that leaves no resolver is refused, the last good one stays, and a later list is taken', async (t) => {
  const { at, publish, run, resolvers } = scene(t, { updates: 'apply' })
  const owned = ['a', 'b'].map((id, i) => entry(id, `192.0.2.${i + 1}`, { list: 'public' }))
  writeFileSync(at('set.json'), JSON.stringify({ version: 1, resolvers: owned }))
  const EMPTY = list(['z', stamp('z.example', '192.0.2.99')])
  publish(NEW, 1000)
  t.equal((await run('update')).code, 0)
  publish(EMPTY, 2000)
  const refused = await run('update')
  t.equal(refused.code, 1)
  t.match(refused.out, /^public changes resolvers so that no start is possible \(resolvers: no enabled resolver offers dot or doh/)
  t.match(refused.out, /public: 3 entries/, 'the last good one is kept')
  t.match(await resolvers(), [{ addresses: ['192.0.2.9'] }, { certHashes: [HASH] }])
  publish(OLD, 3000)
  t.equal((await run('update')).code, 0)
  t.match(await resolvers(), [{ addresses: ['192.0.2.1'] }, {}])

  // A kept list can still make a start impossible: after an edit of the set or the configuration.
  const both = [...owned, entry('mine', '192.0.2.3')]
  writeFileSync(at('set.json'), JSON.stringify({ version: 1, resolvers: both }))
  publish(EMPTY, 4000)
  t.equal((await run('update')).code, 0)
  t.match(await resolvers(), [{ id: 'mine' }])
  writeFileSync(at('set.json'), JSON.stringify({ version: 1, resolvers: owned }))
  const said = (await problems(at('config.json'))).join('\n')
  t.match(said, /^sources: the list public changes resolvers so that no start is possible \(resolvers: no enabled/)
  t.match(said, /run enigm-dns resolvers update when it is corrected, or set "updates": "ask"$/)
  publish(OLD, 5000)
  t.equal((await run('update')).code, 0)
  t.match(await resolvers(), [{ id: 'a' }, { id: 'b' }], 'a corrected list mends it')
})

t.test('"updates": "apply": a running service keeps no list that leaves no resolver', async (t) => {
  const { at, publish } = scene(t, { updates: 'apply' })
  writeFileSync(at('set.json'), JSON.stringify({ version: 1, resolvers: [entry('a', '192.0.2.1', { list: 'public' })] }))
  publish(list(['z', stamp('z.example', '192.0.2.99')]), 1000)
  const { events, updates } = await listsOfService(at('config.json'), async (source, reading) =>
    unfitness(await checkConfig(at('config.json'), { lists: { id: source.id, reading } }), source),
  )
  t.match(events.at(-1), { sources: [{ state: 'none', why: /^changes resolvers so that no start is possible/ }] })
  t.match((await loadConfig(at('config.json'))).resolvers, [{ id: 'a' }])
  updates.stop()
})

t.test('"updates": "apply": what the service reports is what is in force', async (t) => {
  const { at, publish, run } = scene(t, { updates: 'apply', use: ['a', 'b', 'mine'] })
  const owned = [entry('a', '192.0.2.1', { list: 'public' }), entry('b', '192.0.2.2', { list: 'public' }), entry('mine', '192.0.2.3')]
  writeFileSync(at('set.json'), JSON.stringify({ version: 1, resolvers: owned }))
  publish(list(['a', stamp('other.example', '192.0.2.9')]), 1000)
  const { events, updates } = await listsOfService(at('config.json'))
  const expected = [
    { id: 'b', what: ['withdrawn'], applied: undefined },
    { id: 'a', what: ['names', 'addresses'], from: /a\.example/, to: /other\.example/, applied: true },
  ]
  t.match(events.at(-1), { sources: [{ state: 'current', changes: expected }] }, 'the next reload applies it')
  const loaded = await loadConfig(at('config.json'))
  t.match(loaded.resolvers, [{ authenticationDomainName: 'other.example' }, { id: 'b' }, {}])
  updates.adopt(loaded)
  t.match(events.at(-1), { sources: [{ changes: expected }] }, 'the status still shows it, and a withdrawn resolver that `use` names')
  t.match(
    (await run('update')).out,
    /2 changes are applied without a change of the set \("updates": "apply"\) \(write them into the set with/,
  )
  const { use: _use, ...config } = JSON.parse(readFileSync(at('config.json'), 'utf8'))
  writeFileSync(at('config.json'), JSON.stringify(config))
  updates.adopt(await loadConfig(at('config.json')))
  t.match(events.at(-1), { sources: [{ changes: [{ id: 'a' }, { id: 'b', what: ['withdrawn'], applied: true }] }] })
  writeFileSync(at('config.json'), JSON.stringify({ ...config, updates: 'ask', use: ['a', 'b'] }))
  writeFileSync(at('set.json'), JSON.stringify({ version: 1, resolvers: owned.map((one) => ({ ...one, enabled: false })) }))
  updates.adopt(await loadConfig(at('config.json')))
  t.match(events.at(-1), {
    sources: [
      {
        changes: [
          { id: 'a', applied: undefined },
          { id: 'b', what: ['withdrawn'] },
        ],
      },
    ],
  })
  updates.stop()
})

t.test('a byte order mark is part of what was signed, and no fault of a list or a policy', async (t) => {
  const { at, key, publish, run } = scene(t)
  publish(`\uFEFF${JSON.stringify({ version: 1, resolvers: [entry('a', '192.0.2.1')] })}`, 1000)
  const { code, out } = await run('update')
  t.equal(code, 0, out)
  t.match(out, /public: 1 entry/)
  writeFileSync(at('org.json'), '\uFEFF{ "vpn": "preferred" }')
  execFileSync('minisign', ['-S', '-s', at('key.sec'), '-m', at('org.json')], { stdio: 'ignore' })
  writeFileSync(
    at('config.json'),
    JSON.stringify({ resolvers: 'set.json', stateDir: 'state', policyFrom: { file: 'org.json', minisignKey: key } }),
  )
  t.match((await loadConfig(at('config.json'))).config.policy, { vpn: 'preferred' })
})

t.test('a list that was signed in the future is refused, and correct ones are accepted after it', async (t) => {
  const { at, key, publish, run } = scene(t)
  publish(OLD, 9_999_999_999)
  const refused = await run('update')
  t.equal(refused.code, 4)
  t.match(refused.out, /public was signed in the future \(2286-11-20T17:46:39Z\), .* set the clock of this host if it is wrong/)
  t.equal((await run('import', at('list.md'), '--minisign-key', key)).code, 4)
  publish(OLD, 2000)
  t.equal((await run('update')).code, 0)
  const { rememberPolicy } = await import('../../src/config/policy-from.ts')
  const source = { file: at('org.json'), minisignKey: key }
  t.match(rememberPolicy(source, 9_999_999_999, at('state'), Date.now()), /is not remembered: it was signed in the future/)
})

t.test('a record of earlier lists that cannot be read is not called damaged', (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'enigm-dns-signed-'))
  t.teardown(() => rmSync(directory, { recursive: true }))
  chmodSync(directory, 0o755)
  writeFileSync(join(directory, 'signed.json'), JSON.stringify({ version: 1, seen: {} }), { mode: 0 })
  // Root may read every file.
  const isRoot = process.geteuid?.() === 0
  if (isRoot) process.seteuid?.(61_234)
  const found = seenTimes(directory)
  if (isRoot) process.seteuid?.(0)
  t.match(found, /permission to read .*signed\.json is denied \(EACCES\)/)
  t.end()
})

t.test(
  'root reads and keeps the record of a service that runs as another user',
  { skip: process.geteuid?.() !== 0 && 'needs root' },
  async (t) => {
    const { at, publish, run } = scene(t)
    mkdirSync(at('state'), { mode: 0o700 })
    chownSync(at('state'), 1234, 1234)
    publish(OLD, 2000)
    const first = await run('update')
    t.equal(first.code, 0, first.out)
    publish(NEW, 1000)
    const { code, out } = await run('update')
    t.equal(code, 4)
    t.match(out, /is older/)
    t.equal(statSync(join(at('state'), 'signed.json')).uid, 1234)
  },
)

t.test('a list that cannot be saved says why', async (t) => {
  const { at, publish, run } = scene(t)
  publish(OLD, 1000)
  mkdirSync(at('state'), { mode: 0o700 })
  writeFileSync(join(at('state'), 'resolver-lists'), '')
  const { code, out } = await run('update')
  t.equal(code, 1)
  t.match(out, /public cannot be saved in .*state \(E[A-Z]+\)/)
})
