import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { createAuthority } from '../../src/demo/authority.ts'
import { startDot } from '../support/dot-server.ts'
import { query } from '../support/messages.ts'
import { CLI, cli, RESOLVER_NAME } from '../support/real/daemon.ts'
import { rcodeOf, udpClient } from '../support/real/dns-client.ts'
import { freePort } from '../support/real/server-process.ts'
import { addressRecord, replyTo } from '../support/replies.ts'

const NAME = 'kept.example'

interface Status {
  readonly pid: number
  readonly signals: { readonly service: { readonly reasons: readonly { readonly code: string }[] } }
}

/** A resolver, and directories and a configuration that outlive the daemons which use them. */
async function place(t: Test, more: object = {}) {
  const dir = mkdtempSync(join(tmpdir(), 'enigm-'))
  const authority = await createAuthority()
  const resolver = await startDot({
    identity: await authority.issue({ name: RESOLVER_NAME }),
    answer: (q) => replyTo(q, [addressRecord()]),
  })
  const running = new Set<ChildProcess>()
  t.teardown(async () => {
    for (const child of running) child.kill('SIGKILL')
    await resolver.close()
    rmSync(dir, { recursive: true, force: true })
  })
  const port = await freePort()
  const set = {
    version: 1,
    resolvers: [
      {
        ...{ id: 'one', authenticationDomainName: RESOLVER_NAME, addresses: ['127.0.0.1'], caFile: 'ca.pem' },
        transports: { dot: { port: resolver.port } },
      },
    ],
  }
  const config = (changes: object = {}) => ({
    ...{ listen: [`127.0.0.1:${port}`], resolvers: 'set.json', statusFile: 'run/status.json', stateDir: 'state', heartbeatS: 1 },
    ...{ shaping: { profile: 'off' }, ...more, ...changes },
  })
  /** As editors and package managers do. */
  const write = (name: string, value: unknown) => {
    writeFileSync(join(dir, `.${name}.new`), typeof value === 'string' ? value : JSON.stringify(value), { mode: 0o600 })
    renameSync(join(dir, `.${name}.new`), join(dir, name))
  }
  write('ca.pem', authority.certificate)
  write('set.json', set)
  write('config.json', config())
  const file = join(dir, 'config.json')
  const start = async () => {
    const env = Object.fromEntries(Object.entries(process.env).filter(([key]) => !/^(NODE_|SSL|npm_)/.test(key)))
    const child = spawn(process.execPath, [CLI, 'run', '--config', file], { stdio: ['ignore', 'pipe', 'pipe'], env })
    running.add(child)
    let log = ''
    child.stderr.on('data', (chunk: Buffer) => {
      log += chunk.toString()
    })
    const gone = once(child, 'exit')
    await Promise.race([once(child.stdout, 'data'), gone])
    return {
      pid: child.pid ?? 0,
      log: () => log,
      code: () => child.exitCode,
      kill: (signal: NodeJS.Signals) => void child.kill(signal),
      async end(signal: NodeJS.Signals = 'SIGTERM') {
        child.kill(signal)
        await gone
        return child.exitCode
      },
    }
  }
  const client = await udpClient(port)
  t.teardown(() => client.close())
  const status = () => JSON.parse(readFileSync(join(dir, 'run/status.json'), 'utf8')) as Status
  const reasons = () => status().signals.service.reasons.map(({ code }) => code)
  return { dir, file, port, resolver, config, set, write, start, client, status, reasons, saved: join(dir, 'state/cache.sealed') }
}

async function until(what: string, test: () => boolean, ms = 15_000): Promise<void> {
  for (const end = performance.now() + ms; performance.now() < end; await sleep(20)) if (test()) return
  throw new Error(`not within ${ms} ms: ${what}`)
}

t.test('a restart keeps the answers, a kill loses a few minutes of them, forget removes all', { timeout: 60_000 }, async (t) => {
  const p = await place(t, { cache: { persist: 'disk' } })
  const first = await p.start()
  t.equal(rcodeOf(await p.client.ask(query({ name: NAME }))), 0)
  t.equal(p.resolver.counts.queries, 1)
  t.equal(await first.end(), 0)
  t.equal(statSync(p.saved).mode & 0o777, 0o600)
  t.equal(statSync(join(p.dir, 'state')).mode & 0o777, 0o700)
  for (const name of readdirSync(join(p.dir, 'state'))) {
    t.notOk(readFileSync(join(p.dir, 'state', name)).includes('kept'), `no name in ${name}`)
  }

  const second = await p.start()
  await sleep(300)
  t.equal(rcodeOf(await p.client.ask(query({ name: NAME }))), 0)
  t.equal(p.resolver.counts.queries, 1, 'answered from what was saved')

  const forgot = await cli('forget', '--config', p.file, '--json')
  t.equal(forgot.code, 0, forgot.stderr)
  t.match(JSON.parse(forgot.stdout), {
    daemon: { entries: 1, sessions: Number },
    files: [p.saved, join(p.dir, 'state/cache.key')],
    left: [],
  })
  t.notOk(existsSync(p.saved))
  t.equal(rcodeOf(await p.client.ask(query({ name: NAME }))), 0)
  t.equal(p.resolver.counts.queries, 2, 'asked again')

  await second.end('SIGKILL')
  writeFileSync(p.saved, 'damaged', { mode: 0o600 })
  const third = await p.start()
  await until('the warning', () => third.log().includes('the saved cache was deleted'))
  t.equal(rcodeOf(await p.client.ask(query({ name: NAME }))), 0)
  t.equal(await third.end(), 0)
  const alone = await cli('forget', '--config', p.file)
  t.match(alone, { code: 0, stdout: /No daemon was reached[\s\S]*Removed .*cache\.sealed/ })
})

