import { writeFileSync } from 'node:fs'
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import t from 'tap'
import { HostsFile, hostsSummary } from '../../src/config/hosts-file.ts'
import { checkConfig, type DefaultFiles, type Loaded, loadConfig, reloadConfig } from '../../src/config/load.ts'
import { defaultStateDir, defaultStatusFile, shippedResolversFile } from '../../src/config/paths.ts'
import { EnigmError } from '../../src/errors.ts'

const room = await mkdtemp(join(tmpdir(), 'enigm-load-'))
t.teardown(() => rm(room, { recursive: true }))
const places: DefaultFiles = { configFile: join(room, 'absent.json'), resolversFile: shippedResolversFile() }
let count = 0

async function file(content: unknown, name = `config-${count++}.json`): Promise<string> {
  const path = join(room, name)
  await writeFile(path, typeof content === 'string' ? content : JSON.stringify(content))
  await chmod(path, 0o644)
  return path
}

const load = async (content: unknown, listen?: string[]): Promise<Loaded> =>
  loadConfig(await file(content), listen === undefined ? {} : { listen }, places)

/** "path: message" of every problem. */
async function problemsOf(content: unknown, listen?: string[]): Promise<readonly string[]> {
  const { loaded, problems } = await checkConfig(await file(content), listen === undefined ? {} : { listen }, places)
  if ((loaded === undefined) !== problems.length > 0) throw new Error('loaded if and only if there is no problem')
  return problems.map(({ path, message }) => `${path}: ${message}`)
}

const resolver = (id: string, more: object = {}) => ({
  id,
  authenticationDomainName: `${id}.example`,
  addresses: ['192.0.2.1'],
  transports: { dot: {} },
  ...more,
})
const withSet = async (...resolvers: object[]) => ({ resolvers: await file({ version: 1, resolvers }, `set-${count++}.json`) })

t.test('a reload requires the file at the default place that is in force', async (t) => {
  const configFile = await file({ timeoutMs: 777 }, 'default-place.json')
  const here = { ...places, configFile }
  const inForce = await loadConfig(undefined, {}, here)
  t.equal((await reloadConfig(inForce, undefined, {}, here)).config.timeoutMs, 777)
  await rm(configFile)
  await t.rejects(reloadConfig(inForce, undefined, {}, here), { code: 'config', message: /default-place\.json: cannot be read/ })
  const defaults = await loadConfig(undefined, {}, here)
  t.equal((await reloadConfig(defaults, undefined, {}, here)).config.timeoutMs, 4000, 'what began without a file goes on without')
  await file({ timeoutMs: 778 }, 'default-place.json')
  t.equal((await reloadConfig(defaults, undefined, {}, here)).config.timeoutMs, 778, 'and takes one that has come')
})

t.test('without a file: the defaults of the contract and the shipped set', async (t) => {
  const { config, resolvers, listen, files } = await loadConfig(undefined, {}, places)
  t.strictSame(config, {
    listen: ['127.0.0.53:53'],
    resolvers: shippedResolversFile(),
    updates: 'ask',
    use: ['quad9', 'dns4eu'],
    forward: [],
    allowCleartext: [],
    views: [],
    transports: ['dot', 'doh'],
    proxies: {},
    via: [],
    usageProfile: 'strict',
    allowDnscryptCertificates: false,
    padding: { queryBlock: 128 },
    shaping: { profile: 'jitter', jitterMs: 20 },
    cache: { maxBytes: 33_554_432, minTtlS: 0, maxTtlS: 86_400, staleMaxS: 86_400, prefetch: true, persist: 'off' },
    rebinding: { protect: false, allow: [], allowAddresses: [] },
    hosts: [],
    lists: [],
    answers: [],
    timeoutMs: 4000,
    allowFrom: ['127.0.0.0/8', '::1/128'],
    clientQueriesPerS: 0,
    workers: 1,
    heartbeatS: 10,
    statusFile: defaultStatusFile(),
    stateDir: defaultStateDir(),
    log: { level: 'info' },
    udp: 'auto',
    system: { enabled: false, vpnDns: 'leave' },
    odoh: { configFetch: 'proxied' },
    split: 'none',
  })
  t.strictSame(listen, [{ address: '127.0.0.53', port: 53 }])
  t.strictSame(files, [shippedResolversFile()])
  t.strictSame(
    resolvers.map(({ id }) => id),
    ['quad9', 'dns4eu'],
  )
})

