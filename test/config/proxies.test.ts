import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspect } from 'node:util'
import t from 'tap'
import { checkConfig, loadConfig } from '../../src/config/load.ts'
import { createAuthority } from '../../src/demo/authority.ts'
import { routeOf } from '../../src/route.ts'

const dir = mkdtempSync(join(tmpdir(), 'enigm-dns-proxies-'))
t.teardown(() => rmSync(dir, { recursive: true, force: true }))
const write = (name: string, text: string, mode = 0o600) => {
  writeFileSync(join(dir, name), text)
  chmodSync(join(dir, name), mode)
}
const RESOLVER = { id: 'a', operator: 'A', authenticationDomainName: 'a.example', addresses: ['192.0.2.1'], transports: { dot: {} } }
/** A real one: its checksum is right. */
const ONION = 'duckduckgogg42xjoc72x3sjasowoarfbgcmvfimaftt6twagswzczad.onion'
const SOCKS = { type: 'socks5', address: '127.0.0.1:9050' }
const CONNECT = { type: 'http-connect', address: '192.0.2.8:3128' }
const FAR = { type: 'socks5', address: 'proxy.example:1080' }

write('password', 'secret\n')
write('ca.pem', (await createAuthority()).certificate)

interface Files {
  readonly config: object
  readonly resolver?: object
}

async function sentences({ config, resolver = {} }: Files): Promise<readonly string[]> {
  write('config.json', JSON.stringify({ resolvers: 'set.json', ...config }))
  write('set.json', JSON.stringify({ version: 1, resolvers: [{ ...RESOLVER, ...resolver }] }))
  const { problems } = await checkConfig(join(dir, 'config.json'))
  return problems.map(({ file, path, message }) => `${file}: ${path === '' ? '' : `${path}: `}${message}`.replaceAll(`${dir}/`, ''))
}
const one = (proxy: object) => ({ config: { proxies: { p: proxy }, via: ['p'] } })
const socks = (more: object) => one({ ...SOCKS, ...more })
const connect = (more: object) => one({ ...CONNECT, ...more })