t.test('forget reports a daemon that cannot be notified', { timeout: 60_000 }, async (t) => {
  const p = await place(t)
  const daemon = await p.start()
  rmSync(join(p.dir, 'run/control.sock'))
  t.match(await cli('forget', '--config', p.file), { code: 1, stdout: new RegExp(`LEFT: the daemon .process ${daemon.pid}.`) })
  await daemon.end()
})

t.test('a second service with one status file is refused, and the first one continues', { timeout: 60_000 }, async (t) => {
  const p = await place(t)
  const first = await p.start()
  const second = await p.start()
  await until('its end', () => second.code() !== null)
  t.equal(second.code(), 2)
  t.match(second.log(), new RegExp(`process ${first.pid} runs as a service with the status file`))
  t.equal(p.status().pid, first.pid)
  t.equal(rcodeOf(await p.client.ask(query({ name: NAME }))), 0)
  await first.end('SIGKILL')
  const third = await p.start()
  t.equal(rcodeOf(await p.client.ask(query({ name: NAME }))), 0, 'what a killed one left is no obstacle')
  await third.end()
})

t.test('changed files are read again; invalid ones are rejected; no query is lost', { timeout: 90_000 }, async (t) => {
  const p = await place(t)
  const daemon = await p.start()
  const rcodes: number[] = []
  let asked = 0
  let asking = true
  const load = (async () => {
    const waiting: Promise<void>[] = []
    while (asking) {
      waiting.push(p.client.ask(query({ name: `n${asked++}.example` }), 8000).then((reply) => void rcodes.push(rcodeOf(reply))))
      await sleep(5)
    }
    await Promise.all(waiting)
  })()
  const inForce = () => daemon.log().split('the new configuration is in force').length - 1

  p.write('config.json', p.config({ timeoutMs: 3000 }))
  await until('the first reload', () => inForce() === 1)
  p.write('set.json', { ...p.set, resolvers: [{ ...p.set.resolvers[0], id: 'two' }] })
  await until('the set', () => inForce() === 2)
  t.match(readFileSync(join(p.dir, 'run/status.json'), 'utf8'), '"two"')

  p.write('set.json', '{ "version": 1, "resolvers": [')
  await until('the refusal in the status', () => p.reasons().includes('reload-refused'))
  p.write('set.json', p.set)
  await until('the mend', () => inForce() === 3)
  t.notOk(p.reasons().includes('reload-refused'))

  for (let i = 0; i < 5; i++) {
    daemon.kill('SIGHUP')
    await until(`signal ${i}`, () => inForce() === 4 + i)
  }
  p.write('config.json', p.config({ heartbeatS: 2, udp: 'dgram', cache: { maxBytes: 1_000_000 } }))
  await until('the warning', () => /take effect at the next start: cache.maxBytes, udp, heartbeatS/.test(daemon.log()))
  await until('the same in the status', () => p.reasons().includes('restart-needed'))
  t.match(JSON.stringify(p.status().signals.service), 'next start: cache.maxBytes, udp, heartbeatS')
  p.write('config.json', p.config())
  await until('the change taken back', () => !p.reasons().includes('restart-needed'))
  asking = false
  await load
  t.equal(rcodes.length, asked, 'every query got its reply')
  t.strictSame(rcodes.filter((rcode) => rcode !== 0).length, 0, `${asked} queries over ten reloads`)
  t.equal(await daemon.end(), 0)
})

t.test('a listener moves to the wildcard of its port, and back', { timeout: 60_000 }, async (t) => {
  const p = await place(t)
  const daemon = await p.start()
  const inForce = () => daemon.log().split('the new configuration is in force').length - 1
  t.equal(rcodeOf(await p.client.ask(query({ name: NAME }))), 0)
  p.write('config.json', p.config({ listen: [`0.0.0.0:${p.port}`], allowFrom: ['127.0.0.0/8'] }))
  await until('the wildcard', () => inForce() === 1)
  t.equal(rcodeOf(await p.client.ask(query({ name: NAME }))), 0)
  p.write('config.json', p.config())
  await until('the address', () => inForce() === 2)
  t.equal(rcodeOf(await p.client.ask(query({ name: NAME }))), 0)
  t.equal(await daemon.end(), 0)
})
