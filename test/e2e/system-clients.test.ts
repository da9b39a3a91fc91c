import { execFile } from 'node:child_process'
import { createServer } from 'node:http'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { createAuthority } from '../../src/demo/authority.ts'
import { query } from '../support/messages.ts'
import { startCapture } from '../support/real/capture.ts'
import { entryOf, identityOf, startDaemon } from '../support/real/daemon.ts'
import { udpClient } from '../support/real/dns-client.ts'
import { startNamed } from '../support/real/named.ts'
import { insideNamespace, useNameserver } from '../support/real/namespace.ts'
import { requireTool } from '../support/real/tools.ts'
import { ZONE_NAME } from '../support/real/zone.ts'

const STUB = '127.0.0.53'
const run = promisify(execFile)
const output = async (command: string, ...args: string[]) => (await run(command, args, { timeout: 20_000 })).stdout

if (requireTool(t, 'named', 'ip', 'unshare', 'tcpdump', 'tshark') && insideNamespace(t, import.meta.url)) await asSystemResolver(t)

async function asSystemResolver(t: Test): Promise<void> {
  const authority = await createAuthority()
  const named = await startNamed(await identityOf(authority))
  t.teardown(() => named.stop())
  const everything = await startCapture('tcp or udp')
  t.teardown(() => everything.remove())
  const resolvers = [entryOf(named, ['dot', 'doh'])]
  const daemon = await startDaemon({
    resolvers,
    ca: authority.certificate,
    listen: `${STUB}:53`,
    config: { shaping: { profile: 'jitter' } },
  })
  t.teardown(() => daemon.stop())
  useNameserver(t, STUB)

  await t.test('dig', (t) => dig(t))
  await t.test('kdig', (t) => kdig(t))
  await t.test('getaddrinfo', (t) => getaddrinfo(t))
  await t.test('curl', (t) => curl(t))

  await t.test('packets on the wire', async (t) => {
    await everything.stop()
    t.ok(everything.count(`dns && ip.addr == ${STUB}`) > 10, 'the capture saw the clients')
    t.equal(
      everything.count(`(udp.port == 53 || tcp.port == 53) && !(ip.addr == ${STUB})`),
      0,
      'port 53: nothing but between clients and the stub',
    )
    t.equal(everything.count(`udp && !(ip.addr == ${STUB} && udp.port == 53)`), 0, 'UDP: nothing else at all')
    t.ok(everything.records(named.dotPort).length > 5, 'the questions went over DoT')
    const elsewhere = `tcp && !(ip.addr == ${STUB}) && tcp.port == ${named.dotPort}`
    t.ok(everything.count(elsewhere) > 5)
    t.equal(
      everything.count(`${elsewhere} && frame contains 04:7a:6f:6e:65:07:65:78:61:6d:70:6c:65`),
      0,
      'no name in the octets to the resolver',
    )
    t.strictSame((await daemon.until('protected')).plaintext, { 'captive-portal': 0, 'split-dns': 0, 'dnscrypt-certificate': 0 })
    t.end()
  })
  await t.test('one packet size', (t) => oneSize(t, named.dotPort))
}

async function dig(t: Test): Promise<void> {
  if (!requireTool(t, 'dig')) return
  const short = async (...args: string[]) => (await output('dig', '+short', ...args)).trim().split('\n')
  t.strictSame(await short(`www.${ZONE_NAME}`), ['192.0.2.10', '192.0.2.11'], 'by resolv.conf')
  t.strictSame(await short(`www.${ZONE_NAME}`, '+tcp'), ['192.0.2.10', '192.0.2.11'], 'over TCP')
  t.strictSame(await short(`www.${ZONE_NAME}`, 'AAAA', '+noedns'), ['2001:db8::10'], 'without EDNS')
  t.match(await output('dig', 'www.zone.example', 'TYPE65'), /status: NOERROR.*ANSWER: 1,/s)
  t.equal((await short(`big.${ZONE_NAME}`, 'TXT')).length, 20, 'cut over UDP, asked again over TCP')
  t.match(await output('dig', `big.${ZONE_NAME}`, 'TXT', '+ignore', '+bufsize=4096'), /flags: qr tc rd/, 'TC is seen when TCP is not tried')
  const missing = await output('dig', `missing.${ZONE_NAME}`)
  t.match(missing, /status: NXDOMAIN/)
  t.match(missing, /SOA\s+ns\.zone\.example/)
  t.notMatch(missing, /PAD|KEEPALIVE/, 'nothing of the upstream’s OPT')
  t.match(await output('dig', 'WwW.zOnE.eXaMpLe', '+qr'), /;WwW\.zOnE\.eXaMpLe\.[\s\S]*;WwW\.zOnE\.eXaMpLe\./, 'the case comes back')
}

