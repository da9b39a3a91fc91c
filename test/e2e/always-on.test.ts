import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { createAuthority } from '../../src/demo/authority.ts'
import { query } from '../support/messages.ts'
import { startCapture } from '../support/real/capture.ts'
import { identityOf, startDaemon } from '../support/real/daemon.ts'
import { rcodeOf, udpClient } from '../support/real/dns-client.ts'
import { requireTool } from '../support/real/tools.ts'
import { type Reaction, startWatchedResolver, type WatchedQuery } from '../support/real/watched-resolver.ts'

t.setTimeout(120_000)

const SERVFAIL = 2
const REFUSED = 5

/**
 * Covers are answered. Names below fail.example are SERVFAIL, those below silent.example get no
 * reply. The root is refused, as by a resolver for its own zones.
 */
function moody({ name }: WatchedQuery): Reaction {
  if (name.endsWith('fail.example')) return { rcode: SERVFAIL }
  if (name.endsWith('silent.example')) return 'silence'
  return name === '' ? { rcode: REFUSED } : { blocks: 1 }
}

/** A daemon with two resolvers under one profile, and a capture of both links. */
async function twoLinks(t: Test, profile: string, react: (query: WatchedQuery) => Reaction = moody) {
  const authority = await createAuthority()
  const identity = await identityOf(authority)
  const first = await startWatchedResolver('first', identity, react)
  const second = await startWatchedResolver('second', identity, react)
  t.teardown(() => Promise.all([first.close(), second.close()]))
  const capture = await startCapture(`tcp port ${first.port} or tcp port ${second.port}`)
  t.teardown(() => capture.remove())
  const daemon = await startDaemon({
    resolvers: [first.entry, second.entry],
    ca: authority.certificate,
    config: { shaping: { profile } },
  })
  t.teardown(() => daemon.stop())
  const client = await udpClient(daemon.port)
  t.teardown(() => client.close())
  const ask = async (name: string) => rcodeOf(await client.ask(query({ name, opt: {} })))
  return { first, second, capture, daemon, ask }
}

if (requireTool(t, 'tcpdump', 'tshark')) {
  for (const profile of ['always-on', 'balanced']) {
    t.test(`${profile}: names that fail one after another open no second link`, async (t) => {
      const { second, capture, ask } = await twoLinks(t, profile)
      for (let i = 0; i < 12; i++) t.equal(await ask(`n${i}.fail.example`), SERVFAIL)
      for (let i = 0; i < 3; i++) t.equal(await ask(`n${i}.example`), 0)
      await capture.stop()
      t.equal(capture.count(`tcp.port == ${second.port}`), 0, 'packets of the other link')
    })

    t.test(`${profile}: a name without an answer opens no second link while covers have answers`, async (t) => {
      const { second, capture, ask } = await twoLinks(t, profile, (query) => (query.name === '' ? 'silence' : moody(query)))
      t.equal(await ask('before.example'), 0)
      t.equal(await ask('a.silent.example'), SERVFAIL)
      await sleep(2500) // a probe of the root has its time
      for (let i = 0; i < 3; i++) t.equal(await ask(`n${i}.example`), 0)
      await capture.stop()
      t.equal(capture.count(`tcp.port == ${second.port}`), 0, 'packets of the other link')
    })
  }

  t.test('always-on: a dead link opens the standby link, with or without queries', async (t) => {
    const { first, second, capture, ask } = await twoLinks(t, 'always-on')
    await sleep(500)
    t.equal(second.asked.length, 0)
    await first.close()
    for (let waited = 0; second.asked.length === 0 && waited < 6000; waited += 50) await sleep(50)
    t.ok(second.asked.length > 0, 'covers, and no client asked anything')
    t.equal(await ask('a.example'), 0)
    await capture.stop()
    t.ok(capture.records(second.port).length > 5)
  })
}
