import { once } from 'node:events'
import { connect as connectTcp, createServer, type Server, type Socket } from 'node:net'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { systemClock } from '../../../src/clock.ts'
import { createAuthority } from '../../../src/demo/authority.ts'
import { EnigmError } from '../../../src/errors.ts'
import { HelloMemory } from '../../../src/link/dial/classical-retry.ts'
import { connect } from '../../../src/link/dial/connect.ts'
import type { StrictEndpoint, TlsRules } from '../../../src/link/dial/endpoint.ts'
import { sessionKey, tlsSessions } from '../../../src/link/dial/sessions.ts'
import { type DotServer, startDot } from '../../support/dot-server.ts'
import { endpointAt, linkTo, NAME } from '../../support/link-rig.ts'
import { query } from '../../support/messages.ts'
import { newerNode, runIn } from '../../support/real/newer-node.ts'
import { addressRecord, replyTo } from '../../support/replies.ts'
import { freePace } from '../../support/rules.ts'

const clock = systemClock()
const authority = await createAuthority()
const identity = await authority.issue({ name: NAME })
const ca = authority.certificate

const serve = (tls = {}): Promise<DotServer> => startDot({ identity, answer: (q) => replyTo(q, [addressRecord()]), tls })
const at = (port: number, tls?: TlsRules): StrictEndpoint => endpointAt(port, { ca, ...(tls === undefined ? {} : { tls }) })

/** The protection of one connection, or the error. */
async function dialled(endpoint: StrictEndpoint, hellos = new HelloMemory()) {
  const beganMs = performance.now()
  try {
    const { stream, protection } = await connect(endpoint, 'dot', { clock, sessions: tlsSessions(clock), pace: freePace(clock), hellos })
    stream.destroy()
    const { group, tlsVersion, groupForced } = protection
    return { group, tlsVersion, forced: groupForced === true, ms: performance.now() - beganMs }
  } catch (error) {
    if (!(error instanceof EnigmError)) throw error
    return { code: error.code, message: error.message, ms: performance.now() - beganMs }
  }
}

