import { chmodSync, copyFileSync, existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { Dns64Settings } from '../../src/config/dns64.ts'
import { createRetention, type RetentionSetup, savedFiles } from '../../src/retention/retention.ts'
import { askedInPacket, cacheOf, peek } from '../support/caches.ts'
import { directoryOf } from '../support/directory.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { query, response, rr } from '../support/messages.ts'

type Persist = RetentionSetup['config']['cache']['persist']

const keyOf = (name: string) => askedInPacket(query({ name }))

/**
 * Runs of one service after the other: each has a cache of its own, all have the same directories.
 */
function host(t: Test) {
  const dir = directoryOf(t, { run: {}, state: {} })
  chmodSync(join(dir, 'state'), 0o700)
  const setup = (persist: Persist, minTtlS = 0, staleMaxS = 0, dns64?: Dns64Settings): RetentionSetup => ({
    resolvers: [],
    config: {
      cache: { maxBytes: 1 << 20, minTtlS, maxTtlS: 86_400, staleMaxS, prefetch: true, persist },
      stateDir: join(dir, 'state'),
      statusFile: join(dir, 'run', 'status.json'),
      usageProfile: 'strict',
      transports: ['dot'],
      ...(dns64 === undefined ? {} : { dns64 }),
    } as RetentionSetup['config'],
  })
  const clock = new FakeClock()
  const run = (
    persist: Persist,
    more: { boot?: string; clock?: FakeClock; minTtlS?: number; staleMaxS?: number; dns64?: Dns64Settings } = {},
  ) => {
    const cache = cacheOf(1 << 20, more.staleMaxS)
    const warnings: string[] = []
    const its = more.clock ?? clock
    const retention = createRetention({
      ...{
        cache,
        clock: its,
        boot: more.boot ?? 'boot 1',
        credentials: undefined,
        setup: setup(persist, more.minTtlS, more.staleMaxS, more.dns64),
      },
      warn: (message) => void warnings.push(message),
    })
    const keep = (name: string, storeS: number, rcode = 0) =>
      cache.put(
        keyOf(name),
        { wire: response({ name, answers: [rr({ ttlS: storeS })] }), rcode, storeS, from: { upstream: 'a', transport: 'dot' } },
        cache.epoch,
        its.nowMs(),
      )
    const has = (name: string) => cache.get(keyOf(name), its.nowMs()) !== undefined
    return { cache, warnings, retention, keep, has }
  }
  return { dir, clock, run, setup, files: savedFiles(setup('disk')), key: join(dir, 'state', 'cache.key') }
}

/** A run that has two answers, ended in good order. */
async function ended(h: ReturnType<typeof host>, persist: Persist): Promise<void> {
  const first = h.run(persist)
  await first.retention.start()
  first.keep('short.example', 60)
  first.keep('long.example', 3600)
  await first.retention.stop()
  t.strictSame(first.warnings, [])
}

for (const persist of ['runtime', 'disk'] as const) {
  t.test(`${persist}: stored answers are there after a restart, aged by the time without the service`, async (t) => {
    const h = host(t)
    await ended(h, persist)
    t.strictSame([existsSync(h.files.runtime), existsSync(h.files.disk)], [persist === 'runtime', persist === 'disk'])
    t.equal(statSync(h.files[persist]).mode & 0o777, 0o600)
    t.notOk(readFileSync(h.files[persist]).includes('long'), 'no name can be read')
    await h.clock.advance(100_000)
    const second = h.run(persist)
    await second.retention.start()
    t.strictSame([second.has('short.example'), second.has('long.example')], [false, true])
    t.equal(
      h.clock.nowMs() - (peek(second.cache, keyOf('long.example'))?.storedAtMs ?? 0),
      100_000,
      'its TTL counts from when it was asked',
    )
    t.strictSame(second.warnings, [])
    await second.retention.stop()
  })
}

t.test('off: nothing is written, and files of an earlier setting are removed with their key', async (t) => {
  const h = host(t)
  await ended(h, 'disk')
  t.ok(existsSync(h.key))
  const second = h.run('off')
  second.keep('a.example', 60)
  await second.retention.start()
  await second.retention.stop()
  t.strictSame([existsSync(h.files.disk), existsSync(h.files.runtime), existsSync(h.key)], [false, false, false])
  t.strictSame(second.warnings, [])
})

t.test('saved every few minutes: a crash loses no more', async (t) => {
  const h = host(t)
  const first = h.run('disk')
  await first.retention.start()
  first.keep('a.example', 3600)
  t.notOk(existsSync(h.files.disk))
  await h.clock.advance(5 * 60_000)
  for (let i = 0; i < 200 && !existsSync(h.files.disk); i++) await new Promise((resolve) => setTimeout(resolve, 10))
  const second = h.run('disk')
  await second.retention.start()
  t.ok(second.has('a.example'))
})

t.test('answers before the saved ones are read are newer than those, stored or not', async (t) => {
  for (const storeS of [60, 0]) {
    const h = host(t)
    const first = h.run('disk', { staleMaxS: 3600 })
    await first.retention.start()
    first.keep('a.example', 3600)
    first.keep('b.example', 3600)
    await first.retention.stop()
    await h.clock.advance(1000)
    const second = h.run('disk', { staleMaxS: 3600 })
    second.keep('a.example', storeS, 3)
    await second.retention.start()
    t.ok(second.has('b.example'))
    t.equal(second.cache.get(keyOf('a.example'), h.clock.nowMs())?.rcode, storeS > 0 ? 3 : undefined)
    await h.clock.advance(100_000)
    t.equal(second.cache.stale(keyOf('a.example'), h.clock.nowMs())?.rcode, storeS > 0 ? 3 : undefined)
  }
})

t.test('an expired answer may still be served stale after a restart, if allowed; a failure is never saved', async (t) => {
  const h = host(t)
  const first = h.run('disk', { staleMaxS: 3600 })
  await first.retention.start()
  first.keep('a.example', 60)
  first.keep('failed.example', 300, 2)
  await h.clock.advance(120_000)
  await first.retention.stop()
  await h.clock.advance(120_000)
  const second = h.run('disk', { staleMaxS: 3600 })
  await second.retention.start()
  t.notOk(second.has('a.example'))
  t.ok(second.cache.stale(keyOf('a.example'), h.clock.nowMs()))
  t.equal(peek(second.cache, keyOf('failed.example')), undefined)
  await second.retention.stop()
  const third = h.run('disk', { staleMaxS: 0 })
  await third.retention.start()
  t.equal(third.cache.entries, 0, 'and not where it is not')
})

t.test('never over a fresh answer, nothing into a cache that was cleared meanwhile', async (t) => {
  const h = host(t)
  await ended(h, 'disk')
  await h.clock.advance(10_000)
  const second = h.run('disk')
  second.keep('long.example', 3600)
  await second.retention.start()
  t.equal(peek(second.cache, keyOf('long.example'))?.storedAtMs, h.clock.nowMs())
  const third = h.run('disk')
  const loading = third.retention.start()
  third.cache.clear()
  await loading
  t.ok(third.cache.entries <= 2)
})

for (const [what, damage] of [
  ['cut off', (octets: Buffer) => octets.subarray(0, -5)],
  ['changed', (octets: Buffer) => octets.map((octet, i) => (i === octets.length - 30 ? octet ^ 1 : octet))],
  ['another file', () => Buffer.from('{}')],
  ['empty', () => Buffer.alloc(0)],
] as const) {
  t.test(`a saved cache that is ${what} is deleted with one warning, and the service continues`, async (t) => {
    const h = host(t)
    await ended(h, 'disk')
    writeFileSync(h.files.disk, damage(readFileSync(h.files.disk)))
    const second = h.run('disk')
    await second.retention.start()
    t.match(second.warnings, [/^the saved cache was deleted: .*damaged/])
    t.notOk(existsSync(h.files.disk))
    second.keep('new.example', 3600)
    await second.retention.stop()
    const third = h.run('disk')
    await third.retention.start()
    t.ok(third.has('new.example'))
  })
}

t.test('saved under another key, or other conditions: not used, deleted', async (t) => {
  const h = host(t)
  await ended(h, 'disk')
  const copy = join(h.dir, 'copy')
  copyFileSync(h.files.disk, copy)
  const other = h.run('disk', { minTtlS: 5 })
  await other.retention.start()
  t.match(other.warnings, [/another configuration/])
  copyFileSync(copy, h.files.disk)
  const made = h.run('disk', { dns64: { prefix: '64:ff9b::/96', exclude: [] } })
  await made.retention.start()
  t.match(made.warnings, [/another configuration/], 'DNS64 makes other answers')
  copyFileSync(copy, h.files.disk)
  writeFileSync(h.key, Buffer.alloc(32, 1))
  const third = h.run('disk')
  await third.retention.start()
  t.match(third.warnings, [/another key/])
  t.equal(third.cache.entries, 0)
})

t.test('after a reboot the wall clock gives the age; answers loaded by it are dropped when that clock is set', async (t) => {
  const h = host(t)
  await ended(h, 'disk')
  const copy = join(h.dir, 'copy')
  copyFileSync(h.files.disk, copy)
  const later = new FakeClock()
  later.jumpWall(1_000_000 + 30_000)
  const second = h.run('disk', { boot: 'boot 2', clock: later })
  await second.retention.start()
  t.ok(second.has('long.example') && second.has('short.example') === false, 'some 1,030 s passed')
  second.retention.clockMoved()
  t.equal(second.cache.entries, 0)
  copyFileSync(copy, h.files.disk)
  const unset = new FakeClock()
  unset.jumpWall(-86_400_000)
  const third = h.run('disk', { boot: 'boot 3', clock: unset })
  await third.retention.start()
  t.match(third.warnings, [/age cannot be told/])
  t.equal(third.cache.entries, 0)
})

t.test('forget removes the file and its key, and a copy of the file is useless', async (t) => {
  const h = host(t)
  await ended(h, 'runtime')
  const copy = readFileSync(h.files.runtime)
  const second = h.run('runtime')
  await second.retention.start()
  t.strictSame(await second.retention.forget(), [h.files.runtime, h.key])
  t.strictSame(await second.retention.forget(), [])
  second.cache.clear()
  await second.retention.stop()
  writeFileSync(h.files.runtime, copy)
  const third = h.run('runtime')
  await third.retention.start()
  t.equal(third.cache.entries, 0)
})

t.test('a reload from disk to off removes the file', async (t) => {
  const h = host(t)
  await ended(h, 'disk')
  const second = h.run('disk')
  await second.retention.start()
  await second.retention.adopt(h.setup('off'))
  await second.retention.stop()
  t.notOk(existsSync(h.files.disk) || existsSync(h.key))
})

t.test('an unusable state directory: one warning, however often it is tried', async (t) => {
  const h = host(t)
  writeFileSync(h.key, Buffer.alloc(32), { mode: 0o644 })
  chmodSync(h.key, 0o644)
  const only = h.run('disk')
  await only.retention.start()
  await h.clock.advance(20 * 60_000)
  await only.retention.stop()
  t.match(only.warnings, [/the cache is not kept: .*cache.key may be read by others/])
})

t.test('thousands of answers are loaded while other work continues', { timeout: 60_000 }, async (t) => {
  const h = host(t)
  const first = h.run('disk')
  for (let i = 0; i < 3000; i++) first.keep(`n${i}.example`, 3600)
  await first.retention.start()
  await first.retention.stop()
  const second = h.run('disk')
  let turns = 0
  let loading = true
  const tick = () => {
    turns++
    if (loading) setImmediate(tick)
  }
  setImmediate(tick)
  await second.retention.start()
  loading = false
  t.ok(second.cache.entries > 2500, `${second.cache.entries} entries`)
  t.ok(turns > 3, `${turns} turns for others meanwhile`)
})
