import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { resinfoOf } from '../../src/commands/rank.ts'
import type { Host } from '../../src/commands/running-service.ts'
import { writeStamp } from '../../src/config/stamps.ts'
import { createAuthority, type ServerIdentity } from '../../src/demo/authority.ts'
import { nameFromText, textFromName } from '../../src/dns/name.ts'
import { PROVIDER, Provider, startDnscrypt, startRelay } from '../support/dnscrypt.ts'
import { startDot } from '../support/dot-server.ts'
import { rr } from '../support/messages.ts'
import { addressRecord, replyTo } from '../support/replies.ts'
import { resolversRun } from '../support/set-commands.ts'

const NAME = 'dns.test.example'
const host: Host = { services: () => [], likely: () => [], namespace: () => undefined, uid: process.geteuid?.(), statusFiles: [] }
const authority = await createAuthority()
const identity = await authority.issue({ name: NAME })

/** A resolver on loopback that validates, or only says so. */
async function resolver(t: Test, id: string, validates: boolean, own: ServerIdentity = identity) {
  const server = await startDot({
    identity: own,
    answer(query) {
      const name = textFromName(query.subarray(12))
      const reply = replyTo(query, [addressRecord()])
      if (validates && name.startsWith('broken.')) reply[3] = (reply[3] ?? 0) | 2
      if (validates && name.startsWith('signed.')) reply[3] = (reply[3] ?? 0) | 0x20
      return reply
    },
  })
  t.teardown(() => server.close())
  const entry = {
    id,
    authenticationDomainName: NAME,
    addresses: ['127.0.0.1'],
    transports: { dot: { port: server.port } },
    caFile: 'ca.pem',
  }
  return { entry, server }
}

function scene(t: Test, resolvers: readonly object[], relays: readonly object[] = [], more: object = {}) {
  const directory = t.testdir({
    'ca.pem': authority.certificate,
    'set.json': JSON.stringify({ version: 1, resolvers, relays }, null, 2),
    'config.json': JSON.stringify({ resolvers: 'set.json', stateDir: 'state', ...more }),
  })
  const run = (...words: readonly string[]) => resolversRun([...words, '--config', join(directory, 'config.json')], { host, isTTY: true })
  return { directory, run }
}