/** What somebody writes, and what the one sentence says. */
const SLIPS: readonly (readonly [what: string, files: Files, says: RegExp])[] = [
  [
    'an unknown proxy',
    { config: { proxies: { tor: SOCKS }, via: ['tro'] } },
    /^config\.json: via\[0\]: "tro" is not among "proxies" of config\.json; add it there or name one of: tor$/,
  ],
  ['none at all', { config: { via: ['tor'] } }, /^config\.json: via\[0\]: "tor" is not among "proxies" of config\.json; add it there$/],
  ['a key of every object', { config: { via: ['toString'] } }, /via\[0\]: "toString" is not among "proxies"/],
  [
    'an unknown proxy in the set',
    { config: {}, resolver: { via: ['tor'] } },
    /^set\.json: resolvers\[0\]\.via\[0\]: "tor" is not among "proxies" of config\.json/,
  ],
  [
    'a name as the first address',
    { config: { proxies: { far: FAR }, via: ['far'] } },
    /^config\.json: via\[0\]: "far" is the first proxy, and its address is the name "proxy\.example", which would need a lookup in cleartext; write its IP/,
  ],
  [
    'the same in the set',
    { config: { proxies: { far: FAR } }, resolver: { via: ['far'] } },
    /^set\.json: resolvers\[0\]\.via\[0\]: "far" is the first/,
  ],
  [
    'four proxies',
    { config: { proxies: Object.fromEntries([...'abcd'].map((name) => [name, SOCKS])), via: [...'abcd'] } },
    /^config\.json: via: must name at most 3 proxies; remove some$/,
  ],
  ['four in the set', { config: {}, resolver: { via: [...'abcd'] } }, /^set\.json: resolvers\[0\]\.via: must name at most 3 proxies/],
  ['one twice', { config: { proxies: { a: SOCKS }, via: ['a', 'a'] } }, /^config\.json: via: names a proxy twice \("a"\); keep one/],
  ['no list', { config: { proxies: { a: SOCKS }, via: 'a' } }, /^config\.json: via: must be a list of names of proxies; write \["a"\]/],
  ['a list of proxies', { config: { proxies: [SOCKS] } }, /^config\.json: proxies.*must be an object with .*name/],
  ['a name with a space', { config: { proxies: { 'my proxy': SOCKS } } }, /^config\.json: proxies\["my proxy"\]: must consist of letters/],
  [
    'kind tor',
    one({ ...SOCKS, type: 'tor' }),
    /proxies\.p\.type: must be one of: socks5, http-connect; for Tor write "socks5", and "isolate"/,
  ],
  ['kind https', one({ ...SOCKS, type: 'https' }), /write "http-connect", and "tls"/],
  ['kind constructor', one({ ...SOCKS, type: 'constructor' }), /must be one of: socks5, http-connect \(found/],
  ['no kind', one({ address: '127.0.0.1:1' }), /proxies\.p\.type: is required/],
  ['no address', one({ type: 'socks5' }), /proxies\.p\.address: is required/],
  ['a URL', socks({ address: 'socks5://127.0.0.1:9050' }), /address: must be ADDRESS:PORT.*it is not a URL/],
  ['no port', socks({ address: '127.0.0.1' }), /the port is missing/],
  ['no port, a name', socks({ address: 'localhost' }), /the port is missing/],
  ['port 0', socks({ address: '127.0.0.1:0' }), /a port is a number from 1 to 65535/],
  ['port 65536', socks({ address: '127.0.0.1:65536' }), /must be ADDRESS:PORT/],
  ['IPv6 without brackets', socks({ address: '::1:9050' }), /an IPv6 address needs brackets/],
  ['every address', socks({ address: '0.0.0.0:9050' }), /means every address/],
  ['multicast', socks({ address: '224.0.0.1:9050' }), /multicast/],
  ['link-local without an interface', socks({ address: '[fe80::1]:9050' }), /link-local and needs its interface/],
  ['IPv4 in IPv6 form', socks({ address: '[::ffff:127.0.0.1]:9050' }), /write "127\.0\.0\.1:9050"/],
  ['an onion service', socks({ address: `${ONION}:9050` }), /cannot be a proxy/],
  [
    'a password in the file',
    socks({ username: 'u', password: 'x' }),
    /proxies\.p\.password: is never written here; write it into a file of mode 0600/,
  ],
  ['a user name alone', socks({ username: 'u' }), /proxies\.p: has a "username" without "passwordFile"/],
  ['a password alone', socks({ passwordFile: 'password' }), /proxies\.p: has a "passwordFile" without "username"/],
  ['a colon', connect({ username: 'a:b', passwordFile: 'password' }), /with a colon, which HTTP cannot carry/],
  ['isolation of CONNECT', connect({ isolate: 'operator' }), /has "isolate": "operator", which needs "type": "socks5"/],
  ['isolation with a user', socks({ isolate: 'operator', username: 'u', passwordFile: 'password' }), /draws a user name for each operator/],
  ['another isolation', socks({ isolate: 'query' }), /proxies\.p\.isolate: must be one of: operator, none/],
  ['pins without TLS', connect({ spkiPins: ['x'] }), /proxies\.p\.spkiPins: needs TLS to the proxy; move it into "tls"/],
  ['a CA without TLS', connect({ caFile: 'ca.pem' }), /proxies\.p\.caFile: needs TLS to the proxy; move it into "tls"/],
  ['TLS without a name', connect({ tls: { caFile: 'ca.pem' } }), /proxies\.p\.tls\.authenticationDomainName: is required/],
  [
    'a pin that is none',
    connect({ tls: { authenticationDomainName: 'p.example', spkiPins: ['x'] } }),
    /tls\.spkiPins\[0\]: must be the base64/,
  ],
  [
    'no CA file',
    connect({ tls: { authenticationDomainName: 'p.example', caFile: 'absent.pem' } }),
    /^absent\.pem: cannot be read: there is no such file/,
  ],
  [
    'a CA file without a certificate',
    connect({ tls: { authenticationDomainName: 'p.example', caFile: 'password' } }),
    /^password: contains no certificate/,
  ],
  [
    'no password file',
    socks({ username: 'u', passwordFile: 'absent' }),
    /^absent: cannot be read: there is no such file .*\(passwordFile of the proxy "p"/,
  ],
  [
    'an onion service without a proxy',
    { config: {}, resolver: { addresses: [ONION] } },
    /^set\.json: resolvers\[0\]\.addresses\[0\]: is an onion service, and "a" is reached directly; name Tor in "via"$/,
  ],
  [
    'an onion service, and this one direct',
    { config: { proxies: { tor: SOCKS }, via: ['tor'] }, resolver: { via: [], addresses: ['192.0.2.1', ONION] } },
    /^set\.json: resolvers\[0\]\.addresses\[1\]: is an onion service, and "a" is reached directly/,
  ],
  [
    'an onion service behind another proxy',
    { config: { proxies: { tor: SOCKS, corp: CONNECT }, via: ['tor', 'corp'] }, resolver: { addresses: [ONION] } },
    /the last proxy on the way to "a" is "corp", which is not Tor; let "via" end with Tor/,
  ],
  ['a short onion name', { config: {}, resolver: { addresses: ['abc.onion'] } }, /must be the whole name of an onion service of version 3/],
  [
    'a mistyped onion name',
    { config: {}, resolver: { addresses: [ONION.replace('duck', 'dudk')] } },
    /addresses\[0\]: is mistyped: its checksum is wrong/,
  ],
]

t.test('one sentence names the place and the fix', async (t) => {
  for (const [what, files, says] of SLIPS) {
    const [first = '', ...more] = await sentences(files)
    t.match(first, says, what)
    t.same(more, [], `${what}: one sentence`)
  }
})

t.test('a password that others can read, an empty one, and one in two lines', async (t) => {
  const withPassword = (passwordFile: string) => sentences(socks({ username: 'u', passwordFile }))
  for (const mode of [0o644, 0o640, 0o604, 0o601]) {
    write('open', 'secret', mode)
    const found = await withPassword('open')
    t.match(found, [
      /^open: can be read or written by others than its owner; run: chmod 600 .*open \(passwordFile of the proxy "p" in config\.json\)$/,
    ])
  }
  for (const mode of [0o600, 0o400]) {
    write('shut', 'secret', mode)
    t.same(await withPassword('shut'), [])
  }
  const faults: readonly (readonly [string, RegExp])[] = [
    ['', /is empty/],
    ['\n', /is empty/],
    ['a\nb\n', /one line/],
    ['a\0b', /without control characters/],
    ['x'.repeat(256), /more than 255 octets/],
  ]
  for (const [text, says] of faults) {
    write('faulty', text)
    t.match(await withPassword('faulty'), [says], JSON.stringify(text.slice(0, 10)))
  }
})

t.test('valid proxies and routes', async (t) => {
  const proxies = {
    tor: { ...SOCKS, isolate: 'operator' },
    corp: {
      ...CONNECT,
      username: 'u',
      passwordFile: 'password',
      tls: { authenticationDomainName: 'proxy.example', caFile: 'ca.pem', spkiPins: [] },
      operator: 'Corp',
      jurisdiction: 'CH',
    },
    far: FAR,
    six: { type: 'socks5', address: '[fe80::1%eth0]:1080' },
  }
  t.same(await sentences({ config: { proxies } }), [], 'a name in a proxy that no route begins with')
  t.same(await sentences({ config: { proxies, via: ['corp', 'far', 'tor'] }, resolver: { addresses: ['192.0.2.1', ONION] } }), [])
  t.same(await sentences({ config: { proxies, via: ['tor'] }, resolver: { via: [] } }), [])
  t.same(await sentences({ config: { proxies }, resolver: { via: ['six'] } }), [])

  await sentences({ config: { proxies, via: ['corp', 'far', 'tor'] } })
  const loaded = await loadConfig(join(dir, 'config.json'))
  t.strictSame(routeOf({ id: 'a' }, loaded.config), {
    resolver: 'a',
    hops: [
      {
        ...{
          kind: 'http-connect',
          name: 'corp',
          host: '192.0.2.8',
          port: 3128,
          credentials: 'fixed',
          operator: 'Corp',
          jurisdiction: 'CH',
        },
        protection: { by: 'tls', authenticated: 'ca', authenticationDomainName: 'proxy.example' },
      },
      { kind: 'socks5', name: 'far', host: 'proxy.example', port: 1080, protection: { by: 'none' }, credentials: 'none' },
      { kind: 'socks5', name: 'tor', host: '127.0.0.1', port: 9050, protection: { by: 'none' }, credentials: 'per-operator' },
    ],
  })
  t.strictSame(routeOf({ id: 'b', via: [] }, loaded.config), { resolver: 'b', hops: [] }, 'its own via counts')
  t.throws(() => routeOf({ id: 'b', via: ['absent'] }, loaded.config), { code: 'config' }, 'never direct instead')
  const malformed = { proxies: { bad: { type: 'socks5', address: 'nowhere', isolate: 'none' } }, via: ['bad'] } as const
  t.throws(() => routeOf({ id: 'b' }, malformed), { code: 'config', message: 'the address of the proxy "bad" is not valid' })
  t.ok(loaded.files.includes(join(dir, 'password')) && loaded.files.includes(join(dir, 'ca.pem')), 'a change of these files is noticed')
  t.notMatch(JSON.stringify(loaded), /secret/)
  t.notMatch(inspect(loaded, { depth: 9, showHidden: true }), /secret/)
  t.equal(loaded.proxyFiles?.corp?.password?.reveal(), 'secret')

  write('password', 'changed\n')
  t.not(JSON.stringify(await loadConfig(join(dir, 'config.json'))), JSON.stringify(loaded), 'another password is another configuration')
})
