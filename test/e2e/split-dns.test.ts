// Split DNS with a real server for the company's zone, in a namespace of its own: who is asked for
// which name, by the servers' own logs and by a capture.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { createAuthority } from '../../src/demo/authority.ts'
import { textFromName } from '../../src/dns/name.ts'
import { RecordCursor } from '../../src/dns/records.ts'
import { startDot } from '../support/dot-server.ts'
import { query } from '../support/messages.ts'
import { startCapture } from '../support/real/capture.ts'
import { identityOf, RESOLVER_NAME, startDaemon } from '../support/real/daemon.ts'
import { tcpClient, udpClient } from '../support/real/dns-client.ts'
import { startDnsmasq } from '../support/real/dnsmasq.ts'
import { insideNamespace } from '../support/real/namespace.ts'
import { requireTool } from '../support/real/tools.ts'
import { addressRecord, replyTo } from '../support/replies.ts'

const TYPES = { A: 1, SOA: 6, PTR: 12, TXT: 16, AAAA: 28, SRV: 33, DS: 43, DNSKEY: 48, HTTPS: 65, ANY: 255 } as const
const CORP = { address: '127.0.0.2', port: 53 }
const ZONE = 'corp.example'

/** A resolver for general names that notes what it is asked. */
async function trusted(identity: { readonly key: string; readonly cert: string }, lastOctet = 1) {
  const asked: string[] = []
  const server = await startDot({
    identity,
    answer(q) {
      asked.push(textFromName(q.subarray(12)).toLowerCase())
      return replyTo(q, [addressRecord(lastOctet)])
    },
  })
  return { asked, port: server.port, close: () => server.close() }
}

async function scene(t: Test, config: Readonly<Record<string, unknown>>, lines: readonly string[]) {
  const authority = await createAuthority()
  const identity = await identityOf(authority)
  const general = await trusted(identity)
  const corp = await trusted(identity, 7)
  const plain = await startDnsmasq(CORP.address, CORP.port, lines)
  const entry = (id: string, port: number) => ({
    id,
    authenticationDomainName: RESOLVER_NAME,
    addresses: ['127.0.0.1'],
    transports: { dot: { port } },
    caFile: 'ca.pem',
  })
  const resolvers = [entry('general', general.port), entry('corp', corp.port)]
  const daemon = await startDaemon({ resolvers, ca: authority.certificate, config: { timeoutMs: 1500, ...config } })
  const udp = await udpClient(daemon.port)
  t.teardown(async () => {
    udp.close()
    await daemon.stop()
    await Promise.all([general.close(), corp.close(), plain.stop()])
  })
  const ask = async (name: string, type: keyof typeof TYPES = 'A', client = udp) => {
    const reply = await client.ask(query({ name, type: TYPES[type], opt: {} }))
    const addresses: string[] = []
    for (const cursor = new RecordCursor(reply); cursor.next() && cursor.section === 1; )
      if (cursor.type === TYPES.A) addresses.push(reply.subarray(cursor.rdataAt, cursor.rdataAt + 4).join('.'))
    return { rcode: (reply[3] ?? 0) & 15, authentic: ((reply[3] ?? 0) & 0x20) !== 0, addresses }
  }
  return { daemon, general, corp, plain, ask }
}

const PLAIN = {
  use: ['general'],
  forward: [{ zone: ZONE, except: [`www.${ZONE}`], cleartext: '127.0.0.2:53' }],
  allowCleartext: [ZONE],
  rebinding: { protect: true },
}
const HOSTS = [
  'local=/corp.example/',
  'host-record=host.corp.example,10.1.2.3',
  `txt-record=long.corp.example,${Array(8).fill('x'.repeat(250)).join(',')}`,
]
const isCorp = (name: string) => /(^|[. ])corp\.example\.?$/i.test(name)

