import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { Host } from '../../src/commands/running-service.ts'
import { createAuthority, type ServerIdentity } from '../../src/demo/authority.ts'
import { nameFromText, textFromName } from '../../src/dns/name.ts'
import { advertisedResolvers } from '../../src/system/advertised-resolvers.ts'
import { startDoh } from '../support/doh-server.ts'
import { startDot } from '../support/dot-server.ts'
import { rr } from '../support/messages.ts'
import { addressRecord, replyTo } from '../support/replies.ts'
import { resolversRun } from '../support/set-commands.ts'

const NAME = 'dns.test.example'
const host: Host = { services: () => [], likely: () => [], namespace: () => undefined, uid: process.geteuid?.(), statusFiles: [] }
const authority = await createAuthority()
const named = await authority.issue({ name: NAME })
const byAddress = await authority.issue({ name: NAME, alsoNames: ['127.0.0.1'] })
const u16 = (n: number) => [n >> 8, n & 255]
const param = (key: number, value: readonly number[]) => [...u16(key), ...u16(value.length), ...value]
const alpn = (id: string) => param(1, [id.length, ...Buffer.from(id)])
const svcb = (priority: number, target: string, ...params: readonly (readonly number[])[]) =>
  rr({ type: 64, rdata: Uint8Array.from([...u16(priority), ...nameFromText(target), ...params.flat()]) })

/** A resolver of the set that answers `_dns...` with these records, and the command about it. */
async function scene(t: Test, records: Readonly<Record<string, readonly Uint8Array[]>>, identity: ServerIdentity = named) {
  const server = await startDot({
    identity,
    answer: (query) => replyTo(query, records[textFromName(query.subarray(12)).replace(/\.$/, '')] ?? [addressRecord()]),
  })
  t.teardown(() => server.close())
  const entry = {
    id: 'home',
    authenticationDomainName: NAME,
    addresses: ['127.0.0.1'],
    transports: { dot: { port: server.port } },
    caFile: 'ca.pem',
  }
  const directory = t.testdir({
    'ca.pem': authority.certificate,
    'set.json': JSON.stringify({ version: 1, resolvers: [entry] }),
    'config.json': JSON.stringify({ resolvers: 'set.json', stateDir: 'state' }),
  })
  const run = (...words: readonly string[]) => resolversRun(['discover', ...words, '--config', join(directory, 'config.json')], { host })
  const designated = async () => {
    const { out } = await run('--json')
    const { resolvers } = JSON.parse(out) as {
      readonly resolvers: readonly { readonly designated: readonly Record<string, unknown>[]; readonly ignored: readonly string[] }[]
    }
    return resolvers[0]
  }
  return { directory, run, designated, port: server.port }
}

/** A second place of the same resolver, or of an impostor. */
async function place(t: Test, identity: ServerIdentity, doh = false) {
  const server = await (doh ? startDoh : startDot)({ identity, answer: (query: Uint8Array) => replyTo(query, [addressRecord()]) })
  t.teardown(() => server.close())
  return server.port
}

t.test('by its name: what the pinned address proves with that name is proven, and a person adds it', async (t) => {
  const [dot, doh, impostor] = [
    await place(t, named),
    await place(t, named, true),
    await place(t, await authority.issue({ name: 'other.example' })),
  ]
  const { directory, run, designated, port } = await scene(t, {
    [`_dns.${NAME}`]: [
      svcb(1, '.', alpn('dot'), param(3, u16(dot))),
      svcb(
        2,
        'doh.other.example',
        alpn('h2'),
        param(3, u16(doh)),
        param(4, [127, 0, 0, 1]),
        param(7, [...Buffer.from('/dns-query{?dns}')]),
      ),
      svcb(3, '.', alpn('dot'), param(3, u16(impostor))),
      svcb(4, 'far.example', alpn('dot'), param(4, [192, 0, 2, 9])),
      svcb(5, '.', alpn('h3')),
      svcb(0, 'loop.example'),
    ],
    '_dns.resolver.arpa': [],
  })
  const found = await designated()
  t.match(found?.designated, [
    { transport: 'dot', port: dot, verdict: 'proven', authenticationDomainName: NAME },
    { transport: 'doh', port: doh, path: '/dns-query', verdict: 'proven', authenticationDomainName: NAME },
    { transport: 'dot', port: impostor, verdict: 'refused', why: 'certificate-name' },
    { transport: 'dot', verdict: 'elsewhere', why: 'it points to 192.0.2.9' },
    { transport: 'doh3', verdict: 'not supported' },
  ])
  t.strictSame(found?.ignored, ['an alias is not followed'])
  const before = readFileSync(join(directory, 'set.json'), 'utf8')
  const shown = await run()
  t.equal(shown.code, 0, shown.err)
  t.match(shown.out, /doh on port \d+\/dns-query: proven; its certificate must contain dns\.test\.example/)
  t.equal(readFileSync(join(directory, 'set.json'), 'utf8'), before, 'nothing is changed')
  t.match((await run('home', '--add')).out, /transports added to home/)
  const { resolvers } = JSON.parse(readFileSync(join(directory, 'set.json'), 'utf8')) as {
    readonly resolvers: readonly { readonly transports: unknown }[]
  }
  t.strictSame(resolvers[0]?.transports, { dot: { port }, doh: { port: doh, path: '/dns-query' } })
})