/** Between client and server: what it does with a first packet longer than one segment. */
async function pathTo(port: number, onLongHello: 'drop' | 'reset') {
  const sockets = new Set<Socket>()
  const hellos: number[] = []
  const server: Server = createServer((client) => {
    sockets.add(client)
    client.on('error', () => {})
    client.once('data', (hello: Buffer) => {
      hellos.push(hello.length)
      if (hello.length > 1200) {
        if (onLongHello === 'reset') client.resetAndDestroy()
        return
      }
      const behind = connectTcp(port, '127.0.0.1')
      sockets.add(behind)
      behind.on('error', () => client.destroy())
      behind.write(hello)
      client.pipe(behind).pipe(client)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const close = () => {
    for (const socket of sockets) socket.destroy()
    server.close()
  }
  return { port: (server.address() as { port: number }).port, hellos, close }
}

/** What a Node with X25519MLKEM768 does; as lines of JSON. */
async function inNewerNode(): Promise<void> {
  const tell = (what: string, found: object) => process.stdout.write(`${JSON.stringify({ what, ...found })}\n`)
  const server = await serve()
  tell('default', await dialled(at(server.port)))
  tell('classical only', await dialled(at(server.port, { groups: ['P-384'] })))
  const old = await serve({ ecdhCurve: 'X25519' })
  tell('server without it', await dialled(at(old.port)))
  tell('server without it, groups without another', await dialled(at(old.port, { groups: ['X25519MLKEM768'] })))
  for (const onLongHello of ['drop', 'reset'] as const) {
    const path = await pathTo(server.port, onLongHello)
    const memory = new HelloMemory()
    tell(onLongHello, await dialled(at(path.port), memory))
    tell(`${onLongHello}, again`, await dialled(at(path.port), memory))
    memory.forget()
    tell(`${onLongHello}, another network`, await dialled(at(path.port), memory))
    const before = path.hellos.length
    const only = await dialled(at(path.port, { groups: ['X25519MLKEM768'] }))
    tell(`${onLongHello}, groups without another`, { ...only, short: path.hellos.slice(before).filter((octets) => octets < 1200).length })
    path.close()
  }
  const { link, ask, events } = linkTo(at(server.port), 'dot')
  await ask(query())
  const up = events.find((event) => event.type === 'link.up')
  tell('event', up?.type === 'link.up' ? { group: up.protection.group } : {})
  await link.close()
  await server.close()
  await old.close()
}

function tests(): void {
  t.test('the groups of a resolver are offered, and no others', async (t) => {
    const server = await serve()
    t.match(await dialled(at(server.port)), { tlsVersion: 'TLSv1.3', group: /X25519/ })
    t.match(await dialled(at(server.port, { groups: ['P-384', 'P-256'] })), { group: /P-384|P-256/ })
    const other = await serve({ ecdhCurve: 'P-521' })
    t.match(await dialled(at(other.port, { groups: ['P-384', 'P-256'] })), { code: 'tls-failed' })
    t.match(await dialled(at(other.port)), { group: 'P-521' })
    await server.close()
    await other.close()
  })

  t.test('the lowest version of a resolver is enforced', async (t) => {
    const old = await serve({ maxVersion: 'TLSv1.2' })
    t.match(await dialled(at(old.port, { minVersion: 'TLSv1.3' })), { code: 'tls-failed' })
    t.match(await dialled(at(old.port, { minVersion: 'TLSv1.2' })), { tlsVersion: 'TLSv1.2' })
    await old.close()
  })

  t.test('a session that other rules allowed is not resumed', (t) => {
    const rules: (TlsRules | undefined)[] = [undefined, { minVersion: 'TLSv1.3' }, { groups: ['X25519'] }]
    const keys = rules.map((tls) => sessionKey(at(853, tls), 'dot'))
    t.equal(new Set(keys).size, keys.length)
    t.end()
  })

  t.test('groups that this Node does not have: nothing is dialled, and one sentence says what is missing', async (t) => {
    const [major = 0, minor = 0] = process.versions.openssl.split('.').map(Number)
    if (major > 3 || minor >= 5) return
    const server = await serve()
    const found = await dialled(at(server.port, { groups: ['X25519MLKEM768'] }))
    t.match(found, { code: 'tls-failed', message: /OpenSSL .* has none of the groups X25519MLKEM768; use Node 24/ })
    t.equal(server.counts.tcp, 0)
    t.match(await dialled(at(server.port, { groups: ['X25519MLKEM768', 'P-256'] })), { group: 'P-256' })
    await server.close()
  })

  t.test('a newer Node: the hybrid group first; without it where its message stalls, and that is recorded', async (t: Test) => {
    const node = newerNode(t, 24)
    if (node === undefined) return
    const said = await runIn(node, fileURLToPath(import.meta.url), { IN_NEWER_NODE: 'yes' })
    const found = new Map(
      said
        .trim()
        .split('\n')
        .map((line) => [JSON.parse(line).what, JSON.parse(line)]),
    )
    t.match(found.get('default'), { group: 'X25519MLKEM768', forced: false })
    t.match(found.get('event'), { group: 'X25519MLKEM768' })
    t.match(found.get('classical only'), { group: 'P-384', forced: false })
    t.match(found.get('server without it'), { group: 'X25519', forced: false }, 'a choice of the server is no force')
    t.match(found.get('server without it, groups without another'), { code: 'tls-failed' })
    for (const how of ['drop', 'reset']) {
      t.match(found.get(how), { group: 'X25519', forced: true }, how)
      t.ok(how === 'reset' || found.get(how).ms > 900, 'a stall, not an impatience')
      t.ok(found.get(how).ms < 2000, `${how}: ${Math.round(found.get(how).ms)} ms`)
      t.match(found.get(`${how}, again`), { group: 'X25519', forced: true })
      t.ok(found.get(`${how}, again`).ms < 700, 'known the next time')
      t.match(found.get(`${how}, another network`), { group: 'X25519', forced: true })
      t.ok(how === 'reset' || found.get(`${how}, another network`).ms > 900, 'and forgotten with the network')
      t.match(found.get(`${how}, groups without another`), { code: /connect-timeout|tls-failed/, short: 0 }, 'never without it')
    }
  })
}

if (process.env.IN_NEWER_NODE === undefined) tests()
else await inNewerNode()
