import t from 'tap'
import { differences } from './differences.ts'
import { countsOf, record } from './record/record.ts'

t.setTimeout(120_000)

/**
 * One of each shaping profile, over DoT, DoH and both; among them a rough one and one with each
 * policy.
 */
const SEEDS = [4, 5, 11, 18, 22]

/** What must happen in some of them, or the comparison of two trees says little. */
const SCENES: Readonly<Record<string, RegExp>> = {
  'an answer that is stale (EDE 3)': /answer udp \S+ \S*000f00[0-9a-f]{2}0003/,
  'a failure for want of an answer (EDE 22)': /answer udp \S+ \S*000f00[0-9a-f]{2}0016/,
  'a failure of the network (EDE 23)': /answer udp \S+ \S*000f00[0-9a-f]{2}0017/,
  'a refusal of the policy (EDE 15)': /answer udp \S+ \S*000f00[0-9a-f]{2}000f/,
  'an answer over TCP': /answer tcp \S+ [0-9a-f]{40}/,
  'an answer renewed before its time': /"renewed":[1-9]/,
  'an answer from memory': /"hits":[1-9]/,
  'a rebinding answer': /"rebinding":[1-9]/,
  'a resumed session': /"resumed":true/,
  'a DoT link': /"type":"link.up","resolver":"r0","transport":"dot"/,
  'a DoH link': /"type":"link.up","resolver":"r0","transport":"doh"/,
  'covers that do not flow': /"type":"shaping.covers"/,
  'another network': /"type":"network.changed"/,
  'a machine that slept': /"type":"woke"/,
  'a clock that was set': /"type":"clock.moved"/,
  'a connection that is gone': /"type":"link.down","resolver":"r0","transport":"\w+","code":"connection-lost"/,
  'a resolver that is refused': /"type":"link.failed"/,
  'a mismatch': /"type":"link.mismatch"/,
  'a SERVFAIL of the resolver': /"type":"upstream.failed","resolver":"r\d","transport":"\w+","code":"reply-rcode"/,
  'a reload': /note reload: done/,
  'a reload that is refused': /"type":"reload.refused"/,
  'a trace': /trace \{"trace":"on"/,
  'everything forgotten': /note forget: \{"entries":/,
  'a saved cache': /saved [0-9a-f]+ rcode 0/,
  'an audit log': /audit \{"n":2,/,
  'protected at last': /"state":"protected"/,
  'offline for a while': /"state":"offline"/,
}

t.test('the same seed leaves the same transcript, octet by octet, and no other files', { timeout: 100_000 }, async (t) => {
  const all: string[] = []
  for (const seed of SEEDS) {
    const [one, again] = [await record(seed), await record(seed)]
    all.push(one)
    t.same(differences(one, again), [], `seed ${seed}`)
    t.ok(one === again, `seed ${seed}: in the same order`)
    const stops = one.match(/note stopped, .*/g)
    t.same(stops, ['note stopped, 0 timers left, 0 connections open', 'note stopped, 0 timers left, 0 connections open'], `seed ${seed}`)
    const counts = countsOf(one)
    for (const stream of ['answer', 'event', 'status', 'wire', 'log', 'files'])
      t.ok((counts[stream] ?? 0) > 5, `seed ${seed} has ${counts[stream]} lines of ${stream}`)
    t.notOk(/"type":"fault"/.test(one), `seed ${seed} has no fault of our own`)
  }
  for (const [scene, pattern] of Object.entries(SCENES))
    t.ok(
      all.some((text) => pattern.test(text)),
      scene,
    )
})

t.test('two transcripts: differences are reported by stream, and the order between clients is ignored', (t) => {
  const before =
    '1 answer udp 127.0.0.1:1 aa\n1 answer udp 127.0.0.1:2 bb\n2 status {"state":"protected","n":{"m":1}}\n3 wire #1 record 5\n'
  const swapped =
    '1 answer udp 127.0.0.1:2 bb\n1 answer udp 127.0.0.1:1 aa\n2 status {"state":"protected","n":{"m":1}}\n3 wire #1 record 5\n'
  t.same(differences(before, before), [])
  t.same(differences(before, swapped), [])
  t.same(differences(before, before.replace('"m":1', '"m":2')), [
    { stream: 'status', lines: 2, at: '2', showing: ['n.m: before 1, after 2'] },
  ])
  t.same(differences(before, before.replace('1 answer udp 127.0.0.1:2 bb\n', '')), [
    { stream: 'answer', lines: 1, at: '1', showing: ['only before: 1 udp 127.0.0.1:2 bb'] },
  ])
  t.same(differences(before, `${before}4 wire #1 record 6\n`), [
    { stream: 'wire', lines: 1, at: '4', showing: ['only after:  4 #1 record 6'] },
  ])
  const twice = '1 answer tcp 127.0.0.1:1 aa\n1 answer tcp 127.0.0.1:1 bb\n'
  t.equal(differences(twice, '1 answer tcp 127.0.0.1:1 bb\n1 answer tcp 127.0.0.1:1 aa\n')[0]?.at, '1', 'one client has an order')
  t.end()
})
