import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import t from 'tap'
import { pathsLines } from '../src/commands/paths-screen.ts'
import { loadConfig } from '../src/config/load.ts'
import { postureSetup } from '../src/evidence.ts'
import { groupedPaths, pathsReport } from '../src/posture/path-report.ts'
import { reason } from '../src/posture/reasons.ts'
import { HOP_KINDS, type HopKind } from '../src/route.ts'
import {
  type Hidden,
  joinedKnowledge,
  largestShare,
  type QueryPath,
  resolverParty,
  sameOnPath,
  strangers,
  THIS_NETWORK,
  whoCanKnow,
} from '../src/who-knows.ts'
import { hop, OVER_TLS, path } from './support/paths.ts'

/** The table as lines: party, address, names, timing, sizes. */
const rows = (of: QueryPath, hidden: Hidden = 'nothing') =>
  whoCanKnow(of, hidden).map(({ party, address, names, timing, sizes }) => [party, address, names, timing, sizes])
const FIRST = (name: string) => `only together with proxy ${name}`
const READER = 'only together with resolver a'

t.test('direct: the resolver knows both, this network the address only', (t) => {
  t.same(rows(path()), [
    ['this network', 'yes', 'no', 'yes', 'yes'],
    ['resolver a', 'yes', 'yes', 'yes', 'yes'],
  ])
  t.end()
})

t.test('SOCKS5 in cleartext and CONNECT over TLS: nobody knows both; what protects the hop itself changes no cell', (t) => {
  for (const [kind, protection] of [
    ['socks5', { by: 'none' }],
    ['http-connect', OVER_TLS],
  ] as const)
    t.same(rows(path([hop(kind, 'p', { protection })])), [
      ['this network', 'yes', 'no', 'yes', 'yes'],
      ['proxy p', 'yes', READER, 'yes', 'yes'],
      ['resolver a', FIRST('p'), 'yes', 'yes', 'yes'],
    ])
  t.end()
})

t.test('Tor: the same, with credentials for each operator or without', (t) => {
  const tor = (credentials: 'none' | 'per-operator') => rows(path([hop('socks5', 'tor', { host: '127.0.0.1', credentials })]))
  t.same(tor('per-operator'), [
    ['this network', 'yes', 'no', 'yes', 'yes'],
    ['proxy tor', 'yes', READER, 'yes', 'yes'],
    ['resolver a', FIRST('tor'), 'yes', 'yes', 'yes'],
  ])
  t.same(tor('none'), tor('per-operator'), 'isolation keeps two operators apart; what one party can know is the same')
  t.end()
})

t.test('a chain of two and of three: a later hop knows neither by itself', (t) => {
  t.same(rows(path([hop('socks5', 'p'), hop('http-connect', 'q')])), [
    ['this network', 'yes', 'no', 'yes', 'yes'],
    ['proxy p', 'yes', READER, 'yes', 'yes'],
    ['proxy q', FIRST('p'), READER, 'yes', 'yes'],
    ['resolver a', FIRST('p'), 'yes', 'yes', 'yes'],
  ])
  const three = rows(path([hop('socks5', 'p'), hop('http-connect', 'q'), hop('socks5', 'r')]))
  t.same(
    three.map(([party, address, names]) => [party, address, names]),
    [
      ['this network', 'yes', 'no'],
      ['proxy p', 'yes', READER],
      ['proxy q', FIRST('p'), READER],
      ['proxy r', FIRST('p'), READER],
      ['resolver a', FIRST('p'), 'yes'],
    ],
    'hops in the middle do not help against two that compare times: the first one is enough',
  )
  t.end()
})

t.test('ODoH with a relay: the relay an address and no name, the target names and no address', (t) => {
  const odoh = path([hop('odoh-relay', 'r')], { seal: 'hpke', proof: 'key' })
  t.same(rows(odoh), [
    ['this network', 'yes', 'no', 'yes', 'yes'],
    ['relay r', 'yes', READER, 'yes', 'yes'],
    ['resolver a', 'only together with relay r', 'yes', 'yes', 'yes'],
  ])
  const fetched = { ...odoh, keyFetchedDirectly: true } as const
  t.equal(rows(fetched).at(-1)?.[1], 'claimed', 'a target that was asked for its key could give each client its own')
  const overTor = path([hop('socks5', 'tor'), hop('odoh-relay', 'r')], { seal: 'hpke', proof: 'key' })
  t.same(
    rows(overTor).map(([party, address]) => [party, address]),
    [
      ['this network', 'yes'],
      ['proxy tor', 'yes'],
      ['relay r', FIRST('tor')],
      ['resolver a', FIRST('tor')],
    ],
  )
  t.end()
})

t.test('DNSCrypt without and with a relay', (t) => {
  t.same(rows(path([], { seal: 'dnscrypt', proof: 'key' })), rows(path()))
  t.same(rows(path([hop('dnscrypt-relay', 'r')], { seal: 'dnscrypt', proof: 'key' })), [
    ['this network', 'yes', 'no', 'yes', 'yes'],
    ['relay r', 'yes', READER, 'yes', 'yes'],
    ['resolver a', 'only together with relay r', 'yes', 'yes', 'yes'],
  ])
  t.end()
})

