import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { settingsText } from '../../src/commands/check-screen.ts'
import { checkConfig } from '../../src/config/load.ts'

const room = await mkdtemp(join(tmpdir(), 'enigm-forwarding-'))
t.teardown(() => rm(room, { recursive: true }))
const entry = (id: string, more: object = {}) => ({
  id,
  operator: id,
  authenticationDomainName: `${id}.example`,
  addresses: ['192.0.2.1'],
  transports: { dot: {} },
  ...more,
})
const resolvers = [
  entry('one'),
  entry('two'),
  entry('corp'),
  entry('family', { enabled: false }),
  entry('web', { transports: { doh: {} } }),
  entry('here', { enabled: false, addresses: ['127.0.0.9'], transports: { dot: { port: 5300 } } }),
]
await writeFile(join(room, 'resolvers.json'), JSON.stringify({ version: 1, resolvers }), { mode: 0o600 })
let count = 0

async function check(config: object) {
  const file = join(room, `config-${count++}.json`)
  await writeFile(file, JSON.stringify({ resolvers: 'resolvers.json', ...config }), { mode: 0o600 })
  return checkConfig(file)
}
const problems = async (config: object) => (await check(config)).problems.map(({ path, message }) => `${path}: ${message}`)

t.test('a resolver that only a zone names is for that zone alone', async (t) => {
  const forward = [{ zone: 'Corp.Example.', to: ['corp', 'family'] }]
  const { loaded } = await check({ forward })
  t.strictSame(loaded?.config.use, ['one', 'two', 'web'])
  t.strictSame(
    loaded?.resolvers.map(({ id }) => id),
    ['one', 'two', 'web', 'corp', 'family'],
    'a disabled one may be named',
  )
  t.strictSame(loaded?.config.forward, [{ zone: 'corp.example', to: ['corp', 'family'] }])
  t.strictSame((await check({ forward, use: ['corp', 'one'] })).loaded?.config.use, ['corp', 'one'], 'named in both: for both')
  const views = [{ id: 'kids', clients: ['10.0.0.0/24'], use: ['family'], forward: [{ zone: 'a.example', to: ['web'] }] }]
  const viewed = await check({ views, use: ['one'] })
  t.strictSame(
    viewed.loaded?.resolvers.map(({ id }) => id),
    ['one', 'family', 'web'],
  )
  t.strictSame(await problems({ forward: [{ zone: 'a.example', to: ['one', 'two', 'corp', 'web'] }] }), [
    'resolvers: contains no enabled resolver for general names, because "forward" names each of them for its zones; name those for general names in "use"',
  ])
})

t.test('cleartext needs the same zone in allowCleartext', async (t) => {
  const forward = [{ zone: 'corp.example', cleartext: '10.0.0.53:53' }]
  t.match(await problems({ forward }), [/^forward\[0\]\.cleartext: sends names of "corp.example" without encryption; .*"allowCleartext"$/])
  t.match(await problems({ forward, allowCleartext: ['example', 'a.corp.example'] }), [/^forward\[0\]/], 'another zone is another decision')
  t.strictSame(await problems({ forward, allowCleartext: ['CORP.example.'] }), [])
  t.strictSame(await problems({ forward: [{ zone: 'lan', cleartext: 'link' }], allowCleartext: ['lan'] }), [])
  const views = [{ id: 'a', clients: ['10.0.0.0/8'], forward }]
  t.match(await problems({ views }), [/^views\[0\]\.forward\[0\]\.cleartext: /])
})

