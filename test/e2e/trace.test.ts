// The built daemon and the built `enigm-dns trace`: what is asked is shown to whoever may see it,
// named in the status meanwhile, and nowhere else.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { createAuthority } from '../../src/demo/authority.ts'
import { startDot } from '../support/dot-server.ts'
import { query } from '../support/messages.ts'
import { CLI, cli, cliAsNobody, RESOLVER_NAME, type RunningDaemon, startDaemon } from '../support/real/daemon.ts'
import { rcodeOf, udpClient } from '../support/real/dns-client.ts'
import { addressRecord, replyTo } from '../support/replies.ts'

const SECRET = 'watched-name'

interface Line {
  readonly name: string
  readonly type: string
  readonly outcome: string
  readonly rcode: string
  readonly ede?: number
  readonly ms: number
}

async function stage(t: Test, config: Readonly<Record<string, unknown>> = {}) {
  const authority = await createAuthority()
  const server = await startDot({ identity: await authority.issue({ name: RESOLVER_NAME }), answer: (q) => replyTo(q, [addressRecord()]) })
  const resolver = {
    ...{ id: 'one', authenticationDomainName: RESOLVER_NAME, addresses: ['127.0.0.1'], caFile: 'ca.pem' },
    transports: { dot: { port: server.port } },
  }
  const daemon = await startDaemon({ resolvers: [resolver], ca: authority.certificate, config: { log: { level: 'debug' }, ...config } })
  const client = await udpClient(daemon.port)
  t.teardown(async () => {
    client.close()
    await daemon.stop()
    await server.close()
  })
  const ask = async (name: string) => rcodeOf(await client.ask(query({ name, opt: {} })))
  return { daemon, server, ask }
}

/** The command, running; its first words are out when this resolves. */
async function tracing(t: Test, daemon: RunningDaemon, time: string) {
  const child = spawn(process.execPath, [CLI, 'trace', '--for', time, '--json', '--config', join(daemon.dir, 'config.json')])
  t.teardown(() => void child.kill('SIGKILL'))
  const said = { out: '', err: '' }
  child.stdout.on('data', (chunk: Buffer) => {
    said.out += chunk.toString()
  })
  child.stderr.on('data', (chunk: Buffer) => {
    said.err += chunk.toString()
  })
  const gone = once(child, 'exit').then(([code]) => code as number | null)
  await Promise.race([once(child.stderr, 'data'), gone])
  const lines = () => said.out.split('\n').flatMap((line) => (line === '' ? [] : [JSON.parse(line) as Line]))
  return { child, said, gone, lines }
}

async function until(what: string, test: () => boolean) {
  for (const end = performance.now() + 8000; performance.now() < end; await sleep(20)) if (test()) return
  throw new Error(`not in time: ${what}`)
}

const isNamed = (daemon: RunningDaemon) => JSON.stringify(daemon.status()).includes('"trace":{"state":"on"')