if (requireTool(t, 'dnsmasq', 'tcpdump', 'tshark') && insideNamespace(t, import.meta.url)) {
  t.test('names of the zone go to its server, other names to the trusted set, and nothing else anywhere', async (t) => {
    const capture = await startCapture('port 53')
    const { daemon, general, plain, ask } = await scene(t, { ...PLAIN, policy: { allowCleartext: [ZONE] } }, HOSTS)
    t.match(await ask('host.corp.example'), { rcode: 0, authentic: false, addresses: ['10.1.2.3'] }, 'a private address passes')
    t.match(await ask('HOST.Corp.Example'), { addresses: ['10.1.2.3'] })
    t.equal((await ask('absent.corp.example')).rcode, 3)
    for (const type of ['AAAA', 'HTTPS', 'TXT', 'SOA', 'DS', 'DNSKEY', 'ANY'] as const) await ask('host.corp.example', type)
    for (const type of ['DS', 'SOA', 'A'] as const) await ask(ZONE, type)
    for (const name of [`_ldap._tcp.${ZONE}`, `_dns.${ZONE}`, `a.b.c.${ZONE}`]) await ask(name, 'SRV')
    t.match(await ask('www.example.com'), { addresses: ['192.0.2.1'] })
    t.match(await ask(`www.${ZONE}`), { addresses: ['192.0.2.1'] }, 'an exception is general')
    t.match(await ask('notcorp.example'), { addresses: ['192.0.2.1'] })
    t.equal((await ask('singlelabel')).rcode, 3, 'no rule, no forwarding')
    const tcp = await tcpClient(daemon.port)
    t.equal((await ask('long.corp.example', 'TXT', tcp)).rcode, 0, 'a long answer is fetched over TCP')
    tcp.close()
    t.strictSame(
      general.asked.filter((name) => isCorp(name) && name !== `www.${ZONE}.`),
      [],
      'the trusted set was asked for no name of the zone',
    )
    t.ok(plain.asked.length >= 14, `${plain.asked.length} queries`)
    t.strictSame(
      plain.asked.filter((one) => !isCorp(one)),
      [],
    )
    await daemon.until('protected')
    await sleep(1200)
    const status = daemon.status()
    await capture.stop()
    t.teardown(() => capture.remove())
    const sent = capture.count('udp.dstport == 53 || (tcp.dstport == 53 && dns)')
    t.equal(status?.plaintext['split-dns'], sent, 'the ledger counts each packet')
    t.equal(capture.count('dns.flags.response == 0 && !(lower(dns.qry.name) matches "corp.example$")'), 0)
    t.equal(capture.count('ip.dst != 127.0.0.2 && (udp.dstport == 53 || tcp.dstport == 53)'), 0)
    t.ok(capture.count('tcp.dstport == 53 && dns') > 0)
    t.match(
      status?.signals.secureNameResolution?.reasons.find(({ code }) => code === 'split-dns'),
      { severity: 'info', message: /127\.0\.0\.2:53 \(corp\.example\)/ },
    )
  })

  t.test('without a word of the policy the state is exposed', async (t) => {
    const { daemon, ask } = await scene(t, PLAIN, HOSTS)
    await ask('www.example.com')
    const status = await daemon.until('exposed')
    t.match(status.signals.secureNameResolution?.reasons[0], { code: 'split-dns', severity: 'bad' })
    t.strictSame((status as unknown as { plaintextAllowed: readonly string[] }).plaintextAllowed, ['split-dns'])
    t.equal(status.plaintext['split-dns'], 0, 'before any packet')
  })

  t.test('while the server is down its names fail, and nobody else learns one', async (t) => {
    const { general, corp, plain, ask } = await scene(t, { ...PLAIN, cache: { staleMaxS: 0 } }, [...HOSTS, 'local-ttl=1'])
    t.match(await ask('host.corp.example'), { addresses: ['10.1.2.3'] })
    await plain.stop()
    await sleep(1100)
    const replies = await Promise.all([
      ask('host.corp.example'),
      ask('other.corp.example'),
      ask('other.corp.example', 'AAAA'),
      ask(ZONE, 'DS'),
    ])
    t.strictSame(
      replies.map(({ rcode }) => rcode),
      [2, 2, 2, 2],
    )
    t.match(await ask('www.example.com'), { addresses: ['192.0.2.1'] })
    t.strictSame([...general.asked, ...corp.asked].filter(isCorp), [])
    const again = await startDnsmasq(CORP.address, CORP.port, HOSTS)
    t.teardown(() => again.stop())
    await sleep(2100)
    t.match(await ask('host.corp.example'), { addresses: ['10.1.2.3'] }, 'soon after the server is back')
  })

  t.test('an encrypted zone: its resolver gets its names only, and general names never reach it', async (t) => {
    const forward = [
      { zone: ZONE, to: ['corp'] },
      { zone: '10.in-addr.arpa', to: ['corp'] },
      { zone: 'fileserver', to: ['corp'] },
    ]
    const { daemon, general, corp, plain, ask } = await scene(t, { forward, rebinding: { protect: true } }, [])
    for (const name of ['host.corp.example', '3.2.1.10.in-addr.arpa', 'fileserver', 'x.fileserver'])
      t.match(await ask(name), { addresses: ['192.0.2.7'] }, name)
    t.match(await ask('www.example.com'), { addresses: ['192.0.2.1'] })
    await corp.close()
    t.equal((await ask('more.corp.example')).rcode, 2)
    t.equal((await ask('fileserver', 'AAAA')).rcode, 2)
    for (let i = 0; i < 5; i++) t.match(await ask(`www${i}.example.com`), { addresses: ['192.0.2.1'] })
    const probes = (name: string) => name === '.'
    t.strictSame(
      corp.asked.filter((name) => !probes(name) && !isCorp(name) && !/10\.in-addr\.arpa\.$|fileserver\.$/.test(name)),
      [],
    )
    t.strictSame(
      general.asked.filter((name) => isCorp(name) || /10\.in-addr|fileserver/.test(name)),
      [],
    )
    t.strictSame(plain.asked, [])
    t.equal((await daemon.until('protected')).plaintext['split-dns'], 0)
  })

  t.test('a server that forwards the zone back here: found out at the first question, and the zone refused', async (t) => {
    const { daemon, general, ask } = await scene(t, { ...PLAIN, timeoutMs: 4000 }, [])
    const looping = await startDnsmasq('127.0.0.3', 53, [`server=/${ZONE}/127.0.0.1#${daemon.port}`])
    t.teardown(() => looping.stop())
    const file = join(daemon.dir, 'config.json')
    const config = JSON.parse(readFileSync(file, 'utf8')) as object
    writeFileSync(file, JSON.stringify({ ...config, forward: [{ zone: ZONE, cleartext: '127.0.0.3:53' }] }), { mode: 0o600 })
    daemon.kill('SIGHUP')
    await sleep(1000)
    const beganMs = performance.now()
    t.equal((await ask('host.corp.example')).rcode, 2)
    t.ok(performance.now() - beganMs < 2000, `${Math.round(performance.now() - beganMs)} ms, and not the whole time limit`)
    const before = looping.asked.length
    for (let i = 0; i < 5; i++) t.equal((await ask(`host${i}.corp.example`)).rcode, 2)
    t.equal(looping.asked.length, before, 'nothing is sent there any more')
    t.match(await ask('www.example.com'), { addresses: ['192.0.2.1'] })
    t.strictSame(general.asked.filter(isCorp), [])
    await sleep(1200)
    const reasons = daemon.status()?.signals.service?.reasons.map(({ code }) => code)
    t.ok(reasons?.includes('zone-loop'), String(reasons))
  })
}