t.test('a server that is this service itself is refused', async (t) => {
  const rule = (cleartext: string) => ({ forward: [{ zone: 'corp.example', cleartext }], allowCleartext: ['corp.example'] })
  t.match(await problems({ ...rule('127.0.0.1:5300'), listen: ['127.0.0.1:5300'] }), [/forward\[0\]\.cleartext: .*this service itself/])
  t.match(await problems({ ...rule('[0::1]:5300'), listen: ['[::1]:5300'] }), [/this service itself/])
  const anyone = { listen: ['0.0.0.0:5300'], allowFrom: ['10.0.0.0/8'] }
  t.match(await problems({ ...rule('127.0.0.1:5300'), ...anyone }), [/this service itself/])
  t.strictSame(await problems({ ...rule('127.0.0.1:5301'), ...anyone }), [], 'another port is another server')
  t.strictSame(await problems({ ...rule('[::1]:5300'), ...anyone }), [], 'a listener on IPv4 receives nothing over IPv6')
  const anyone6 = { listen: ['[::]:5300'], allowFrom: ['fd00::/8'] }
  t.match(await problems({ ...rule('[::1]:5300'), ...anyone6 }), [/this service itself/])
  t.strictSame(await problems({ ...rule('127.0.0.1:5300'), ...anyone6 }), [])
})

t.test('a trusted resolver that is this service itself is refused for a zone', async (t) => {
  const forward = [{ zone: 'corp.example', to: ['corp', 'here'] }]
  t.match(await problems({ forward, listen: ['127.0.0.9:5300'] }), [
    'forward[0].to[1]: "here" is asked at 127.0.0.9:5300, which is this service itself; correct its address or port in the trusted set',
  ])
  t.match(await problems({ views: [{ id: 'a', clients: ['10.0.0.0/8'], forward }], listen: ['127.0.0.9:5300'] }), [
    /^views\[0\]\.forward\[0\]\.to\[1\]: /,
  ])
  t.strictSame(await problems({ forward, listen: ['127.0.0.9:5301', '127.0.0.8:5300'] }), [])
})

t.test('each fault of a rule is one sentence with its place', async (t) => {
  const faults: readonly (readonly [object, RegExp])[] = [
    [{ zone: '.', to: ['one'] }, /^forward\[0\]\.zone: must not be the root; .*"use"/],
    [{ zone: '*.corp.example', to: ['one'] }, /^forward\[0\]\.zone: must be a domain name/],
    [{ zone: '10.0.0.1', to: ['one'] }, /^forward\[0\]\.zone: must be a domain name/],
    [{ zone: 'corp.example' }, /^forward\[0\]: must have either "to"/],
    [{ zone: 'corp.example', to: ['one'], cleartext: 'link' }, /^forward\[0\]: must have either "to"/],
    [{ zone: 'corp.example', to: [] }, /^forward\[0\]\.to: must be a list of 1 to 32/],
    [{ zone: 'corp.example', to: ['nobody'] }, /^forward\[0\]\.to\[0\]: "nobody" is not in .*; name one of: /],
    [{ zone: 'corp.example', to: ['one'], except: ['corp.example'] }, /^forward\[0\]: has a name in "except" that is not below/],
    [{ zone: 'corp.example', to: ['one'], except: ['www'] }, /^forward\[0\]: has a name in "except" that is not below/],
    [{ zone: 'corp.example', cleartext: '10.0.0.53' }, /^forward\[0\]\.cleartext: must have a port; write "10.0.0.53:53"/],
    [{ zone: 'corp.example', cleartext: 'fd00::53' }, /^forward\[0\]\.cleartext: must have a port; write "\[fd00::53\]:53"/],
    [{ zone: 'corp.example', cleartext: 'dns.corp.example:53' }, /^forward\[0\]\.cleartext: must be "link" or a numeric/],
    [{ zone: 'corp.example', cleartext: '0.0.0.0:53' }, /^forward\[0\]\.cleartext: means every address/],
    [{ zone: 'corp.example', cleartext: '224.0.0.251:5353' }, /^forward\[0\]\.cleartext: is a multicast/],
    [{ zone: 'corp.example', cleartext: '10.0.0.53:0' }, /^forward\[0\]\.cleartext: must have a port from/],
    [{ zone: 'corp.example', via: 'one' }, /^forward\[0\]\.via: is not a known key/],
  ]
  for (const [rule, message] of faults) {
    const found = await problems({ forward: [rule], allowCleartext: ['corp.example'] })
    t.equal(found.length, 1, JSON.stringify(found))
    t.match(found[0], message)
  }
  t.match(
    await problems({
      forward: [
        { zone: 'a', to: ['one'] },
        { zone: 'A.', to: ['two'] },
      ],
    }),
    [/^forward: names an item twice/],
  )
})

