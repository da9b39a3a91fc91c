import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { createAuthority } from '../../src/demo/authority.ts'
import { query } from '../support/messages.ts'
import { type CapturedRecord, startCapture } from '../support/real/capture.ts'
import { entryOf, identityOf, startDaemon } from '../support/real/daemon.ts'
import { rcodeOf, udpClient } from '../support/real/dns-client.ts'
import { startDnsdist } from '../support/real/dnsdist.ts'
import { startNamed } from '../support/real/named.ts'
import { requireTool } from '../support/real/tools.ts'
import { startWatchedResolver, type WatchedQuery } from '../support/real/watched-resolver.ts'
import { ZONE_NAME } from '../support/real/zone.ts'

t.setTimeout(120_000)

const DS = 43
const TXT = 16

/** Covers that ask for TXT have large replies without DO: only the others follow the clients. */
const coversOf = (asked: readonly WatchedQuery[]) => asked.filter(({ name, type }) => !name.endsWith('signed.example') && type !== TXT)

/** Of 122 and 232 octets: queries of two records and of three over DoT. */
const LONG = `${'a'.repeat(50)}.${'b'.repeat(50)}.wild.${ZONE_NAME}`
const LONGEST = `${'c'.repeat(60)}.${'d'.repeat(50)}.${LONG}`

/** What an observer sees of always-on while names are asked, a batch each 1.8 s. */
async function watched(t: Test, transport: 'dot' | 'doh', batches: readonly (readonly string[])[]): Promise<readonly CapturedRecord[]> {
  const authority = await createAuthority()
  const identity = await identityOf(authority)
  const named = await startNamed(identity)
  t.teardown(() => named.stop())
  const server = await startDnsdist(identity, named.dnsPort)
  t.teardown(() => server.stop())
  const port = transport === 'dot' ? server.dotPort : (server.dohPort ?? 0)
  const capture = await startCapture(`tcp port ${port}`)
  t.teardown(() => capture.remove())
  const daemon = await startDaemon({
    resolvers: [entryOf(server, [transport])],
    ca: authority.certificate,
    config: { shaping: { profile: 'always-on' } },
  })
  t.teardown(() => daemon.stop())
  const client = await udpClient(daemon.port)
  t.teardown(() => client.close())
  await sleep(1300)
  for (const names of batches) {
    const replies = await Promise.all(names.map((name) => client.ask(query({ name, opt: {} }))))
    t.ok(replies.map(rcodeOf).every((rcode) => rcode === 0))
    await sleep(1800)
  }
  await capture.stop()
  return capture.records(port)
}

/**
 * The records out, by their place, for which no reply ever came: all but the first of a long cell.
 * A reply that is late is not taken for one that is missing.
 */
function unanswered(records: readonly CapturedRecord[], handshakeRecords: number): readonly number[] {
  const first = records.findIndex((record, at) => record.direction === 'out' && outBefore(records, at) === handshakeRecords)
  const owed: number[] = []
  let [out, replies] = [0, 0]
  for (const { direction } of records.slice(first)) {
    if (direction === 'in') replies++
    else owed.push(out++ - replies)
  }
  // The replies to the last ones may come after the end of the capture.
  const forGood = owed.map((_, at) => Math.min(...owed.slice(at))).slice(0, -IN_FLIGHT)
  return forGood.flatMap((n, at) => (n > (forGood[at - 1] ?? 0) ? [at] : []))
}

/** The numbers, in groups of consecutive ones. */
function inRows(numbers: readonly number[]): readonly (readonly number[])[] {
  const rows: number[][] = []
  for (const n of numbers) {
    const last = rows.at(-1)
    if (last !== undefined && last.at(-1) === n - 1) last.push(n)
    else rows.push([n])
  }
  return rows
}

/** More records than a busy machine has in flight. */
const IN_FLIGHT = 10

const outBefore = (records: readonly CapturedRecord[], at: number) =>
  records.slice(0, at).filter(({ direction }) => direction === 'out').length

/**
 * A page of signed names under balanced, asked twice; with DO six in ten replies have two blocks.
 */
