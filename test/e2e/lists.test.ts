// Lists of names in the built service: what a client gets, what a changed or damaged source does,
// a pause, two threads, and a list that comes from an address.
import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { createAuthority } from '../../src/demo/authority.ts'
import { datagramCalls } from '../../src/system/datagram-calls.ts'
import { startDot } from '../support/dot-server.ts'
import { query, rr } from '../support/messages.ts'
import { CLI, RESOLVER_NAME, startDaemon } from '../support/real/daemon.ts'
import { rcodeOf, udpClient } from '../support/real/dns-client.ts'
import { replyTo } from '../support/replies.ts'

t.setTimeout(120_000)

interface ListLine {
  readonly id: string
  readonly state: string
  readonly rules: number
  readonly blocked?: number
  readonly fault?: string
}

const LOOPBACK = Uint8Array.of(127, 0, 0, 1)

/** The service with lists of these texts, a resolver that knows every name, and a client. */
async function scene(
  t: Test,
  texts: Readonly<Record<string, string>>,
  config: Readonly<Record<string, unknown>> = {},
  more: readonly object[] = [],
) {
  const authority = await createAuthority()
  const asked: string[] = []
  const server = await startDot({
    identity: await authority.issue({ name: RESOLVER_NAME }),
    answer(message) {
      const text = Buffer.from(message).toString('latin1')
      asked.push(text)
      if (text.includes('lists')) return replyTo(message, [rr({ ttlS: 100, rdata: LOOPBACK })])
      return replyTo(message, [rr({ ttlS: 100, rdata: Uint8Array.of(192, 0, 2, 1) })])
    },
  })
  t.teardown(() => server.close())
  const files = mkdtempSync(join(tmpdir(), 'enigm-dns-lists-'))
  t.teardown(() => rmSync(files, { recursive: true, force: true }))
  const at = (id: string) => join(files, id)
  const write = (id: string, text: string) => {
    writeFileSync(at(`${id}.new`), text, { mode: 0o600 })
    renameSync(at(`${id}.new`), at(id))
  }
  for (const [id, text] of Object.entries(texts)) write(id, text)
  const resolver = { id: 'a', authenticationDomainName: RESOLVER_NAME, addresses: ['127.0.0.1'], caFile: 'ca.pem' }
  const ca = at('extra.pem')
  writeFileSync(ca, authority.certificate)
  const daemon = await startDaemon({
    resolvers: [{ ...resolver, transports: { dot: { port: server.port } } }],
    ca: authority.certificate,
    env: { NODE_EXTRA_CA_CERTS: ca },
    config: { ...config, lists: [...Object.keys(texts).map((id) => ({ id, file: at(id) })), ...more] },
  })
  t.teardown(() => daemon.stop())
  const client = await udpClient(daemon.port)
  t.teardown(() => client.close())
  const get = async (name: string, type: 'A' | 'AAAA' = 'A') => {
    const reply = await client.ask(query({ name, type: type === 'A' ? 1 : 28 }))
    return `${rcodeOf(reply)} ${reply[7] === 0 ? 'empty' : [...reply.subarray(type === 'A' ? -4 : -16)].join('.')}`
  }
  const lists = () => (JSON.parse(readFileSync(daemon.statusFile, 'utf8')) as { readonly lists: readonly ListLine[] }).lists
  const until = async (what: string, is: () => Promise<boolean> | boolean, ms = 10_000) => {
    const end = performance.now() + ms
    while (!(await is())) {
      if (performance.now() > end) throw new Error(`${what}: ${JSON.stringify(lists())} ${daemon.log()}`)
      await sleep(50)
    }
  }
  return {
    authority,
    server,
    asked,
    daemon,
    get,
    lists,
    until,
    at,
    write,
    askedFor: (label: string) => asked.filter((text) => text.includes(label)).length,
  }
}

const SERVED = '0 192.0.2.1'
const NULL = '0 0.0.0.0'

t.test('names of lists are not asked for; a changed file takes effect without a flush; a damaged one changes nothing', async (t) => {
  const s = await scene(t, { ads: '0.0.0.0 ads.example\n', more: 'tree.example\n@@||ok.tree.example^\n' })
  t.equal(await s.get('ads.example'), NULL)
  t.equal(await s.get('ads.example', 'AAAA'), `0 ${Array(16).fill(0).join('.')}`)
  t.equal(await s.get('x.tree.example'), NULL)
  for (const name of ['ok.tree.example', 'good.example', 'later.example', 'x.ads.example']) t.equal(await s.get(name), SERVED, name)
  t.equal(s.askedFor('tree'), 1, 'only the allowed one')
  s.write('ads', 'later.example\n')
  await s.until('the change', async () => (await s.get('later.example')) === NULL)
  t.equal(await s.get('ads.example'), SERVED, 'no longer on the list')
  await s.get('good.example')
  t.equal(s.askedFor('good'), 1, 'its stored answer stayed')
  for (const [text, fault] of [
    ['<!DOCTYPE html><html>no list</html>', /web page/],
    ['later.example\n\0\0', /NUL/],
    ['??? ???\n', /no valid rule/],
  ] as const) {
    s.write('ads', text)
    await s.until('the fault', () => fault.test(s.lists()[0]?.fault ?? ''))
    t.equal(await s.get('later.example'), NULL, 'the earlier rules stay')
  }
  const status = JSON.parse(readFileSync(s.daemon.statusFile, 'utf8'))
  t.match(status.signals.service.reasons, [{ code: 'list-outdated', severity: 'warn' }])
  s.write('ads', 'ads.example\n')
  await s.until('the end of the fault', () => s.lists()[0]?.fault === undefined)
  t.equal(await s.get('ads.example'), NULL)
  t.notMatch(`${JSON.stringify(status)}${s.daemon.log()}`, /later\.example|tree\.example/, 'no name in the status or the log')
})