async function kdig(t: Test): Promise<void> {
  if (!requireTool(t, 'kdig')) return
  t.match(await output('kdig', `@${STUB}`, `www.${ZONE_NAME}`, '+keepopen', '+tcp', '+dnssec'), /192\.0\.2\.10/)
  t.match(await output('kdig', `@${STUB}`, `x\\254y.${ZONE_NAME}`), /192\.0\.2\.54/)
  t.match(await output('kdig', `@${STUB}`, `x\\255y.${ZONE_NAME}`), /192\.0\.2\.55/)
  t.match(await output('kdig', `@${STUB}`, `dot\\.ted.${ZONE_NAME}`), /192\.0\.2\.56/)
  t.match(await output('kdig', `@${STUB}`, '-x', '192.168.1.1'), /NXDOMAIN/, 'private reverse names are answered here')
}

async function getaddrinfo(t: Test): Promise<void> {
  t.match(await output('getent', 'ahosts', `www.${ZONE_NAME}`), /192\.0\.2\.10[\s\S]*192\.0\.2\.11/)
  await t.rejects(output('getent', 'ahosts', `missing.${ZONE_NAME}`), { code: 2 }, 'a name that is not there is not there')
  if (!requireTool(t, 'python3')) return
  const script = `import socket; print(sorted({a[4][0] for a in socket.getaddrinfo("chain1.${ZONE_NAME}", 80, type=socket.SOCK_STREAM)}))`
  t.match(await output('python3', '-c', script), /192\.0\.2\.10', '192\.0\.2\.11', '2001:db8::10'/)
}

async function curl(t: Test): Promise<void> {
  if (!requireTool(t, 'curl')) return
  const web = createServer((_request, response) => response.end('found by name'))
  await new Promise<void>((resolve) => web.listen(0, '127.0.0.1', resolve))
  t.teardown(() => web.close())
  const address = web.address()
  const port = typeof address === 'object' ? address?.port : 0
  t.equal(await output('curl', '-sS', '--noproxy', '*', `http://web.${ZONE_NAME}:${port}/`), 'found by name')
}

/**
 * One at a time, names of 5 to 60 characters: the observer sees one size out and one size in (RFC
 * 8467: 128 and 468).
 */
async function oneSize(t: Test, dotPort: number): Promise<void> {
  const capture = await startCapture(`tcp port ${dotPort}`)
  t.teardown(() => capture.remove())
  const client = await udpClient(53, STUB)
  t.teardown(() => client.close())
  for (let length = 5; length <= 60; length++) await client.ask(query({ name: `${'x'.repeat(length - 3)}.zz`, opt: {} }))
  await capture.stop()
  const records = capture.records(dotPort)
  const sizes = (direction: 'out' | 'in') => [...new Set(records.filter((r) => r.direction === direction).map((r) => r.octets))]
  // On a machine that stands still for a moment, an answer is late and is asked for once more.
  const again = records.length / 2 - 56
  t.ok([0, 1, 2].includes(again), `a record out and a record in for each, ${again} of them twice, and nothing else`)
  // 128 + 2 (length) + 1 (content type) + 16 (tag) + 5 (header); the reply likewise from 468.
  t.strictSame(sizes('out'), [152])
  t.strictSame(sizes('in'), [492])
}
