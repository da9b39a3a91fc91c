import { mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { loadConfig } from '../src/config/load.ts'
import { cacheCommand, cacheStep, explain, explainInput, verdictText } from '../src/explain.ts'

const RESOLVERS = ['one', 'two'].map((id) => ({
  id,
  authenticationDomainName: `${id}.example`,
  addresses: ['192.0.2.53'],
  transports: { dot: {}, ...(id === 'one' ? { doh: { path: '/dns-query' } } : {}) },
}))

async function scene(t: Test, config: object, files: Readonly<Record<string, string>> = {}) {
  const dir = realpathSync(mkdtempSync(join(tmpdir(), 'enigm-explain-')))
  t.teardown(() => rmSync(dir, { recursive: true }))
  const write = (name: string, text: string) => writeFileSync(join(dir, name), text, { mode: 0o600 })
  write('set.json', JSON.stringify({ version: 1, resolvers: RESOLVERS }))
  write('config.json', JSON.stringify({ resolvers: 'set.json', ...config }))
  for (const [name, text] of Object.entries(files)) write(name, text)
  const loaded = await loadConfig(join(dir, 'config.json'))
  /** The explanation, its steps each in one line. */
  const said = async (name: string, type = 'A', client = '127.0.0.1', held: object = {}) => {
    const found = await explain(loaded, explainInput(name, type, client), cacheStep(held))
    const steps = found.steps.map(({ stage, verdict, source, line, rule }) =>
      [stage, verdict, source?.replace(`${dir}/`, ''), line, rule].filter((one) => one !== undefined).join(' '),
    )
    return { ...found, inWords: verdictText(found), steps: steps.filter((step) => step !== 'cache absent') }
  }
  return { said, dir }
}

const HOSTS = `127.0.0.1 localhost
# a comment
192.168.1.5   nas.lan nas
fd00::5 nas.lan
`

t.test('a name of each kind: the stage that settles it, and the file, line and text of its rule', async (t) => {
  const { said } = await scene(
    t,
    {
      hosts: ['hosts'],
      answers: [
        { name: 'search.example', type: 'CNAME', data: 'safe.example' },
        { name: '*.dev.example', type: 'A', data: '192.0.2.9' },
      ],
    },
    { hosts: HOSTS },
  )
  t.match(await said('NAS.lan'), {
    name: 'nas.lan.',
    type: 'A',
    verdict: 'answered',
    steps: ['hosts answers hosts 3 192.168.1.5   nas.lan nas'],
  })
  t.strictSame((await said('nas.lan', 'AAAA')).steps, ['hosts answers hosts 4 fd00::5 nas.lan'])
  t.strictSame((await said('nas', 'HTTPS')).steps, ['hosts answers hosts 3 192.168.1.5   nas.lan nas'])
  t.strictSame((await said('5.1.168.192.in-addr.arpa', 'PTR')).steps, ['hosts answers hosts 3 192.168.1.5   nas.lan nas'])
  t.strictSame((await said('_443._https.nas.lan', 'HTTPS')).steps, ['hosts answers hosts 3 192.168.1.5   nas.lan nas'])
  t.strictSame((await said('x.dev.example')).steps, ['answers answers config.json answers[1]: *.dev.example A 192.0.2.9'])
  t.strictSame((await said('printer.local')).steps, ['answers passes', 'local-names answers local.'])
  t.strictSame((await said('printer')).steps, ['answers passes', 'local-names answers a single label'])
  t.strictSame((await said('192.168.1.1')).steps, ['answers passes', 'local-names answers an address in place of a name'])
  t.strictSame((await said('localhost')).steps, ['answers passes', 'local-names answers localhost.'])
  const route = ['local-names passes', 'route asks use', 'resolver asks set.json one (dot, doh), two (dot)']
  t.strictSame((await said('www.example.com')).steps, ['answers passes', ...route])
  t.strictSame((await said('search.example')).steps, [
    'answers alias config.json answers[0]: search.example CNAME safe.example',
    'answers passes',
    ...route,
  ])
  t.match(await said('search.example'), { verdict: 'answered', route: { to: ['one', 'two'] } })
})

t.test('a list that blocks or allows: its file, line and rule; one that cannot be read', async (t) => {
  const lists = [
    { id: 'ads', file: 'ads.txt' },
    { id: 'mine', file: 'mine.txt', action: 'allow' },
  ]
  const { said, dir } = await scene(
    t,
    { lists },
    { 'ads.txt': '! comment\n||ads.example^\n0.0.0.0 one.example\n', 'mine.txt': 'ok.ads.example\n' },
  )
  const blocked = await said('a.ads.example')
  t.match(blocked, { verdict: 'blocked', steps: ['answers passes', 'lists blocks ads.txt 2 ||ads.example^'] })
  t.match((await said('one.example')).steps[1], 'lists blocks ads.txt 3 0.0.0.0 one.example')
  t.match(await said('ok.ads.example'), { verdict: 'answered', steps: ['answers passes', 'lists passes mine.txt 1 ok.ads.example'] })
  t.match(await said('other.example'), {
    verdict: 'answered',
    steps: ['answers passes', 'lists passes', 'local-names passes', /^route/, /^resolver/, /^lists unknown/],
  })
  rmSync(join(dir, 'ads.txt'))
  t.match(await said('other.example'), { verdict: 'unknown', steps: ['answers passes', 'lists unknown ads.txt it cannot be read'] })
})

t.test('the text of a rule is shown as it is written, except what would act on a terminal', async (t) => {
  const { said } = await scene(
    t,
    { lists: [{ id: 'ads', file: 'ads.txt' }], hosts: ['hosts'] },
    { 'ads.txt': '0.0.0.0 one.example # Zürich \u202E\u001b[31m\n', hosts: '192.0.2.1 nas.lan # das Gerät im Büro\n' },
  )
  t.match((await said('one.example')).steps[1], 'lists blocks ads.txt 1 0.0.0.0 one.example # Zürich \\u{202e}\\u{1b}[31m')
  t.match((await said('nas.lan')).steps[0], 'nas.lan # das Gerät im Büro')
})

t.test('a list with rules about clients: the line, before any rule about the name', async (t) => {
  const zone = `@ SOA a. b. 1 2 3 4 5
bad.example CNAME .
24.0.2.0.192.rpz-client-ip CNAME .
32.7.2.0.192.rpz-client-ip CNAME rpz-passthru.
`
  const { said } = await scene(t, { allowFrom: ['0.0.0.0/0'], lists: [{ id: 'zone', file: 'zone' }] }, { zone })
  t.match(await said('good.example', 'A', '192.0.2.1'), {
    verdict: 'blocked',
    steps: ['answers passes', 'lists blocks zone 3 24.0.2.0.192.rpz-client-ip CNAME .'],
  })
  t.match(await said('bad.example', 'A', '192.0.2.7'), {
    verdict: 'answered',
    steps: ['answers passes', 'lists passes zone 4 32.7.2.0.192.rpz-client-ip CNAME rpz-passthru.'],
  })
  t.match((await said('bad.example', 'A', '198.51.100.1')).steps[1], 'lists blocks zone 2 bad.example CNAME .')
})

t.test('a client that gets no answers', async (t) => {
  const { said } = await scene(t, {})
  t.match(await said('www.example.com', 'A', '192.168.1.7'), { verdict: 'blocked', steps: ['clients refuses allowFrom'] })
})

t.test('a made address of DNS64 leads to the name of its IPv4 address', async (t) => {
  const { said } = await scene(t, { dns64: { prefix: '2001:db8:64::/96' }, hosts: ['hosts'] }, { hosts: '1.2.3.4 four.example\n' })
  const name = `4.0.3.0.2.0.1.0.${'0.'.repeat(12)}4.6.0.0.8.b.d.0.1.0.0.2.ip6.arpa`
  t.strictSame((await said(name, 'PTR')).steps, ['dns64 alias 2001:db8:64::/96', 'hosts answers hosts 1 1.2.3.4 four.example'])
})

t.test('what is in memory', async (t) => {
  t.strictSame(cacheStep({ leftS: 30, rcode: 3 }), { stage: 'cache', verdict: 'fresh', rule: 'NXDOMAIN, 30 s left' })
  t.strictSame(cacheStep({ leftS: -5, rcode: 0 }), { stage: 'cache', verdict: 'stale', rule: 'NOERROR, expired 5 s ago' })
  t.strictSame(cacheStep({ kept: false }), { stage: 'cache', verdict: 'absent' })
  t.strictSame(cacheStep(undefined), { stage: 'cache', verdict: 'unknown', rule: 'no service answers' })
  t.match(cacheStep({ leftS: 30, rcode: 3, list: 'ads' }), {
    verdict: 'fresh',
    list: 'ads',
    rule: 'NXDOMAIN, 30 s left, blocked by list ads',
  })
  t.match(cacheStep(undefined, 'no permission').rule, 'no permission')
  t.equal(cacheCommand(explainInput('WWW.example', 'https', '::1')), 'cached HTTPS www.example. ::1')
})

t.test('a name whose answer a list may block: that the answer is checked too, and what was found about a cached one', async (t) => {
  const lists = [
    { id: 'ads', file: 'ads' },
    { id: 'mine', file: 'mine', action: 'allow' },
  ]
  const views = [
    { id: 'free', clients: ['10.0.0.0/8'], lists: ['mine'] },
    { id: 'all', clients: ['192.168.0.0/16'] },
  ]
  const config = { allowFrom: ['0.0.0.0/0'], lists, views }
  const { said } = await scene(t, config, { ads: '||ads.example^\n203.0.113.0/24\n', mine: 'ok.example\n' })
  const unless = /^would be answered, unless a list blocks/
  for (const client of ['127.0.0.1', '192.168.1.1']) {
    const found = await said('cn.example', 'A', client)
    t.match(found.inWords, unless)
    t.equal(found.steps.at(-1), 'lists unknown the answer is checked too: its aliases, hosts and addresses')
    t.equal(found.verdict, 'answered')
  }
  const isChecked = async (name: string, client = '127.0.0.1') =>
    (await said(name, 'A', client)).steps.some((step) => step.includes('checked too'))
  t.notOk(await isChecked('ok.example'), 'an allowed name is answered whatever it leads to')
  t.notOk(await isChecked('cn.example', '10.1.1.1'), 'no list of this view blocks')
  t.notOk(await isChecked('www.ads.example'))
  const blocked = await said('cn.example', 'A', '127.0.0.1', { leftS: 40, rcode: 3, list: 'ads' })
  t.equal(blocked.verdict, 'blocked')
  t.equal(blocked.steps.at(-1), 'lists blocks an alias, a host or an address in the answer')
  const fresh = await said('cn.example', 'A', '127.0.0.1', { leftS: 40, rcode: 0 })
  t.equal(fresh.verdict, 'answered')
  t.equal(fresh.inWords, 'would be answered from the cache')
  t.notOk(
    fresh.steps.some((step) => / asks |checked too/.test(step)),
    'nobody is asked',
  )
  const stale = await said('cn.example', 'A', '127.0.0.1', { leftS: -4, rcode: 0 })
  t.ok(stale.steps.some((step) => step.startsWith('resolver asks')))
})

t.test('bad usage', async (t) => {
  t.throws(() => explainInput('a..b', 'A', '::1'), { code: 'config' })
  t.throws(() => explainInput('a.b', 'NOPE', '::1'), { code: 'config' })
  t.throws(() => explainInput('a.b', 'A', 'localhost'), { code: 'config' })
})

t.test('a forward zone and a view: whose rule says so, and who would be asked', async (t) => {
  const { said } = await scene(t, {
    use: ['one'],
    forward: [
      { zone: 'corp.example', except: ['www.corp.example'], to: ['two'] },
      { zone: '10.in-addr.arpa', cleartext: '10.0.0.53:53' },
    ],
    allowCleartext: ['10.in-addr.arpa'],
    allowFrom: ['0.0.0.0/0'],
    views: [
      { id: 'kids', clients: ['192.168.1.0/24'], use: ['two'], answers: [{ name: 'games.example', type: 'A', data: '192.0.2.9' }] },
      { id: 'guests', clients: ['192.168.2.0/24'], forward: [] },
    ],
  })
  t.match(await said('a.corp.example'), {
    steps: ['answers passes', 'local-names passes', 'route asks forward[0]: corp.example', 'resolver asks set.json two (dot)'],
    route: { to: ['two'], zone: 'corp.example' },
  })
  t.match((await said('www.corp.example')).route, { to: ['one'] })
  t.match(await said('1.0.0.10.in-addr.arpa', 'PTR'), {
    verdict: 'answered',
    route: { to: [], zone: '10.in-addr.arpa', cleartext: '10.0.0.53:53' },
  })
  t.match((await said('www.example', 'A', '192.168.1.7')).steps.at(-2), /^route asks views\[0\]\.use$/)
  t.match((await said('games.example', 'A', '192.168.1.7')).steps.at(-1), /^answers answers config\.json views\[0\]\.answers\[0\]/)
  t.match((await said('games.example')).route, { to: ['one'] }, 'not for others')
  t.match((await said('a.corp.example', 'A', '192.168.2.7')).route, { to: ['one'] })
  t.match((await said('1.0.0.10.in-addr.arpa', 'PTR', '192.168.2.7')).steps.at(-1), /^local-names answers/)
})

t.test('an empty answer made here is said in words: no data, or no such name', async (t) => {
  const { said } = await scene(t, { hosts: ['hosts'], answers: [{ name: 'own.example', type: 'A', data: '192.0.2.9' }] }, { hosts: HOSTS })
  for (const [name, type, inWords] of [
    ['own.example', 'A', 'would be answered'],
    ['own.example', 'AAAA', 'would be answered: no data of this type (NODATA)'],
    ['own.example', 'HTTPS', 'would be answered: no data of this type (NODATA)'],
    ['localhost', 'A', 'would be answered'],
    ['localhost', 'MX', 'would be answered: no data of this type (NODATA)'],
    ['printer', 'A', 'would be answered: no such name (NXDOMAIN)'],
    ['1.2.3.4', 'A', 'would be answered: no such name (NXDOMAIN)'],
    ['a.invalid', 'A', 'would be answered: no such name (NXDOMAIN)'],
    ['www.example', 'A', 'would be answered'],
  ] as const) {
    const found = await said(name, type)
    t.equal(found.inWords, inWords, `${name} ${type}`)
    t.equal(found.verdict, 'answered', 'the exit code stays 0')
  }
})