t.test('a pause, of one list and of all', async (t) => {
  const s = await scene(t, { ads: 'ads.example\n', more: 'more.example\n' })
  const cli = async (...args: string[]) =>
    promisify(execFile)(process.execPath, [CLI, 'pause', ...args, '--config', join(s.daemon.dir, 'config.json')])
  t.equal(await s.get('ads.example'), NULL)
  t.match((await cli('10m', '--list', 'ads')).stdout, /^paused for 10 min, until .*: ads\n$/)
  t.equal(await s.get('ads.example'), SERVED, 'the stored answer is not used')
  t.equal(await s.get('more.example'), NULL)
  await s.until('the status', () => s.lists()[0]?.state === 'paused')
  t.match((await cli('0')).stdout, 'in force again')
  t.equal(await s.get('ads.example'), NULL)
  await cli('1s')
  t.equal(await s.get('more.example'), SERVED)
  await s.until('the end', async () => (await s.get('more.example')) === NULL, 3000)
  t.match(await cli('10m', '--list', 'none').catch((error: unknown) => error), { code: 1, stderr: /there is no list none/ })
  t.match(await cli('2d').catch((error: unknown) => error), { code: 2, stderr: /needs a time/ })
})

t.test('a list from an address: fetched by way of the service, kept, and current', async (t) => {
  const served = { text: 'ads.example\n', etag: '"1"', status: 200, requests: 0 }
  const authority = await createAuthority()
  const https = createServer(await authority.issue({ name: 'lists.zone.example' }), (request, response) => {
    served.requests++
    if (request.headers['if-none-match'] === served.etag) response.writeHead(304).end()
    else response.writeHead(served.status, { etag: served.etag }).end(served.text)
  })
  await new Promise<void>((resolve) => https.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    https.closeAllConnections()
    https.close()
  })
  const url = `https://lists.zone.example:${(https.address() as AddressInfo).port}/ads.txt`
  const s = await scene(t, {}, {}, [{ id: 'web', url }])
  t.equal(await s.get('ads.example'), SERVED, 'before it is trusted nothing is fetched')
  await s.until('the first fault', () => /identity/.test(s.lists()[0]?.fault ?? ''))
  t.match(JSON.parse(readFileSync(s.daemon.statusFile, 'utf8')).signals.service.reasons, [{ code: 'list-missing' }])
  writeFileSync(s.at('extra.pem'), authority.certificate)
  s.daemon.kill('SIGKILL')
  await s.daemon.revive()
  await s.until('the list', async () => (await s.get('ads.example')) === NULL)
  t.ok(s.askedFor('lists') > 0, 'its server was resolved by the trusted resolver')
  await s.until('the status', () => s.lists()[0]?.state === 'in-force')
  https.closeAllConnections()
  https.close()
  s.daemon.kill('SIGKILL')
  await s.daemon.revive()
  t.equal(await s.get('ads.example'), NULL, 'the kept copy, without a network')
})

t.test(
  'with two threads a change is in force for every client',
  { skip: datagramCalls() === undefined ? 'needs batched UDP' : false },
  async (t) => {
    const s = await scene(t, { ads: 'ads.example\n' }, { workers: 2 })
    const clients = await Promise.all(Array.from({ length: 16 }, () => udpClient(s.daemon.port)))
    t.teardown(() => clients.map((client) => client.close()))
    const all = async (name: string) => {
      const replies = await Promise.all(clients.map((client) => client.ask(query({ name }))))
      return [...new Set(replies.map((reply) => reply.subarray(-4).join('.')))].join(' ')
    }
    t.equal(await all('ads.example'), '0.0.0.0')
    t.equal(await all('later.example'), '192.0.2.1')
    s.write('ads', 'later.example\n')
    await s.until('the change', async () => (await s.get('later.example')) === NULL)
    t.equal(await all('later.example'), '0.0.0.0')
    t.equal(await all('ads.example'), '192.0.2.1')
  },
)