t.test('the default file is read when it exists, and a named one must exist', async (t) => {
  const configFile = await file({ timeoutMs: 1234 }, 'default.json')
  const { config, files } = await loadConfig(undefined, {}, { ...places, configFile })
  t.equal(config.timeoutMs, 1234)
  t.equal(files[0], configFile)
  await t.rejects(loadConfig(join(room, 'absent.json'), {}, places), {
    code: 'config',
    message: /absent\.json: cannot be read: there is no such file/,
  })
})

t.test('comments, partial objects, and paths relative to the file', async (t) => {
  const { resolvers: set } = await withSet(resolver('a'))
  const { config } = await load(
    `{ // mine\n "cache": {"maxTtlS": 60,}, "resolvers": ${JSON.stringify(set.slice(room.length + 1))}, "statusFile": "s.json", "stateDir": "/x/y",}`,
  )
  t.strictSame(config.cache, { maxBytes: 33_554_432, minTtlS: 0, maxTtlS: 60, staleMaxS: 86_400, prefetch: true, persist: 'off' })
  t.equal(config.resolvers, set)
  t.equal(config.statusFile, join(room, 's.json'))
  t.equal(config.stateDir, '/x/y')
})

t.test('each fault is one problem with path and fix', async (t) => {
  const cases: readonly (readonly [content: object | string, expected: RegExp])[] = [
    [{ listn: [] }, /^listn: is not a known key; did you mean "listen" or "lists"\?$/],
    [{ shaping: { jitter: 1 } }, /^shaping\.jitter: is not a known key; did you mean "jitterMs"\?$/],
    [{ toString: 1 }, /^toString: is not a known key/],
    [{ 'a\u001b[2J': 1 }, /^\["a\\u001b\[2J"\]: is not a known key/],
    [{ padding: [] }, /^padding: must be an object/],
    ['[]', /^: must be an object/],
    ['null', /^: must be an object/],
    ['7', /^: must be an object/],
    [{ listen: [] }, /^listen: must be a list of 1 to 64/],
    [{ listen: ['127.0.0.1:53', '127.0.0.1:53'] }, /^listen: names an item twice/],
    [{ listen: ['localhost:53'] }, /^listen\[0\]: must be ADDRESS:PORT.*"localhost:53"/],
    [
      { listen: ['127.0.0.1:53', '0.0.0.0:54'] },
      /^listen\[1\]: "0\.0\.0\.0:54" can be reached from other hosts; list the allowed clients in allowFrom/,
    ],
    [{ listen: ['[::]:53'] }, /^listen\[0\]: .*allowFrom/],
    [{ allowFrom: ['10.0.0.0/33'] }, /^allowFrom\[0\]: must be a block of addresses.*"10\.0\.0\.0\/33"/],
    [{ transports: [] }, /^transports: must be a list of 1 to 5/],
    [{ transports: ['quic'] }, /^transports\[0\]: must be one of: dot, doh, odoh, doq, dnscrypt \(found "quic"\)/],
    [{ transports: ['dot', 'dot'] }, /^transports: names an item twice/],
    [{ usageProfile: 'lax' }, /^usageProfile: must be one of: strict, opportunistic/],
    [{ padding: { queryBlock: 15 } }, /^padding\.queryBlock: must be 0 \(no padding\) or from 16 to 512/],
    [{ padding: { queryBlock: 513 } }, /^padding\.queryBlock: /],
    [{ padding: { queryBlock: 16.5 } }, /^padding\.queryBlock: /],
    [{ shaping: { jitterMs: 2001 } }, /^shaping\.jitterMs: must be a whole number from 0 to 2000 \(found 2001\)/],
    [{ shaping: { jitterMs: -1.5 } }, /^shaping\.jitterMs: /],
    [{ shaping: { profile: 'loud' } }, /^shaping\.profile: must be one of/],
    [{ timeoutMs: 499 }, /^timeoutMs: must be a whole number from 500 to 10000/],
    [{ timeoutMs: '4000' }, /^timeoutMs: .*\(found "4000"\)/],
    ['{"timeoutMs": 1e999}', /^timeoutMs: /],
    [{ heartbeatS: 0 }, /^heartbeatS: must be a whole number from 1 to 3600/],
    [{ workers: 0 }, /^workers: /],
    [{ cache: { minTtlS: 10, maxTtlS: 9 } }, /^cache\.minTtlS: must not be more than cache\.maxTtlS/],
    [{ cache: { minTtlS: 86_401 } }, /^cache\.minTtlS: must not be more/],
    [{ cache: { maxBytes: 1 } }, /^cache\.maxBytes: /],
    [{ cache: { maxBytes: 34_359_738_369 } }, /^cache\.maxBytes: /],
    [{ log: { level: 'loud' } }, /^log\.level: must be one of/],
    [{ udp: 'tcp' }, /^udp: must be one of: auto, dgram, batch/],
    [{ dohClient: 'lean' }, /^dohClient: was removed: .*; delete the line$/],
    [{ dohClient: 'node' }, /^dohClient: was removed: .*; delete the line$/],
    [{ use: [] }, /^use: names no resolver, so no name could be resolved; name one, or delete the line/],
    [{ use: ['quad9', 'nobody'] }, /^use\[1\]: "nobody" is not in .*resolvers\.json; name one of: quad9, dns4eu/],
    [{ use: ['quad9'], transports: ['dot'], statusFile: '' }, /^statusFile: must be a text of 1 to/],
    [{ use: ['digitalcourage'], transports: ['doh'] }, /^use\[0\]: "digitalcourage" offers only dot; add one of these to "transports"/],
    ['{"a": 1,, }', /^: line 1, column 9: /],
    ['{"workers": 1, "workers": 2}', /^: line 1, column 16: the key "workers" appears twice/],
  ]
  for (const [content, expected] of cases) t.match(await problemsOf(content), [expected], JSON.stringify(content))
})