t.test('a split set: each resolver knows the address and the names of its sites; the share is judged by operator', (t) => {
  const set = ['a', 'b', 'c'].map((resolver) => path([], { resolver, operator: `Operator ${resolver}` }))
  for (const one of set) t.same(rows(one).at(-1), [resolverParty(one.resolver), 'yes', 'yes', 'yes', 'yes'])
  const operators = set.flatMap(({ operator }) => operator ?? [])
  t.equal(largestShare([operators], 'by-site'), 1 / 3)
  t.equal(largestShare([[...operators, ' operator  B ']], 'by-site'), 1 / 3, 'two resolvers of one operator get its sites together')
  t.equal(largestShare([operators], 'rotate'), 1, 'in time every operator sees every site')
  t.equal(largestShare([operators], 'none'), 1)
  t.equal(largestShare([], 'by-site'), 0)
  t.equal(largestShare([operators, ['Operator a']], 'by-site'), 1, 'a view with one operator shows it every site')
  t.end()
})

t.test('a resolver that proves nothing: everybody on the route may pose as it', (t) => {
  const open = rows(path([hop('socks5', 'p')], { proof: 'no' }))
  t.same(
    open.map(([, , names]) => names),
    ['yes', 'yes', 'yes'],
  )
  t.end()
})

t.test('a schedule hides times only if it never stops, and sizes only as far as the resolver pads', (t) => {
  const seen = (of: QueryPath, hidden: Hidden) => rows(of, hidden).map(([, , , timing, sizes]) => [timing, sizes])
  const proxied = path([hop('socks5', 'p')])
  t.same(seen(proxied, 'queries'), [
    ['yes', 'claimed'],
    ['yes', 'claimed'],
    ['yes', 'yes'],
  ])
  t.same(seen(proxied, 'sessions'), [
    ['no', 'claimed'],
    ['no', 'claimed'],
    ['yes', 'yes'],
  ])
  t.same(seen(path([], { over: ['dot', 'doh'] }), 'sessions')[0], ['no', 'yes'], 'over DoH the sizes of replies vary')
  t.end()
})

t.test('who may know both: alone, at two places, or over two routes', (t) => {
  const why = (...paths: readonly QueryPath[]) => joinedKnowledge(paths).map((one) => [one.resolvers.join(), one.why])
  const relay = hop('odoh-relay', 'r', { operator: 'Relay Ltd' })
  t.same(why(path([relay])), [])
  t.same(why(path([hop('socks5', 'p')])), [], 'an operator that is not named is one of its own')
  t.same(why(path()), [['a', 'no hop on the route to a over DoT']])
  t.same(
    why(path([relay]), path([], { over: ['doh'] })),
    [['a', 'no hop on the route to a over DoH']],
    'a transport for the case of failure counts',
  )
  t.same(why(path([relay], { operator: ' relay LTD ' })), [['a', 'Relay Ltd runs relay r and resolver a']])
  t.same(why(path([hop('socks5', 'p'), { ...relay, operator: 'Operator A' }])), [], 'the last hop is not given the address')
  t.same(why(path([relay], { keyFetchedDirectly: true })), [['a', 'the key of a is fetched from it without a hop']])
  t.match(why(path([relay], { proof: 'no' })).join('; '), /^a,the resolver a does not have to prove its identity/)
  const crossed = path([hop('odoh-relay', 's', { operator: 'Operator A' })], { resolver: 'b', operator: 'Relay Ltd' })
  t.same(
    why(path([relay]), crossed).map(([, text]) => text),
    ['Relay Ltd runs relay r and resolver b', 'Operator A runs relay s and resolver a'],
    'a query that fails on one route goes over the other',
  )
  t.end()
})

t.test('a first hop of which nobody says who runs it, unless it keeps operators apart', (t) => {
  const known = hop('socks5', 'k', { operator: 'K' })
  const tor = hop('socks5', 'tor', { credentials: 'per-operator' })
  t.same(strangers([path(), path([known]), path([tor]), path([known, hop('socks5', 'q')])]), [])
  t.same(strangers([path([hop('socks5', 'p'), known]), path([hop('socks5', 'p')])]), ['proxy p'])
  const { operator: _nobody, ...unnamed } = path([known])
  t.same(strangers([unnamed, { ...unnamed, hops: [tor] }, { ...unnamed, hops: [] }]), ['resolver a'], 'the hop may run the resolver too')
  t.end()
})

