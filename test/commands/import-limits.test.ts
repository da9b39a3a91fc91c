// Lists that are too large, or made to cost much: one sentence, a bounded time and memory.
import { once } from 'node:events'
import { existsSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { Host } from '../../src/commands/running-service.ts'
import type { SetWorld } from '../../src/commands/set-choice.ts'
import { readList } from '../../src/config/list-reading.ts'
import { MAX_LIST_OCTETS, readStampList } from '../../src/config/stamp-list.ts'
import { writeStamp } from '../../src/config/stamps.ts'
import { createAuthority } from '../../src/demo/authority.ts'
import { resolversRun } from '../support/set-commands.ts'

const host: Host = { services: () => [], likely: () => [], namespace: () => undefined, uid: process.geteuid?.(), statusFiles: [] }
const MB = 1_048_576

function scene(t: Test) {
  const directory = t.testdir({ 'config.json': JSON.stringify({ stateDir: 'state' }) })
  const set = join(directory, 'set.json')
  const places = { configFile: join(directory, 'config.json'), resolversFile: undefined }
  const run = (source: SetWorld['source'] | undefined, place: string) =>
    resolversRun(['import', place, '--set', set], { places, host, ...(source === undefined ? {} : { source }) })
  return { directory, set, run }
}

const stampOf = (i: number) =>
  writeStamp({
    ...{ protocol: 'dot', properties: { dnssec: true, noLogs: true, noFilter: true }, port: 853, certHashes: [] },
    ...{ address: `192.0.${i >> 8}.${i & 255}`, hostname: `dns${i}.example` },
  })

t.test('a list of 10 MB is refused in one sentence, from a file and from an address', async (t) => {
  const { directory, set, run } = scene(t)
  const file = join(directory, 'large.md')
  writeFileSync(file, `## one\n\n${stampOf(1)}\n`.padEnd(10 * MB, 'words \n'))
  const fromFile = await run(undefined, file)
  t.equal(fromFile.code, 2)
  t.match(fromFile.err, /large\.md: .*larger than 4194304 octets.*\n$/)
  t.equal(fromFile.err.split('\n').length, 2, fromFile.err)

  const authority = await createAuthority()
  const part = Buffer.alloc(65_536, 'words \n')
  let sent = 0
  const server = createServer(await authority.issue({ name: 'lists.example' }), async (_, response) => {
    response.on('error', () => {})
    for (; sent < 10 * MB && !response.destroyed; sent += part.length)
      if (!response.write(part)) await Promise.race([once(response, 'drain'), once(response, 'close')]).catch(() => {})
    response.end()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const url = `https://lists.example:${(server.address() as AddressInfo).port}/large.md`
  const fromAddress = await run({ lookup: async () => ['127.0.0.1'], ca: authority.certificate }, url)
  t.equal(fromAddress.code, 1)
  t.match(fromAddress.err, /large\.md cannot be fetched: it is larger than 4 MiB; nothing was changed\n$/)
  t.ok(sent < 10 * MB, 'the rest is not fetched')
  t.notOk(existsSync(set))
})

const filled = (line: string, octets = MAX_LIST_OCTETS) => line.repeat(Math.floor(octets / line.length))
/** Of the largest size that is read, each meant to be slow in its own way. */
const HOSTILE: Readonly<Record<string, () => string>> = {
  'empty lines': () => '\n'.repeat(MAX_LIST_OCTETS),
  'one line': () => `# ${'a'.repeat(MAX_LIST_OCTETS - 2)}`,
  'headings of spaces': () => filled(`# a${' '.repeat(8000)}x\n`),
  'headings of hashes': () => filled(`## ${'#'.repeat(8000)}x\n`),
  'signs before a stamp': () => filled(`${'*'.repeat(8000)}\n`),
  'stamps that are refused': () => filled('sdns://AA\n'),
  'long stamps that are refused': () => filled(`sdns://${'A'.repeat(8000)}\n`),
  'the same stamp': () => filled(`## one\n${stampOf(1)}\n`),
  'empty entries in JSON': () => `{"version":1,"resolvers":[${'{},'.repeat(340_000)}{}]}`,
  'faulty entries in JSON': () =>
    `{"version":1,"resolvers":[${Array.from({ length: 20_000 }, (_, i) => `{"id":"a${i}","addresses":[]}`).join(',')}]}`,
  'deep JSON': () => `{"version":1,"resolvers":${'['.repeat(500_000)}`,
}

for (const [what, text] of Object.entries(HOSTILE))
  t.test(`a hostile list costs at most 2 s and 250 MB: ${what}`, async (t) => {
    const { directory, run } = scene(t)
    const file = join(directory, 'list.md')
    writeFileSync(file, text())
    const [from, before] = [process.cpuUsage(), process.resourceUsage().maxRSS]
    const { code, out, err } = await run(undefined, file)
    const { user, system } = process.cpuUsage(from)
    const [ms, mb] = [(user + system) / 1000, (process.resourceUsage().maxRSS - before) / 1024]
    t.comment(`${ms.toFixed(0)} ms, ${mb.toFixed(0)} MB`)
    t.ok(ms < 2000, `${ms} ms`)
    t.ok(mb < 250, `${mb} MB`)
    t.ok(code === 0 || code === 1 || code === 2, String(code))
    t.ok(out.length + err.length < 20_000, 'a person can read it')
  })

t.test('more entries than the limit: the rest is named with its number', async (t) => {
  const many = Array.from({ length: 5100 }, (_, i) => stampOf(i)).join('\n')
  const { stamps, refused, faults } = readStampList(many)
  t.strictSame([stamps.length, refused, faults.length], [5000, 100, 20])
  t.match(faults[0], /line 5001: the stamp is beyond the limit of 5000/)
})

t.test('headings: closing signs and long ones', async (t) => {
  const names = (text: string) => readStampList(text).stamps.map(({ name }) => name)
  t.strictSame(names(`## one ##\n${stampOf(1)}\r\n###\ttwo#\r${stampOf(2)}`), ['one', 'two'])
  t.strictSame(names(`## ${'n'.repeat(300)}\n${stampOf(1)}`), ['n'.repeat(200)])
  t.strictSame(names(`## one\n## ###\n${stampOf(1)}\n# title\n${stampOf(2)}`), [undefined, undefined])
})

t.test('a list may hold 5000 entries, a set 1000 resolvers: what does not fit is left out', async (t) => {
  const { directory, set, run } = scene(t)
  const file = join(directory, 'many.md')
  for (const [count, remark] of [
    [1100, /many|left out/],
    [5100, /100 stamps were refused/],
  ] as const) {
    rmSync(set, { force: true })
    writeFileSync(file, Array.from({ length: count }, (_, i) => `## name-${i}\n\n${stampOf(i)}\n`).join('\n'))
    const { code, out, err } = await run(undefined, file)
    t.equal(code, 0, err)
    t.match(out, /1000 added/)
    t.match(out, new RegExp(`${Math.min(count, 5000) - 1000} entries were left out: a set holds at most 1000 resolvers`))
    t.match(out, remark)
    const again = await run(undefined, file)
    t.match([again.code, again.out], [0, /0 added .* 1000 already there/])
  }
})

t.test('a JSON list with 5000 entries, and one with an id twice: the others are read', async (t) => {
  const entry = (i: number) => ({
    id: `r${i}`,
    authenticationDomainName: `r${i}.example`,
    addresses: [`10.0.${i >> 8}.${i & 255}`],
    transports: { dot: {} },
  })
  const read = (resolvers: readonly object[]) => readList(Buffer.from(JSON.stringify({ version: 1, resolvers })), 'list')
  const many = read(Array.from({ length: 5100 }, (_, i) => entry(i)))
  t.equal(many.entries.length, 5000)
  t.match(many.remarks, [/100 entries were refused/])
  const twice = read([entry(1), entry(2), { ...entry(3), id: 'r1' }])
  t.strictSame(
    twice.entries.map(({ value }) => value.authenticationDomainName),
    ['r1.example', 'r2.example'],
  )
  t.match(twice.remarks, [/r1: .*twice/])
})