t.test('rules about clients, with one thread and with two: blocked, exempt, and as all others', async (t) => {
  for (const workers of datagramCalls() === undefined ? [1] : [1, 2]) {
    const head = '@ SOA a. b. 1 2 3 4 5\nads.example CNAME .\n'
    const zone = `${head}32.2.0.0.127.rpz-client-ip CNAME .\n32.3.0.0.127.rpz-client-ip CNAME rpz-passthru.\n`
    const s = await scene(t, { zone }, { workers })
    const from = async (octet: number, name: string) => {
      // The kernel gives each socket to one of the threads.
      const clients = await Promise.all(Array.from({ length: 8 }, () => udpClient(s.daemon.port, '127.0.0.1', `127.0.0.${octet}`)))
      const replies = await Promise.all(clients.map((client) => client.ask(query({ name }))))
      for (const client of clients) client.close()
      return [...new Set(replies.map((reply) => `${rcodeOf(reply)} ${reply[7] === 0 ? 'empty' : reply.subarray(-4).join('.')}`))].join(', ')
    }
    const [blocked, exempt, other] = [2, 3, 1]
    for (let round = 0; round < 2; round++) {
      for (const name of ['good.example', 'ads.example']) t.equal(await from(blocked, name), '3 empty', `${name}, ${workers}`)
      t.strictSame([await from(exempt, 'good.example'), await from(exempt, 'ads.example')], [SERVED, SERVED], `exempt, ${workers}`)
      t.strictSame([await from(other, 'good.example'), await from(other, 'ads.example')], [SERVED, '3 empty'], `other, ${workers}`)
    }
    const tcp = await promisify(execFile)('dig', [
      '+short',
      '+tcp',
      '-b',
      '127.0.0.2',
      '-p',
      `${s.daemon.port}`,
      '@127.0.0.1',
      'good.example',
    ])
    t.equal(tcp.stdout, '', 'a blocked client over TCP')
    s.write('zone', `${head}32.3.0.0.127.rpz-client-ip CNAME .\n`)
    await s.until('the change', async () => (await from(exempt, 'good.example')) === '3 empty')
    t.equal(await from(blocked, 'good.example'), SERVED)
    await s.until('the status', () => s.lists()[0]?.rules === 2)
    await s.daemon.stop()
  }
})

t.test('check says what each list contributes; a list that cannot be used ends it, a start and a reload', async (t) => {
  const s = await scene(t, { ads: 'a.example\nb.example\n||c.example^$script\ncom\n', more: 'b.example\n' })
  const config = join(s.daemon.dir, 'config.json')
  const check = (...args: string[]) =>
    promisify(execFile)(process.execPath, [CLI, 'check', '--offline', '--config', config, ...args]).catch((error: unknown) => error)
  t.match(await check(), { stdout: /ads +auto +4 +2 +2 +-\n +more +auto +1 +1 +0 +1 also in ads/ })
  t.match(await check(), { stdout: /line 3 is not used.*modifier.*\(script\)/ })
  t.match(await check(), { stdout: /line 4 is not used.*top-level domain/ })
  const json = (await check('--json')) as { readonly stdout: string }
  t.match(JSON.parse(json.stdout).lists, [
    { id: 'ads', rules: 2 },
    { id: 'more', overlaps: { ads: 1 } },
  ])
  s.write('more', '\0')
  t.match(await check(), { code: 2, stderr: /the list "more" cannot be used: .*NUL/ })
  const reload = () => promisify(execFile)(process.execPath, [CLI, 'reload', '--config', config]).catch((error: unknown) => error)
  t.match(await reload(), { code: 1, stderr: /the list "more" cannot be used/ })
  rmSync(s.at('more'))
  t.match(await check(), { code: 2, stderr: /no such file/ })
})

t.test('explain names the list, its file and the line', async (t) => {
  const s = await scene(t, { ads: '# ads\n||ads.example^\n', fine: '@@||ok.ads.example^\n' })
  const explain = async (name: string) => {
    const args = [CLI, 'explain', name, '--json', '--config', join(s.daemon.dir, 'config.json')]
    const { stdout, code = 0 } = (await promisify(execFile)(process.execPath, args).catch((error: unknown) => error)) as {
      readonly stdout: string
      readonly code?: number
    }
    const { verdict, steps } = JSON.parse(stdout) as { readonly verdict: string; readonly steps: readonly { readonly stage: string }[] }
    return { code, verdict, step: steps.find(({ stage }) => stage === 'lists') }
  }
  const blocked = { stage: 'lists', verdict: 'blocks', source: s.at('ads'), line: 2, rule: /^\|\|ads\.example\^/ }
  t.match(await explain('www.ads.example'), { code: 1, verdict: 'blocked', step: blocked })
  t.match(await explain('ok.ads.example'), { code: 0, verdict: 'answered', step: { verdict: 'passes', source: s.at('fine'), line: 1 } })
  t.match(await explain('good.example'), { code: 0, step: { stage: 'lists', verdict: 'passes' } })
  t.equal(s.asked.length, 0, 'nothing was sent')
})

t.test('an own answer comes before the lists', async (t) => {
  const answers = [{ name: 'own.ads.example', type: 'A', data: '192.0.2.9' }]
  const s = await scene(t, { ads: 'ads.example\n' }, { answers })
  t.equal(await s.get('own.ads.example'), '0 192.0.2.9')
  t.equal(await s.get('other.ads.example'), NULL)
  t.equal(await s.get('other.ads.example'), NULL, 'and from the cache')
})