t.test('a client belongs to one view only', async (t) => {
  const views = (...clients: readonly (readonly string[])[]) => ({ views: clients.map((list, i) => ({ id: `v${i}`, clients: list })) })
  t.strictSame(await problems(views(['10.0.0.0/8'], ['10.0.0.0/16', 'fd00::/8'])), [], 'a smaller block inside a larger one')
  t.match(await problems(views(['10.0.0.0/8'], ['10.1.2.3/8'])), [/^views: contains a block of clients in two views/])
  t.match(await problems(views(['10.0.0.0/8', '10.1.2.3/8'])), [/^views\[0\]\.clients: names an item twice/])
  t.match(await problems(views(['kids-laptop'])), [/^views\[0\]\.clients\[0\]: must be a block of addresses.*never looked up/])
  t.match(await problems(views([])), [/^views\[0\]\.clients: must be a list of 1 to/])
  t.match(await problems({ views: [{ id: 'a', clients: ['::1'], lists: ['ads'] }] }), [
    /^views\[0\]\.lists\[0\]: "ads" is not the id of a list/,
  ])
  t.match(await problems({ views: [{ id: 'a', clients: ['::1'], use: ['nobody'] }] }), [/^views\[0\]\.use\[0\]: "nobody" is not in/])
})

t.test('the policy must allow the same zones, and counts general operators only', async (t) => {
  const forward = [{ zone: 'corp.example', cleartext: '10.0.0.53:53' }]
  const config = { forward, allowCleartext: ['corp.example'] }
  t.match(await problems({ ...config, policy: { allowCleartext: [] } }), [/^policy\.allowCleartext: does not name "corp.example"/])
  t.strictSame(await problems({ ...config, policy: { allowCleartext: ['corp.example'] } }), [])
  t.strictSame(await problems({ ...config, policy: {} }), [], 'no rule: then the status says exposed')
  const zone = { use: ['one'], forward: [{ zone: 'a.example', to: ['corp'] }] }
  t.match(await problems({ ...zone, policy: { minimumOperators: 2 } }), [
    /^policy\.minimumOperators: requires 2 operators, but 1 is in use/,
  ])
})

t.test('check shows each zone with those who are asked, and each view', async (t) => {
  const { loaded } = await check({
    use: ['one'],
    forward: [
      { zone: 'corp.example', except: ['www.corp.example'], to: ['corp'] },
      { zone: 'printer', cleartext: 'link' },
    ],
    allowCleartext: ['printer'],
    views: [
      { id: 'kids', clients: ['10.0.0.0/24'], use: ['family'] },
      {
        ...{ id: 'lab', clients: ['10.1.0.0/24'], lists: [], answers: [{ name: 'a.example', type: 'A', data: '10.1.0.1' }] },
        forward: [{ zone: 'printer', cleartext: '10.1.0.53:53' }],
      },
    ],
  })
  const text = loaded === undefined ? '' : settingsText(loaded)
  t.match(text, /zone +corp\.example \(but not www\.corp\.example\): corp\n/)
  t.match(text, /zone +printer: the servers of this network, without encryption\n/)
  t.match(text, /view +kids: 10\.0\.0\.0\/24 \(resolvers family\)\n/)
  t.match(text, /view +lab: 10\.1\.0\.0\/24 \(zone printer: 10\.1\.0\.53:53, without encryption; 1 own answer; no lists\)\n/)
})
