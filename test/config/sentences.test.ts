import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { checkConfig, loadConfig } from '../../src/config/load.ts'

const dir = mkdtempSync(join(tmpdir(), 'enigm-dns-sentences-'))
t.teardown(() => rmSync(dir, { recursive: true, force: true }))

const RESOLVER = { id: 'a', authenticationDomainName: 'a.example', addresses: ['192.0.2.1'], transports: { dot: {} } }
const ALLOW = { allowFrom: ['0.0.0.0/0', '::/0'] }

interface Files {
  readonly config?: object | string
  readonly set?: object | string
  readonly listen?: readonly string[]
}

/** Every sentence, as "file: path: message", with the directory left out. */
async function sentences({ config = {}, set = { version: 1, resolvers: [RESOLVER] }, listen }: Files): Promise<readonly string[]> {
  const write = (name: string, content: object | string) =>
    writeFileSync(join(dir, name), typeof content === 'string' ? content : JSON.stringify(content), { mode: 0o600 })
  write('config.json', typeof config === 'string' ? config : { resolvers: 'set.json', ...ALLOW, ...config })
  write('set.json', set)
  const { problems } = await checkConfig(join(dir, 'config.json'), listen === undefined ? {} : { listen })
  return problems.map(({ file, path, message }) => `${file.replace(`${dir}/`, '')}: ${path === '' ? '' : `${path}: `}${message}`)
}
const address = (value: unknown) => ({ set: { version: 1, resolvers: [{ ...RESOLVER, addresses: [value] }] } })
const listening = (...listen: readonly string[]) => ({ config: { listen } })

const PIN = Buffer.alloc(32, 7).toString('base64')
const pinned = (pin: unknown) => ({ set: { version: 1, resolvers: [{ ...RESOLVER, spkiPins: [pin] }] } })
const pinSays = (end: RegExp) =>
  new RegExp(`^set\\.json: resolvers\\[0\\]\\.spkiPins\\[0\\]: must be the base64 of 32 octets.*${end.source}`)
const LIST = { id: 'ads', url: 'https://lists.example/a' }

/**
 * What somebody writes, and what the one sentence must say: the place, what is wrong, and what to
 * write instead.
 */