/** Every file that the daemon keeps, and its log. */
function kept(daemon: RunningDaemon): string {
  const files = readdirSync(daemon.dir, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
  return [daemon.log(), ...files.map((file) => readFileSync(join(file.parentPath, file.name), 'latin1'))].join('\n')
}

t.test('shows each question and its result; the status reports it; no file and no log holds it', async (t) => {
  const { daemon, server, ask } = await stage(t, { timeoutMs: 600 })
  t.equal(await ask(`before.${SECRET}.example`), 0)
  t.notOk(isNamed(daemon))
  const trace = await tracing(t, daemon, '1m')
  t.match(trace.said.err, /Showing queries until 2.*the status shows that a trace is on/)
  t.ok(isNamed(daemon), 'named before anything is shown')
  const service = daemon.status()?.signals.service
  t.match(service, { state: 'warn' })
  t.ok(service?.reasons.some(({ code }) => code === 'query-trace'))
  t.equal(daemon.status()?.state, 'protected', 'what is protected stays so')
  t.equal(await ask(`New.${SECRET}.example`), 0)
  t.equal(await ask(`new.${SECRET}.example`), 0)
  t.equal(await ask(`${SECRET}.local`), 3)
  await server.close()
  t.equal(await ask(`dead.${SECRET}.example`), 2)
  await until('four lines', () => trace.lines().length >= 4)
  const [asked, again, local, dead] = trace.lines()
  t.match(asked, { name: `new.${SECRET}.example.`, type: 'A', outcome: 'one/dot', rcode: 'NOERROR' })
  t.ok((asked?.ms ?? 0) > 0)
  t.match(again, { name: `new.${SECRET}.example.`, outcome: 'cache', rcode: 'NOERROR' })
  t.match(local, { name: `${SECRET}.local.`, outcome: 'policy', rcode: 'NXDOMAIN' })
  t.match(dead, { name: `dead.${SECRET}.example.`, rcode: 'SERVFAIL', ede: Number })
  t.match(dead?.outcome, /^(connect|connection|deadline|no-upstream)/, 'why it failed')
  t.notMatch(trace.said.out, /before|127\.0\.0\.1/, 'nothing from before, and nobody who asked')

  const screen = await cli('status', '--file', daemon.statusFile)
  t.match(screen.stdout, /\[query-trace\]/)
  const redacted = JSON.parse((await cli('status', '--redact', '--file', daemon.statusFile)).stdout)
  t.strictSame(redacted.trace, { state: 'on' })
  t.notMatch(kept(daemon), SECRET)
  t.match(daemon.log(), /a query trace began/)

  trace.child.kill('SIGINT')
  await trace.gone
  await until('off again', () => !isNamed(daemon))
  t.match(daemon.status()?.signals.service, { state: 'ok' })
  await sleep(1200)
  t.notMatch(kept(daemon), SECRET, 'a heartbeat later neither')
})

t.test('ends with its time, a reload, and the service; never longer than an hour; one at a time', async (t) => {
  const { daemon, ask } = await stage(t)
  const config = ['--config', join(daemon.dir, 'config.json')]
  const short = await tracing(t, daemon, '5s')
  const second = await cli('trace', ...config)
  t.match(second, { code: 1, stderr: /a trace is on already/ })
  t.equal(await ask(`x.${SECRET}.example`), 0)
  t.equal(await short.gone, 0)
  t.equal(short.lines().length, 1)
  t.notOk(isNamed(daemon))
  for (const time of ['2h', '0s', '5', 'soon']) t.match(await cli('trace', '--for', time, ...config), { code: 2, stderr: /1s to 1h/ })

  const reloaded = await tracing(t, daemon, '1h')
  daemon.kill('SIGHUP')
  t.equal(await reloaded.gone, 1)
  t.match(reloaded.said.err, /another configuration/)
  t.notOk(isNamed(daemon))
  t.equal(await ask(`y.${SECRET}.example`), 0)

  const forgotten = await tracing(t, daemon, '1h')
  t.equal((await cli('forget', ...config)).code, 0)
  t.equal(await forgotten.gone, 1)
  t.match(forgotten.said.err, /queries were removed/)

  const stopped = await tracing(t, daemon, '1h')
  t.equal(await daemon.stop(), 0)
  t.equal(await stopped.gone, 1)
  t.match(stopped.said.err, /The service stops/)
  t.match(await cli('trace', ...config), { code: 2 }, 'the configuration is gone, too')
})

t.test('it includes the questions that worker threads answer', async (t) => {
  const { daemon } = await stage(t, { workers: 2 })
  const clients = await Promise.all(Array.from({ length: 64 }, () => udpClient(daemon.port)))
  t.teardown(() => clients.forEach((client) => void client.close()))
  const trace = await tracing(t, daemon, '1m')
  // With two sockets the kernel gives all of these clients to one in one of 2^63 runs.
  for (let round = 0; round < 3; round++) {
    for (const [i, client] of clients.entries()) await client.ask(query({ name: `n${i}.${SECRET}.example`, opt: {} }))
  }
  await until('every question', () => trace.lines().length >= 3 * clients.length)
  t.equal(trace.lines().length, 3 * clients.length)
  for (const [i] of clients.entries()) {
    const outcomes = trace.lines().flatMap(({ name, outcome }) => (name === `n${i}.${SECRET}.example.` ? [outcome] : []))
    t.strictSame(outcomes, ['one/dot', 'cache', 'cache'])
  }
})

t.test('another user is refused', { skip: process.getuid?.() !== 0 && 'needs root' }, async (t) => {
  const { daemon } = await stage(t)
  // As open as an administrator could leave it: what refuses is the socket alone.
  chmodSync(daemon.dir, 0o755)
  for (const file of ['config.json', 'resolvers.json', 'ca.pem', 'status.json']) chmodSync(join(daemon.dir, file), 0o644)
  const refused = await cliAsNobody('trace', '--for', '5s', '--config', join(daemon.dir, 'config.json'))
  t.match(refused, { code: 3, stdout: '', stderr: /does not accept commands from this user/ })
  t.notOk(isNamed(daemon))
})