async function underDo(t: Test, dnssecOk: (i: number) => boolean) {
  const authority = await createAuthority()
  const signed = ({ name }: WatchedQuery) => (name.endsWith('signed.example') ? /[0-5]\.signed/.test(name) : false)
  const server = await startWatchedResolver('signing', await identityOf(authority), (query) => ({
    blocks: query.dnssecOk && (signed(query) || query.type === DS) ? 2 : 1,
  }))
  t.teardown(() => server.close())
  const capture = await startCapture(`tcp port ${server.port}`)
  t.teardown(() => capture.remove())
  const daemon = await startDaemon({ resolvers: [server.entry], ca: authority.certificate, config: { shaping: { profile: 'balanced' } } })
  t.teardown(() => daemon.stop())
  const client = await udpClient(daemon.port)
  t.teardown(() => client.close())
  for (const page of ['a', 'b', 'c']) {
    const names = Array.from({ length: 20 }, (_, i) => `${page}${i}.signed.example`)
    await Promise.all(names.map((name, i) => client.ask(query({ name, opt: { dnssecOk: dnssecOk(i) } }))))
    await sleep(1500)
  }
  await capture.stop()
  return { asked: server.asked, records: capture.records(server.port) }
}

if (requireTool(t, 'dnsdist', 'named', 'tcpdump', 'tshark')) {
  t.test('DoT: long names are sent in long cells, which have their places without them too', async (t) => {
    const records = await watched(t, 'dot', [[LONG, LONGEST], [`x${LONG}`]])
    const places = unanswered(records, 1)
    t.ok(places.length >= 5, `${places}`)
    // Cells of two records and of three by turns: one reply less each forty, and twice one. A slot
    // that a busy machine reached too late is left out, and moves what follows by one.
    const groups = inRows(places)
    const gaps = groups.slice(1).map(([at = 0], i) => at - (groups[i]?.[0] ?? 0))
    t.ok(
      gaps.every((gap) => gap >= 19 && gap <= 21),
      `${gaps}`,
    )
    // The first may have begun before the first record, and the last may end after the last one.
    const sizes = groups.slice(1, -1).map((group) => group.length)
    t.ok(
      sizes.every((size, i) => size === (i % 2 === 0 ? sizes[0] : 3 - (sizes[0] ?? 0))),
      `${sizes}`,
    )
  })

  t.test('DoH: a query for any name is one record', async (t) => {
    const records = await watched(t, 'doh', [[LONG, LONGEST], [`x${LONG}`]])
    t.strictSame(unanswered(records, 2), [])
    const out = records.filter(({ direction }) => direction === 'out').slice(2)
    t.equal(new Set(out.map(({ octets }) => octets)).size, 1)
  })

  t.test('a client that validates: covers have DO as often as its queries, and replies as large', async (t) => {
    const { asked, records } = await underDo(t, () => true)
    const covers = coversOf(asked)
    const withDo = covers.filter(({ dnssecOk }) => dnssecOk).length / covers.length
    t.ok(withDo > 0.95, `${withDo} of covers have DO`)
    // Six in ten real replies have two blocks. Of all, covers too, about as many must.
    const replies = records.filter(({ direction, octets }) => direction === 'in' && octets > 468)
    const large = replies.filter(({ octets }) => octets > 900).length
    const real = asked.filter(({ name }) => name.endsWith('signed.example')).length
    t.ok(large - 0.6 * real > 0.4 * covers.length, `${large} large ones of ${replies.length}, ${real} of them real`)
  })

  t.test('no client sets DO: no cover does; half of the queries do: half of the covers do', async (t) => {
    for (const share of [0, 2]) {
      const { asked } = await underDo(t, (i) => share !== 0 && i % share === 0)
      const covers = coversOf(asked)
      const withDo = covers.filter(({ dnssecOk }) => dnssecOk).length / covers.length
      t.ok(share === 0 ? withDo === 0 : withDo > 0.3 && withDo < 0.7, `${withDo} of covers have DO`)
    }
  })
}