t.test('the limits themselves are allowed', async (t) => {
  for (const content of [
    { shaping: { jitterMs: 0 } },
    { shaping: { jitterMs: 2000, profile: 'off' } },
    { timeoutMs: 500 },
    { timeoutMs: 10_000 },
    { heartbeatS: 1 },
    { heartbeatS: 3600 },
    { padding: { queryBlock: 0 } },
    { padding: { queryBlock: 16 } },
    { padding: { queryBlock: 512 } },
    { cache: { minTtlS: 5, maxTtlS: 5 } },
    { listen: ['0.0.0.0:5353'], allowFrom: ['10.0.0.0/8'] },
    { listen: ['127.0.0.1:0', '[::1]:0'] },
    { $schema: './schema/config.schema.json' },
  ]) {
    t.strictSame(await problemsOf(content), [], JSON.stringify(content))
  }
})

t.test('all problems are reported together, one line each, with file, path and fix', async (t) => {
  const set = await file({ version: 2, resolvers: [resolver('a', { addresses: ['dns.example'] }), resolver('b')] }, 'broken-set.json')
  const config = await file({
    resolvers: set,
    use: ['b', 'nobody'],
    one: 1,
    two: 2,
    timeoutMs: 1,
    listen: ['0.0.0.0:53'],
    cache: { minTtlS: 9, maxTtlS: 1 },
  })
  const error = await loadConfig(config, {}, places).then(
    () => undefined,
    (error: unknown) => error,
  )
  if (!(error instanceof EnigmError)) return void t.fail('no EnigmError')
  t.equal(error.code, 'config')
  const lines = error.message.split('\n')
  for (const start of ['one: ', 'two: ', 'timeoutMs: ', 'listen[0]: ', 'cache.minTtlS: ', 'use[1]: '])
    t.ok(
      lines.some((line) => line.startsWith(`${config}: ${start}`)),
      start,
    )
  for (const start of ['version: ', 'resolvers[0].addresses[0]: '])
    t.ok(
      lines.some((line) => line.startsWith(`${set}: ${start}`)),
      start,
    )
  t.equal(lines.length, 8, error.message)
})