t.test('by resolver.arpa: the certificate must hold the pinned address; the name alone is refused', async (t) => {
  for (const [identity, verdict] of [
    [byAddress, 'proven'],
    [named, 'refused'],
  ] as const) {
    const port = await place(t, identity)
    const { designated } = await scene(t, {
      [`_dns.${NAME}`]: [],
      '_dns.resolver.arpa': [svcb(1, 'dns.elsewhere.example', alpn('dot'), param(3, u16(port)))],
    })
    t.match((await designated())?.designated, [{ transport: 'dot', port, verdict, authenticationDomainName: '127.0.0.1' }])
  }
})

t.test('a resolver that announces nothing, or only what the set has: the text says so', async (t) => {
  const records: Record<string, readonly Uint8Array[]> = { [`_dns.${NAME}`]: [], '_dns.resolver.arpa': [] }
  const { run, port } = await scene(t, records)
  t.match(await run(), { code: 0, out: /^home\n {2}announces no other transport\n/ })
  records[`_dns.${NAME}`] = [svcb(1, '.', alpn('dot'), param(3, u16(port)))]
  t.match((await run()).out, /^home\n {2}dot on port \d+: known; .*\n {2}announces no other transport\n/)
})

t.test('hostile answers: unknown mandatory keys, 64 parameters, garbage; nothing is dialled', async (t) => {
  const many = Array.from({ length: 64 }, (_, i) => param(100 + i, []))
  const { designated } = await scene(t, {
    [`_dns.${NAME}`]: [
      svcb(1, '.', param(0, u16(65_000)), alpn('dot'), param(65_000, [])),
      svcb(2, '.', alpn('dot'), ...many),
      rr({ type: 64, rdata: Uint8Array.of(0, 1, 0, 0) }),
    ],
    '_dns.resolver.arpa': [],
  })
  const found = await designated()
  t.strictSame(found?.designated, [])
  t.strictSame(found?.ignored, [
    'the key 65000 is mandatory and not supported here',
    'a record has more than 32 parameters',
    'a record is malformed',
  ])
})

t.test('resolvers that the network advertises are read where the system shows them', (t) => {
  const root = t.testdir({})
  for (const directory of ['links', 'leases']) mkdirSync(join(root, 'run/systemd/netif', directory), { recursive: true })
  writeFileSync(
    join(root, 'run/systemd/netif/links/2'),
    'ADMIN_STATE=configured\nDNS=192.0.2.53 192.0.2.54:853#DNS.Hotel.example\nDNR=2001:db8::1#six.hotel.example\n',
  )
  writeFileSync(join(root, 'run/systemd/netif/leases/2'), 'DNR=192.0.2.54#dns.hotel.example garbage#\x1b[2J #x\n')
  t.match(advertisedResolvers(root), [
    { name: 'dns.hotel.example', addresses: ['192.0.2.54:853'], by: '/run/systemd/netif/links/2' },
    { name: 'six.hotel.example', addresses: ['2001:db8::1'] },
    { name: 'x', addresses: [] },
  ])
  t.strictSame(advertisedResolvers(join(root, 'absent')), [])
  t.end()
})