t.test('two parties of one route with the same operator or jurisdiction, or with none that is known', (t) => {
  const relay = hop('odoh-relay', 'r', { operator: 'Relay Ltd', jurisdiction: 'CH' })
  t.equal(sameOnPath(path([relay]), 'operator'), undefined)
  t.equal(sameOnPath(path(), 'operator'), undefined, 'one party cannot be like another')
  t.same(sameOnPath(path([relay], { operator: 'relay ltd' }), 'operator'), {
    is: 'same',
    why: 'relay r and resolver a have the same operator (Relay Ltd)',
  })
  t.same(sameOnPath(path([relay], { jurisdiction: 'CH' }), 'jurisdiction')?.is, 'same')
  t.same(sameOnPath(path([relay]), 'jurisdiction'), { is: 'unknown', why: 'the jurisdiction of resolver a is not configured' })
  t.same(sameOnPath(path([hop('socks5', 'p'), hop('socks5', 'q')]), 'operator'), {
    is: 'unknown',
    why: 'the operator of proxy p, proxy q is not configured',
  })
  t.end()
})

t.test('any route: no cell is better than what the party is given', (t) => {
  const kinds = Object.keys(HOP_KINDS) as HopKind[]
  const hops = fc.array(fc.constantFrom(...kinds), { maxLength: 3 }).map((list) => list.map((kind, i) => hop(kind, `h${i}`)))
  const hidden = fc.constantFrom<Hidden>('nothing', 'queries', 'sessions')
  fc.assert(
    fc.property(hops, fc.constantFrom('ca', 'ca+spki', 'key', 'no' as const), hidden, (list, proof, hides) => {
      const table = whoCanKnow(path(list, { proof: proof as QueryPath['proof'] }), hides)
      const [network, ...rest] = table
      const resolver = table.at(-1)
      if (network?.party !== THIS_NETWORK || network.address !== 'yes' || table.length !== list.length + 2) return false
      if (resolver?.names !== 'yes' || rest[0]?.address !== 'yes') return false
      const joined = joinedKnowledge([path(list, { proof: proof as QueryPath['proof'] })])
      const both = table.some(({ address, names }) => address === 'yes' && names === 'yes')
      return both === joined.length > 0
    }),
  )
  t.end()
})

t.test('whatever the configuration: nobody who gets names in cleartext is missing', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'enigm-who-'))
  t.teardown(() => rmSync(dir, { recursive: true }))
  const server = fc.constantFrom('link', '192.0.2.53:53', '192.0.2.54:5353', '[2001:db8::53]:53', '127.0.0.1:5399')
  const zone = fc.constantFrom('home.example', 'corp.example', '2.0.192.in-addr.arpa')
  const rule = fc.oneof(fc.record({ zone, cleartext: server }), fc.record({ zone, to: fc.constant(['quad9']) }))
  const rules = fc.uniqueArray(rule, { maxLength: 3, selector: (one) => one.zone })
  const views = fc.array(fc.record({ forward: rules }), { maxLength: 2 })
  const profile = fc.constantFrom('strict', 'opportunistic')
  await fc.assert(
    fc.asyncProperty(rules, views, profile, async (forward, groups, usageProfile) => {
      const named = groups.map((one, i) => ({ clients: [`10.${i}.0.0/16`], ...one, id: `view${i}` }))
      const all = [...forward, ...groups.flatMap((one) => one.forward)].flatMap((one) => ('cleartext' in one ? [one] : []))
      const allowCleartext = [...new Set(all.map((one) => one.zone))]
      const file = join(dir, 'config.json')
      writeFileSync(file, JSON.stringify({ forward, views: named, allowCleartext, usageProfile }))
      const setup = postureSetup(await loadConfig(file))
      const reports = pathsReport({ setup }, { inForce: 'no' })
      for (const one of all) {
        const found = reports.find(({ resolver, zones }) => resolver === one.cleartext && zones?.includes(one.zone))
        const knows = (party: string) => found?.knows.find((row) => row.party === party)
        const isLocal = one.cleartext.startsWith('127.')
        if (knows(one.cleartext === 'link' ? 'servers of this network' : `server ${one.cleartext}`)?.names !== 'yes') return false
        if (knows(THIS_NETWORK)?.names !== (isLocal ? 'claimed' : 'yes')) return false
        const screen = pathsLines({ paths: reports }, 300).join('\n')
        if (!screen.includes(one.zone) || !screen.includes('the question: not encrypted')) return false
      }
      if (
        groupedPaths(reports).filter(({ path: { zones } }) => zones !== undefined).length !== new Set(all.map((one) => one.cleartext)).size
      )
        return false
      return usageProfile === 'strict' || reports.every(({ knows }) => ['yes', 'claimed'].includes(knows[0]?.names ?? ''))
    }),
    { numRuns: 60 },
  )
})

t.test('the fix of a zone in cleartext does not ask for what is done already', (t) => {
  const zones = [{ zone: 'home.example.', server: '192.0.2.53:53' }]
  t.match(reason('split-dns', { zones, allowed: false }).mend, 'policy.allowCleartext too')
  t.match(reason('split-dns', { zones, allowed: true }).mend, /^Nothing to fix/)
  t.end()
})
