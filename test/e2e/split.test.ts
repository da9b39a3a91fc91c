import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { createAuthority } from '../../src/demo/authority.ts'
import { withPaddedOpt } from '../../src/dns/edns.ts'
import { labelsOf } from '../../src/dns/name.ts'
import { type DotServer, startDot } from '../support/dot-server.ts'
import { query } from '../support/messages.ts'
import { identityOf, RESOLVER_NAME, startDaemon } from '../support/real/daemon.ts'
import { rcodeOf, udpClient } from '../support/real/dns-client.ts'
import { addressRecord, replyTo } from '../support/replies.ts'

t.setTimeout(60_000)

const OPERATORS = ['North', 'East', 'South'] as const
const SITES = Array.from({ length: 90 }, (_, i) => `site${i}.example`)

/** Three operators, and the sites that each saw. */
async function scene(t: Test, config: object) {
  const authority = await createAuthority()
  const identity = await identityOf(authority)
  const seen = OPERATORS.map(() => new Set<string>())
  const answer = (i: number) => (q: Uint8Array) => {
    const site = labelsOf(q.subarray(12)).slice(-2).join('.')
    if (site !== '') seen[i]?.add(site)
    return withPaddedOpt(replyTo(q, [addressRecord()]), { dnssecOk: false, block: 468, keepalive: false })
  }
  const servers: DotServer[] = await Promise.all(OPERATORS.map((_, i) => startDot({ identity, answer: answer(i) })))
  const daemon = await startDaemon({
    ca: authority.certificate,
    config: { transports: ['dot'], ...config },
    resolvers: OPERATORS.map((operator, i) => ({
      id: operator.toLowerCase(),
      operator,
      authenticationDomainName: RESOLVER_NAME,
      addresses: ['127.0.0.1'],
      caFile: 'ca.pem',
      transports: { dot: { port: servers[i]?.port ?? 0 } },
    })),
  })
  t.teardown(async () => {
    await daemon.stop()
    await Promise.all(servers.map((server) => server.close().catch(() => {})))
  })
  const ask = async (names: readonly string[]) => {
    const client = await udpClient(daemon.port)
    const replies = await Promise.all(names.map((name) => client.ask(query({ name }))))
    client.close()
    return replies.map(rcodeOf)
  }
  return { daemon, servers, seen, ask }
}

t.test('by-site: each site is known to one operator, before and after a restart; a dead one gives up its sites alone', async (t) => {
  const { daemon, servers, seen, ask } = await scene(t, { split: 'by-site' })
  const names = SITES.flatMap((site) => [`www.${site}`, `img.${site}`, site])
  t.ok((await ask(names)).every((rcode) => rcode === 0))
  const known = () => OPERATORS.map((_, i) => SITES.filter((site) => seen[i]?.has(site)))
  const first = known()
  t.equal(first.flat().length, SITES.length, 'no site is known to two')
  for (const sites of first) t.ok(sites.length > 15 && sites.length < 45, `${sites.length} of ${SITES.length}`)
  const key = join(daemon.dir, 'state', 'split.key')
  t.equal(statSync(key).mode & 0o777, 0o600)
  const before = readFileSync(key)

  daemon.kill('SIGKILL')
  await daemon.revive()
  t.ok((await ask(SITES.map((site) => `later.${site}`))).every((rcode) => rcode === 0))
  t.strictSame(known(), first, 'the same after a restart')
  t.strictSame(readFileSync(key), before)

  await servers[0]?.close()
  t.ok(
    (await ask(SITES.map((site) => `again.${site}`))).every((rcode) => rcode === 0),
    'every name resolves',
  )
  const [, east, south] = known()
  const moved = [...(east ?? []), ...(south ?? [])].filter((site) => !first[1]?.includes(site) && !first[2]?.includes(site))
  t.strictSame(new Set(moved), new Set(first[0]), 'the sites of the dead operator moved')
  t.notOk(east?.some((site) => first[2]?.includes(site)) || south?.some((site) => first[1]?.includes(site)), 'and no others')
})

t.test('on a schedule each path has its own; always-on keeps all of them', async (t) => {
  for (const profile of ['balanced', 'always-on']) {
    const { seen, ask, servers } = await scene(t, { split: 'by-site', shaping: { profile } })
    // So many that an operator without a site is not to be expected: 3 in 10 million.
    const few = SITES.slice(0, 40)
    t.ok(
      (await ask(few)).every((rcode) => rcode === 0),
      profile,
    )
    t.equal(
      OPERATORS.reduce((sum, _, i) => sum + few.filter((site) => seen[i]?.has(site)).length, 0),
      few.length,
      `${profile}: one operator each`,
    )
    t.ok(servers.every(({ counts }) => counts.handshakes >= 1))
  }
})