t.test('rank: who is fast, who validates, who does not answer; nothing is changed', async (t) => {
  const good = await resolver(t, 'good', true)
  const claims = await resolver(t, 'claims', false)
  const gone = { ...good.entry, id: 'gone', transports: { dot: { port: 1 } } }
  const { directory, run } = scene(t, [gone, good.entry, claims.entry, { ...good.entry, id: 'off', enabled: false }])
  const before = readFileSync(join(directory, 'set.json'), 'utf8')
  const { out, err, code } = await run('rank', '--signed', 'signed.example', '--broken', 'broken.example', '--json')
  t.equal(code, 1, 'one does not answer')
  const { resolvers } = JSON.parse(out) as { readonly resolvers: readonly Record<string, unknown>[] }
  t.equal(resolvers.length, 3)
  const of = (id: string) => resolvers.find((one) => one.resolver === id)
  t.match(of('good'), {
    transport: 'dot',
    ok: true,
    dnssec: 'validates',
    handshakeMs: Number,
    p50Ms: Number,
    p99Ms: Number,
    ede: false,
    resinfo: null,
  })
  t.match(of('claims'), { ok: true, dnssec: 'does not' })
  t.match(resolvers.at(-1), { resolver: 'gone', ok: false, fault: 'connect-refused' })
  t.match(err, /\[#+\.*\] 3 of 3/)
  const shown = await run('rank', 'good', 'off', '--signed', 'signed.example', '--broken', 'broken.example')
  t.equal(shown.code, 0)
  t.match(shown.out, /^RESOLVER +OVER +RESULT +HANDSHAKE +P50 +P99 +PADDED +DNSSEC/)
  t.match(shown.out, /good +dot +ok +[\d.]+ ms/)
  t.match(shown.out, /Nothing was changed\. To use some of them, .* "use": \["/)
  t.equal(readFileSync(join(directory, 'set.json'), 'utf8'), before)
  t.equal((await run('rank', 'nobody')).code, 2)
})

t.test('a resolver that names a relay is reached through it by every command, or not at all', async (t) => {
  const provider = new Provider()
  const dotHere = rr({ type: 64, rdata: Uint8Array.from([0, 1, ...nameFromText('dns.example'), 0, 1, 0, 4, 3, ...Buffer.from('dot')]) })
  const answer = (query: Uint8Array) => replyTo(query, [textFromName(query.subarray(12)).startsWith('_dns.') ? dotHere : addressRecord()])
  const server = await startDnscrypt({ certificates: [provider.certify()], answer })
  const relay = await startRelay()
  t.teardown(() => Promise.all([server.close(), relay.close()]))
  const entry = (id: string, relay: string) => ({
    id,
    operator: `Operator ${id}`,
    authenticationDomainName: PROVIDER,
    addresses: ['127.0.0.1'],
    transports: { dnscrypt: { providerName: PROVIDER, publicKey: provider.publicKey, port: server.port, relay } },
  })
  const dot = await resolver(t, 'direct', true)
  const target = { ...dot.entry, id: 'target', transports: { odoh: { path: '/dns-query' } }, enabled: false }
  const relays = [
    { id: 'anon', operator: 'R', type: 'dnscrypt', addresses: ['127.0.0.1'], port: relay.port },
    { id: 'same', operator: 'Operator own', type: 'dnscrypt', addresses: ['127.0.0.1'], port: relay.port },
  ]
  const off = { enabled: false }
  const { directory, run } = scene(
    t,
    [
      dot.entry,
      { ...entry('hidden', 'anon'), ...off },
      { ...entry('lost', 'nowhere'), ...off },
      { ...entry('own', 'same'), ...off },
      target,
    ],
    relays,
    { transports: ['dot', 'dnscrypt', 'odoh'], usageProfile: 'strict', allowDnscryptCertificates: true, use: ['direct'] },
  )
  // The configuration is valid: its set names the resolvers of the other one.
  const set = readFileSync(join(directory, 'set.json'), 'utf8')
  writeFileSync(join(directory, 'other.json'), set)
  writeFileSync(join(directory, 'set.json'), JSON.stringify({ version: 1, resolvers: [dot.entry] }))
  const other = ['--set', join(directory, 'other.json')]
  const { out, err } = await run('rank', '--all', '--json', ...other)
  t.notMatch(err, /problem|must/)
  const ranked = JSON.parse(out).resolvers as readonly Record<string, unknown>[]
  const of = (id: string) => ranked.find((one) => one.resolver === id)
  t.match(of('hidden'), { ok: true, transport: 'dnscrypt', padded: true })
  t.match(of('lost'), { ok: false, fault: 'config' })
  t.match(of('own'), { ok: false, fault: 'config' }, 'one operator would see both')
  t.match(of('direct'), { ok: true })
  t.equal(server.counts.packets, relay.counts.passed, 'nothing went to it directly')
  const discovered = await run('discover', 'hidden', 'lost', '--json', ...other)
  t.match(JSON.parse(discovered.out).resolvers, [{ resolver: 'hidden' }, { resolver: 'lost', fault: 'config' }])
  const [hidden] = JSON.parse(discovered.out).resolvers
  t.notOk('fault' in hidden)
  t.match(hidden.designated[0], { transport: 'dot', verdict: 'refused', why: 'not tried: it is reached through a relay' })
  t.equal(server.counts.packets, relay.counts.passed)
  const pinned = await run('pin', 'hidden', ...other)
  t.equal(pinned.code, 3)
  t.match(pinned.err, /hidden offers no transport of the configuration over which it shows a certificate; nothing was changed/)
})

t.test('rank of 40 takes at most 20 s', { timeout: 60_000 }, async (t) => {
  const one = await resolver(t, 'r', true)
  const { run } = scene(
    t,
    Array.from({ length: 40 }, (_, i) => ({ ...one.entry, id: `r${i}` })),
  )
  const from = performance.now()
  const { code } = await run('rank')
  t.equal(code, 0)
  t.ok(performance.now() - from < 20_000, `${performance.now() - from} ms`)
})

t.test('RESINFO: keys and values, bounded, in either form', (t) => {
  t.strictSame(resinfoOf('"qnamemin" "exterr=15-17" "infourl=https://a.example/"'), {
    qnamemin: '',
    exterr: '15-17',
    infourl: 'https://a.example/',
  })
  const octets = Buffer.from('\x08qnamemin\x0aexterr=4-5', 'latin1')
  t.strictSame(resinfoOf(`\\# ${octets.length} ${octets.toString('hex')}`), { qnamemin: '', exterr: '4-5' })
  for (const odd of ['', '\\# 3 ff0000', '\\# 1 05', '"=x" "UPPER" "a b"', '\\# 9 zz']) t.strictSame(resinfoOf(odd), {}, odd)
  t.equal(Object.keys(resinfoOf(Array.from({ length: 100 }, (_, i) => `"k${i}"`).join(' '))).length, 16)
  t.end()
})

t.test('pin: the key that the resolver proves now is pinned, with a backup; another key is refused from then on', async (t) => {
  const { entry, server } = await resolver(t, 'home', true)
  const { directory, run } = scene(t, [entry])
  const set = () =>
    JSON.parse(readFileSync(join(directory, 'set.json'), 'utf8')) as {
      readonly resolvers: readonly { readonly spkiPins?: readonly string[] }[]
    }
  const first = await run('pin', 'home')
  t.equal(first.code, 0, first.err)
  t.match(first.out, /There is no second pin/)
  t.strictSame(set().resolvers[0]?.spkiPins, [identity.spkiPin])
  t.match(first.out, /home is accepted only with the key \S+ from now on \(/)
  const again = await run('pin', 'home')
  t.match(again, { code: 0, out: /home has the pin \S+ already \(.*\): nothing was changed\.\nThere is no second pin/ })
  const next = await authority.issue({ name: NAME })
  t.match(
    await run('pin', 'home', '--backup', next.spkiPin),
    { code: 0, out: /only with one of the keys \S+, \S+ from now on; it shows \S+ \(/ },
    'the second pin is new',
  )
  t.strictSame(set().resolvers[0]?.spkiPins, [identity.spkiPin, next.spkiPin])
  for (const more of [[], ['--backup', next.spkiPin]])
    t.match((await run('pin', 'home', ...more)).out, /^[^\n]*: nothing was changed\.\n$/, more.join(' '))
  t.equal((await run('pin', 'home', '--backup', 'short')).code, 2)
  server.present(await authority.issue({ name: NAME }))
  const refused = await run('pin', 'home')
  t.equal(refused.code, 4)
  t.match(refused.err, /home did not prove its identity over dot \(pin-mismatch\); nothing was changed/)
})

t.test('pin of a relay without an address: its name is looked up through the set in use', async (t) => {
  const { entry } = await resolver(t, 'home', true)
  const { directory, run } = scene(t, [entry])
  const relay = { id: 'relay', operator: 'R', type: 'odoh', addresses: [], authenticationDomainName: 'relay.example' }
  writeFileSync(join(directory, 'set.json'), JSON.stringify({ version: 1, resolvers: [entry], relays: [relay] }))
  const { code, err } = await run('pin', 'relay')
  t.equal(code, 0, err)
  const { relays } = JSON.parse(readFileSync(join(directory, 'set.json'), 'utf8')) as { readonly relays: readonly object[] }
  t.match(relays, [{ id: 'relay', addresses: ['192.0.2.1'] }])
  t.match(await run('pin', 'relay'), { code: 0, out: /relay has the addresses 192\.0\.2\.1 already; nothing was changed\./ })
})

t.test('a stamp without an address is looked up through the set in use, and pinned', async (t) => {
  const { entry } = await resolver(t, 'home', true)
  const { directory, run } = scene(t, [entry])
  const stamp = writeStamp({
    protocol: 'doh',
    properties: { dnssec: true, noLogs: false, noFilter: false },
    port: 443,
    hostname: 'doh.example',
    path: '/dns-query',
    certHashes: [],
  })
  const { code, err } = await run('add', stamp)
  t.equal(code, 0, err)
  const set = () =>
    JSON.parse(readFileSync(join(directory, 'set.json'), 'utf8')) as { readonly resolvers: readonly Record<string, unknown>[] }
  t.match(set().resolvers[1], { id: 'doh.example', enabled: false, addresses: ['192.0.2.1'] })
  writeFileSync(join(directory, 'set.json'), JSON.stringify({ version: 1, resolvers: [{ ...entry, transports: { dot: { port: 1 } } }] }))
  const failed = await run('add', stamp)
  t.equal(failed.code, 2)
  t.match(failed.err, /has the name "doh\.example" but no address, and the set in use found none/)
})

t.test('strict: rank and discover send no certificate query in cleartext, unless it is allowed', async (t) => {
  const provider = new Provider()
  const server = await startDnscrypt({ certificates: [provider.certify()], answer: (query) => replyTo(query, [addressRecord()]) })
  t.teardown(() => server.close())
  const home = await resolver(t, 'home', true)
  const dc = {
    id: 'dc',
    enabled: false,
    addresses: ['127.0.0.1'],
    transports: { dnscrypt: { providerName: PROVIDER, publicKey: provider.publicKey, port: server.port } },
  }
  const settings = { transports: ['dot', 'dnscrypt'], usageProfile: 'strict', use: ['home'] }
  const { run } = scene(t, [home.entry, dc], [], settings)
  for (const command of ['rank', 'discover']) {
    const { out, code } = await run(command, 'dc', '--json')
    t.equal(code, 1, command)
    t.match(
      JSON.parse(out).resolvers,
      [{ resolver: 'dc', fault: /DNSCrypt needs "allowDnscryptCertificates": true under "strict"/ }],
      command,
    )
  }
  t.equal(server.counts.packets, 0)
  const allowed = scene(t, [home.entry, dc], [], { ...settings, allowDnscryptCertificates: true })
  t.match(JSON.parse((await allowed.run('rank', 'dc', '--json')).out).resolvers, [{ resolver: 'dc', ok: true }])
  t.ok(server.counts.packets > 0)
})