const SLIPS: readonly (readonly [what: string, files: Files, says: RegExp])[] = [
  [
    'link-local without an interface',
    listening('[fe80::1]:53'),
    /^config\.json: listen\[0\]: is link-local.*add it, as in "\[fe80::1%eth0\]:53"/,
  ],
  ['the same, at the end of the block', listening('[FEBF::1]:53'), /link-local.*interface/],
  ['the same, on the command line', { listen: ['[fe80::1]:53'] }, /^command line: --listen: is link-local.*"\[fe80::1%eth0\]:53"/],
  ['no port', listening('127.0.0.1'), /listen\[0\].*the port is missing, write "127\.0\.0\.1:53"/],
  ['no port, IPv6', listening('[::1]'), /the port is missing, write "\[::1\]:53"/],
  ['no brackets', listening('2001:db8::1'), /brackets.*write "\[2001:db8::1\]:53"/],
  ['no brackets, with a port', listening('fd00::1:5353'), /brackets, write "\[fd00::1\]:5353"/],
  ['brackets round IPv4', listening('[127.0.0.1]:53'), /an IPv4 address has no brackets, write "127\.0\.0\.1:53"/],
  ['no address', listening(':53'), /the address is missing, write "127\.0\.0\.1:53"/],
  ['a port alone', listening('53'), /the address is missing, write "127\.0\.0\.1:53"/],
  ['port 65536', listening('127.0.0.1:65536'), /a port is a number from 1 to 65535/],
  ['port -1', listening('127.0.0.1:-1'), /a port is a number from 1 to 65535/],
  ['port 053', listening('127.0.0.1:053'), /a port is a number from 1 to 65535 without leading zeros/],
  ['a name', listening('localhost:53'), /a name is never looked up, write the address/],
  ['an interface', listening('eth0:53'), /a name is never looked up/],
  ['a star', listening('*:53'), /write "0\.0\.0\.0:53" and "\[::\]:53"/],
  ['an interface on IPv4', listening('127.0.0.1%lo:53'), /needs no interface/],
  ['IPv4-mapped', listening('[::ffff:127.0.0.1]:53'), /write "127\.0\.0\.1:53"/],
  ['IPv4-mapped, in hexadecimal', listening('[::ffff:7f00:1]:53'), /write "127\.0\.0\.1:53"/],
  ['multicast', listening('224.0.0.251:5353'), /multicast or broadcast.*name an address of this host/],
  ['broadcast', listening('255.255.255.255:53'), /multicast or broadcast/],
  ['spaces', listening(' 127.0.0.1:53'), /remove the spaces/],
  ['twice', listening('127.0.0.1:53', '127.0.0.1:53'), /^config\.json: listen: names an item twice \("127\.0\.0\.1:53"\); keep one/],
  ['twice, spelt two ways', listening('[::1]:53', '[0:0::1]:53'), /names an item twice \("\[0:0::1\]:53"\); keep one/],
  ['twice on the command line', { listen: ['[::1]:53', '[0::1]:53'] }, /^command line: --listen: names "\[0::1\]:53" twice; keep one/],
  ['no list', { config: { listen: '127.0.0.1:53' } }, /must be a list.*write \["127\.0\.0\.1:53"\]/],
  ['a block too narrow', { config: { allowFrom: ['10.0.0.0/33'] } }, /allowFrom\[0\].*a number from 0 to 32/],
  ['a block too narrow, IPv6', { config: { allowFrom: ['fd00::/129'] } }, /a number from 0 to 128/],
  ['a block with an interface', { config: { allowFrom: ['fe80::%eth0/10'] } }, /it must not contain an interface/],
  ['a block that is a name', { config: { allowFrom: ['localhost'] } }, /a name is never looked up/],
  [
    'a resolver that is link-local',
    address('fe80::1%lo'),
    /^set\.json: resolvers\[0\]\.addresses\[0\]: is link-local.*write a global or unique-local/,
  ],
  ['the same, without interface', address('fe80::1'), /is link-local/],
  ['an interface on a global address', address('2001:db8::1%eth0'), /needs no interface, write "2001:db8::1"/],
  ['an address with a port', address('9.9.9.9:853'), /write "9\.9\.9\.9", and the port in "transports", as in \{"dot": \{"port": 853\}\}/],
  ['IPv6 with a port', address('[2620:fe::fe]:853'), /write "2620:fe::fe", and the port/],
  ['brackets', address('[2620:fe::fe]'), /write "2620:fe::fe"/],
  ['a block', address('9.9.9.9/32'), /not a block; write "9\.9\.9\.9"/],
  ['a name', address('dns.quad9.net'), /must be an IPv4 or IPv6 address \(a name would need a lookup\)/],
  ['a URL', address('https://dns.quad9.net/dns-query'), /must be an IPv4 or IPv6 address/],
  ['IPv4-mapped', address('::ffff:9.9.9.9'), /write "9\.9\.9\.9"/],
  ['every address', address('0.0.0.0'), /is not a host; write the address of the resolver/],
  ['every address, IPv6', address('0::0'), /is not a host/],
  ['multicast', address('ff02::fb'), /multicast or broadcast/],
  ['spaces', address('9.9.9.9 '), /remove the spaces/],
  [
    'twice',
    { set: { version: 1, resolvers: [{ ...RESOLVER, addresses: ['2001:db8::1', '2001:DB8:0::1'] }] } },
    /twice \("2001:DB8:0::1"\); keep one/,
  ],
  [
    'a name with an interface',
    { set: { version: 1, resolvers: [{ ...RESOLVER, authenticationDomainName: 'fe80::1%lo' }] } },
    /authenticationDomainName: must be a host name/,
  ],
  [
    'port 0',
    { set: { version: 1, resolvers: [{ ...RESOLVER, transports: { dot: { port: 0 } } }] } },
    /transports\.dot\.port: must be a whole number from 1 to 65535/,
  ],
  ['an empty configuration', { config: '' }, /^config\.json: the file is empty; write \{\} for the defaults$/],
  ['white space', { config: ' \r\n\t\n' }, /^config\.json: the file is empty; write \{\}/],
  ['a byte order mark', { config: '\uFEFF' }, /^config\.json: the file is empty; write \{\}/],
  ['comments', { config: '// nothing\r\n/* at all */\r\n' }, /^config\.json: the file contains only comments; write \{\}/],
  ['an open comment', { config: '/* nothing' }, /^config\.json: line 1, column 1: unexpected end of comment/],
  ['an empty set', { set: '' }, /^set\.json: the file is empty; write a trusted set, as in \{"version": 1, "resolvers": \[\.\.\.\]\}/],
  ['a set of comments', { set: '// mine\n' }, /^set\.json: the file contains only comments; write a trusted set/],
  [
    'a set without resolvers',
    { set: { version: 1, resolvers: [] } },
    /^set\.json: resolvers: contains no enabled resolver.*the list is empty; add one/,
  ],
  ['a pin with its algorithm', pinned(`sha256/${PIN}`), pinSays(/, and nothing else; write "BwcH[^"]*="/)],
  ['a pin as curl writes it', pinned(`sha256//${PIN}`), pinSays(/; write "BwcH/)],
  ['a pin as HPKP wrote it', pinned(`pin-sha256="${PIN}"`), pinSays(/; write "BwcH/)],
  ['a pin with one sign too many', pinned(`${PIN}=`), pinSays(/; write "BwcH/)],
  ['a pin without its last sign', pinned(PIN.slice(0, -1)), pinSays(/; write "BwcH/)],
  ['half a pin', pinned(PIN.slice(0, 20)), pinSays(/\(the SHA-256 of the public key\) \(found/)],
  ['an empty pin', pinned(''), pinSays(/$/)],
  ['a number as a pin', pinned(7), pinSays(/$/)],
  [
    'a hash of a certificate with its algorithm',
    { set: { version: 1, resolvers: [{ ...RESOLVER, certHashes: [`sha256/${PIN}`] }] } },
    /certHashes\[0\]: must be the base64 or the hexadecimal form of 32 octets.*; write "BwcH/,
  ],
  [
    'two lists with one id',
    { config: { lists: [LIST, { ...LIST, url: 'https://lists.example/b' }] } },
    /^config\.json: lists: names an item twice \("ads"\); keep one of them$/,
  ],
  [
    'two views with one id',
    { config: { views: ['127.0.0.1', '127.0.0.2'].map((one) => ({ id: 'kids', clients: [one], lists: [] })) } },
    /^config\.json: views: names an item twice \("kids"\)/,
  ],
  ['no JSON', { config: 'listen = 127.0.0.1' }, /^config\.json: line 1, column 1: /],
  ['no JSON, on two lines', { config: 'garbage\n' }, /^config\.json: line 1, column 1: /],
]

t.test('one sentence names the place and the fix', async (t) => {
  for (const [what, files, says] of SLIPS) {
    const [first = '', ...more] = await sentences(files)
    t.match(first, says, what)
    if (!/open comment/.test(what)) t.same(more, [], `${what}: one sentence`)
  }
})

t.test('a number that no computer holds, a directory, and an empty name are called what they are', async (t) => {
  const ends = async (text: string) => (await sentences({ config: text }))[0]
  t.match(await ends('{"timeoutMs": 1e400}'), /^config\.json: timeoutMs: must be .* \(found a number above 1\.8e308\)$/)
  t.match(await ends('{"cache": {"maxTtlS": -1e999}}'), /^config\.json: cache\.maxTtlS: .* \(found a number below -1\.8e308\)$/)
  const first = async (file: string) => (await checkConfig(file)).problems.map(({ file, path, message }) => `${file}: ${path}: ${message}`)
  t.match(await first(dir), [/: cannot be read: it is a directory, not a regular file/])
  t.same(await first(''), ['command line: --config: needs the name of a file; name one, or leave the option out for the default'])
  await t.rejects(loadConfig(''), { message: /^command line: --config: needs the name of a file/ })
})

t.test('valid input stays valid: a byte order mark, CRLF, an interface where it is required', async (t) => {
  t.same(await sentences({ config: '\uFEFF{\r\n  // mine\r\n  "resolvers": "set.json"\r\n}\r\n' }), [])
  t.same(await sentences({ set: `\uFEFF${JSON.stringify({ version: 1, resolvers: [RESOLVER] }, null, 1).replaceAll('\n', '\r\n')}` }), [])
  t.same(await sentences(listening('[fe80::1%eth0]:54', '[::]:53', '0.0.0.0:53', '[fd00::1]:0')), [])
  t.same(await sentences(address('169.254.1.1')), [])
  t.same(
    await sentences({ config: { policy: { networks: [{ name: 'home', match: { gateway: 'fe80::1' } }] } } }),
    [],
    'a gateway is often link-local',
  )
})

t.test('an address beside a wildcard that takes its port is refused, and one that it does not take is not', async (t) => {
  const at = (...listen: readonly string[]) => sentences({ config: { listen, allowFrom: ['10.0.0.0/8'] } })
  const covered: readonly (readonly [listen: readonly string[], place: number, by: string])[] = [
    [['127.0.0.1:5300', '0.0.0.0:5300'], 0, '0.0.0.0:5300'],
    [['0.0.0.0:5300', '10.0.0.1:5300'], 1, '0.0.0.0:5300'],
    [['[::1]:53', '[::]:53'], 0, '[::]:53'],
    [['[0:0:0:0:0:0:0:0]:53', '[fe80::1%eth0]:53'], 1, '[0:0:0:0:0:0:0:0]:53'],
  ]
  for (const [listen, place, by] of covered) {
    const found = await at(...listen)
    t.equal(found.length, 1, listen.join())
    const text = `"${listen[place]}" is covered by "${by}", which takes port ${by.split(':').at(-1)} on every address; remove one of the two`
    t.ok(found[0]?.endsWith(`listen[${place}]: ${text}`), `${found[0]}`)
  }
  t.same(await at('0.0.0.0:5300', '127.0.0.1:5301', '[::1]:5300'), [], 'another port, another family')
  t.same(await at('0.0.0.0:0', '127.0.0.1:0'), [], 'any free port')
})

/** A key as somebody may write it, and the keys that the one sentence names. */
const UNKNOWN: readonly (readonly [what: object, says: RegExp])[] = [
  [{ Listen: [] }, /^Listen: is not a known key; did you mean "listen"\?$/],
  [{ allow_from: [] }, /^allow_from: .*did you mean "allowFrom"\?$/],
  [{ timeout: 4 }, /^timeout: .*did you mean "timeoutMs"\?$/],
  [{ transport: 'dot' }, /^transport: .*did you mean "transports"\?$/],
  [{ resolver: 'a' }, /^resolver: .*did you mean "resolvers"\?$/],
  [{ wrokers: 1 }, /^wrokers: .*did you mean "workers"\?$/],
  [{ state: 'a' }, /^state: .*did you mean "stateDir"\?$/],
  [{ statusfile: 'a' }, /^statusfile: .*did you mean "statusFile"\?$/],
  [{ jitterMs: 1 }, /^jitterMs: does not belong here; move it into "shaping", as in "shaping": \{ "jitterMs": ... \}$/],
  [{ cache: { timeoutMs: 1 } }, /^cache\.timeoutMs: does not belong in this object; move it to the top level/],
  [{ cache: { level: 'info' } }, /^cache\.level: does not belong here; move it into "log"/],
  [{ cache: { ttl: 1 } }, /^cache\.ttl: .*did you mean "minTtlS" or "maxTtlS"\?$/],
  [{ policy: { networks: [{ name: 'a', match: { gatewayMAC: '02:00:5e:10:00:01' } }] } }, /gatewayMAC: .*did you mean "gatewayMac"\?$/],
  [{ xyzzy: 1 }, /^xyzzy: is not a known key; remove it \(docs\/configuration\.md lists all keys\)$/],
  [{ [`k${'x'.repeat(100_000)}`]: 1 }, /is not a known key; remove it/],
  [{ log: { xyzzy: 1 } }, /^log\.xyzzy: is not a known key; remove it or write one of: level$/],
  [{ dohClient: 'node' }, /^dohClient: was removed: .*delete the line$/],
  [{ use: [] }, /^use: names no resolver, so no name could be resolved; name one, or delete the line/],
]

t.test('an unknown key names a similar one, and not every known key', async (t) => {
  for (const [config, says] of UNKNOWN) {
    const found = await sentences({ config })
    const own = found.map((line) => line.replace(/^config\.json: /, ''))
    t.ok(
      own.some((line) => says.test(line)),
      `${JSON.stringify(config).slice(0, 80)}: ${own.join(' | ').slice(0, 300)}`,
    )
    t.ok(
      own.every((line) => line.length < 300),
      'a sentence, not a list',
    )
  }
  const set = { version: 1, resolvers: [{ ...RESOLVER, adresses: ['192.0.2.1'] }] }
  t.match(await sentences({ set }), [/^set\.json: resolvers\[0\]\.adresses: is not a known key; did you mean "addresses"\?$/])
})