t.test('20,000 faults are reported in 101 lines, in time', async (t) => {
  const before = process.cpuUsage()
  const keys = Array.from({ length: 20_000 }, (_, index) => `"k${index}":1`)
  await t.rejects(load(`{${keys.join()}}`), { code: 'config', message: /^(.*\n){100}and 19900 more problems; fix these first$/ })
  await t.rejects(load({ allowFrom: Array.from({ length: 20_000 }, () => 'x') }), { code: 'config' })
  // CPU, not time: the machine may be busy.
  const { user, system } = process.cpuUsage(before)
  const ms = (user + system) / 1000
  t.ok(ms < 4000, `${ms} ms`)
})

t.test('a key from a file cannot break the line or colour the terminal', async (t) => {
  const error = await load({ 'x\n\u001b[31m\u202e': 1 }).then(
    () => undefined,
    (error: unknown) => error,
  )
  t.match(error, { message: /^[\x20-\x7e]+$/ })
})

t.test('--listen overrides the file and is checked in the same way', async (t) => {
  const { listen, config } = await load({ listen: ['127.0.0.1:53'] }, ['127.0.0.1:0', '[::1]:5300'])
  t.strictSame(listen, [
    { address: '127.0.0.1', port: 0 },
    { address: '::1', port: 5300 },
  ])
  t.strictSame(config.listen, ['127.0.0.1:0', '[::1]:5300'])
  t.match(await problemsOf({}, ['nowhere']), [/^--listen: must be ADDRESS:PORT/])
  t.match(await problemsOf({}, ['0.0.0.0:53']), [/^--listen: .*allowFrom/])
  t.strictSame(await problemsOf({ allowFrom: ['0.0.0.0/0'] }, ['0.0.0.0:53']), [])
})

t.test('use sets the order, and may name resolvers that are disabled by default', async (t) => {
  const { resolvers, config } = await load({ use: ['cloudflare', 'quad9'] })
  t.strictSame(
    resolvers.map(({ id }) => id),
    ['cloudflare', 'quad9'],
  )
  t.strictSame(config.use, ['cloudflare', 'quad9'])
})

t.test('an enabled resolver that shares no transport is left out; if none is left, that is a problem', async (t) => {
  const set = await withSet(resolver('a'), resolver('b', { transports: { doh: {} } }), resolver('c', { enabled: false }))
  t.strictSame((await load({ ...set, transports: ['doh'] })).config.use, ['b'])
  t.strictSame((await load(set)).config.use, ['a', 'b'])
  t.match(await problemsOf({ ...(await withSet(resolver('a'))), transports: ['doh'] }), [
    /^resolvers: no enabled resolver offers doh; enable one/,
  ])
  t.match(await problemsOf(await withSet(resolver('a', { enabled: false }))), [/^resolvers: no enabled resolver offers dot or doh/])
  const disabled = await withSet(resolver('a', { enabled: false }))
  for (const use of [['a', 'a'], 'a']) t.match(await problemsOf({ ...disabled, use }), [/^use/], 'a fault of "use" has no second one')
  t.equal((await problemsOf({ ...disabled, use: 'a' })).length, 1)
  t.match(await problemsOf(await withSet()), [/^resolvers: contains no enabled resolver/])
})

t.test('files that others can write are refused: configuration, set and CA', { skip: process.getuid === undefined }, async (t) => {
  const ca = await file('no certificate', 'loose-ca.pem')
  const { resolvers: set } = await withSet(resolver('a', { caFile: 'loose-ca.pem' }))
  const config = await file({ resolvers: set })
  for (const path of [ca, set, config]) await chmod(path, 0o666)
  const { problems } = await checkConfig(config, {}, places)
  for (const path of [ca, set, config])
    t.ok(
      problems.some(({ file, message }) => file === path && message.endsWith(`chmod go-w ${path}`)),
      path,
    )
})

t.test('the shipped set belongs to the program: a group-writable checkout still starts', async (t) => {
  const resolversFile = await file({ version: 1, resolvers: [resolver('a')] }, 'shipped.json')
  await chmod(resolversFile, 0o664)
  t.strictSame((await loadConfig(undefined, {}, { ...places, resolversFile })).config.use, ['a'])
  await t.rejects(loadConfig(undefined, {}, { ...places, resolversFile: undefined }), { message: /reinstall the program/ })
})

t.test('property: random values never crash; what fails is an EnigmError("config")', async () => {
  const path = join(room, 'random.json')
  const key = fc.constantFrom(
    'listen',
    'use',
    'transports',
    'padding',
    'shaping',
    'cache',
    'allowFrom',
    'log',
    'timeoutMs',
    'resolvers',
    'jitterMs',
    'maxTtlS',
    '__proto__',
    'constructor',
    'x',
  )
  const value = fc.letrec((tie) => ({
    any: fc.oneof(
      { maxDepth: 4 },
      fc.jsonValue(),
      fc.constantFrom('dot', '127.0.0.1:53', '10.0.0.0/8', 'quad9', -1, 1e308),
      fc.array(tie('any')),
      tie('object'),
    ),
    object: fc.dictionary(key, tie('any')),
  }))
  await fc.assert(
    fc.asyncProperty(
      fc.oneof(
        value.object.map((o) => JSON.stringify(o)),
        value.any.map((o) => JSON.stringify(o)),
        fc.string({ unit: 'binary' }),
      ),
      async (text) => {
        await writeFile(path, text)
        try {
          await loadConfig(path, {}, places)
        } catch (error) {
          if (!(error instanceof EnigmError) || error.code !== 'config' || error.message === '') throw error
        }
      },
    ),
    { numRuns: 120 },
  )
})

t.test('a hosts file that loses all its names at once is damaged: the reload is refused; at a start it is a warning', async (t) => {
  const dir = t.testdir({ 'config.json': '{"hosts": ["hosts", "other"]}', hosts: '192.0.2.1 nas.home\n', other: '::1 localhost\n' })
  const file = join(dir, 'config.json')
  const inForce = await loadConfig(file)
  for (const text of ['', '# 192.0.2.1 nas.home\n', '\n \t\n#', 'nas.home 192.0.2.1\n']) {
    writeFileSync(join(dir, 'hosts'), text)
    await t.rejects(reloadConfig(inForce, file), { code: 'config', message: /hosts: .*had names before/ }, JSON.stringify(text))
    const fresh = await loadConfig(file)
    t.match(hostsSummary(fresh.hosts[0] ?? new HostsFile('', '')).fault, /hosts: (is empty|line 1 does not begin)/)
    t.strictSame((await reloadConfig(fresh, file)).hosts, fresh.hosts, 'what began empty goes on empty')
  }
  writeFileSync(join(dir, 'hosts'), '127.0.0.1 localhost\n')
  t.equal((await reloadConfig(inForce, file)).hosts[0]?.text, '127.0.0.1 localhost\n', 'a valid file without other names is not damaged')
  t.equal(hostsSummary(inForce.hosts[1] ?? new HostsFile('', 'x')).fault, undefined)
})
