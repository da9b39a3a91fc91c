// The built commands find the service that runs, whatever it was started with, and say nothing that
// it does not say.
import { execFileSync } from 'node:child_process'
import { chmodSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { createAuthority } from '../../src/demo/authority.ts'
import { isSame } from '../../src/system/process-identity.ts'
import { startDot } from '../support/dot-server.ts'
import { query } from '../support/messages.ts'
import { cli, cliAsNobody, RESOLVER_NAME, startDaemon } from '../support/real/daemon.ts'
import { rcodeOf, udpClient } from '../support/real/dns-client.ts'
import { insideNamespace } from '../support/real/namespace.ts'
import { freePort } from '../support/real/server-process.ts'
import { addressRecord, replyTo } from '../support/replies.ts'

const TIMEOUT_MS = 120_000
const REGISTER = '/run/enigm-dns/services'

/** A command as nobody, and all that it prints. */
async function asNobody(...args: readonly string[]): Promise<{ readonly code: number; readonly said: string }> {
  const { code, stdout, stderr } = await cliAsNobody(...args)
  return { code, said: stdout + stderr }
}

/**
 * A daemon that was started with a configuration in a place of its own, and has one answer in its
 * cache. Without heartbeats: one would write the record again that a test takes away.
 */
async function scene(t: Test, more: Readonly<Record<string, unknown>> = {}) {
  const authority = await createAuthority()
  const server = await startDot({ identity: await authority.issue({ name: RESOLVER_NAME }), answer: (q) => replyTo(q, [addressRecord()]) })
  const one = {
    ...{ id: 'excluded-nobody', authenticationDomainName: RESOLVER_NAME, addresses: ['127.0.0.1'], caFile: 'ca.pem' },
    transports: { dot: { port: server.port } },
  }
  const daemon = await startDaemon({ resolvers: [one], ca: authority.certificate, config: { heartbeatS: 3600, ...more } })
  const client = await udpClient(daemon.port)
  t.teardown(async () => {
    client.close()
    await daemon.stop()
    await server.close()
  })
  const config = join(daemon.dir, 'config.json')
  const settings = JSON.parse(readFileSync(config, 'utf8')) as Readonly<Record<string, unknown>>
  const write = (name: string, value: unknown) => {
    writeFileSync(join(daemon.dir, name), typeof value === 'string' ? value : JSON.stringify(value), { mode: 0o600 })
    return join(daemon.dir, name)
  }
  const ask = async () => rcodeOf(await client.ask(query({ name: 'kept.example' })))
  /** Whether the answer was in memory still. */
  const keeps = async () => {
    const before = server.counts.queries
    t.equal(await ask(), 0)
    return server.counts.queries === before
  }
  t.equal(await ask(), 0)
  return { daemon, config, settings, write, keeps, server }
}

t.setTimeout(600_000)
if (insideNamespace(t, import.meta.url)) {
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'mode=0755', 'tmpfs', '/run'])
  const skip = process.getuid?.() !== 0 || readFileSync('/proc/self/uid_map', 'utf8').trim().split(/\s+/)[2] === '1' ? 'needs root' : false

  t.test('without arguments every command uses the running service', { timeout: TIMEOUT_MS }, async (t) => {
    const { daemon, server, keeps } = await scene(t)
    t.strictSame(readdirSync(REGISTER), [`${daemon.pid}.json`])
    t.match(await cli('status', '--json'), { code: 0, stdout: new RegExp(`"pid": ${daemon.pid}`) })
    t.match(await cli('query', 'localhost'), { code: 0, stdout: new RegExp(`127\\.0\\.0\\.1:${daemon.port}`) })
    const before = server.counts.handshakes
    const check = await cli('check')
    t.match(check, { code: 0, stdout: /excluded-nobody/, stderr: new RegExp(`process ${daemon.pid} .*config\\.json`) })
    t.notMatch(check.stdout, /quad9|mullvad/, 'nobody else is dialled')
    t.ok(server.counts.handshakes > before)
    t.match(check.stdout, daemon.statusFile)
    const doctor = await cli('doctor')
    t.match(doctor.stdout, new RegExp(`ok listener +127\\.0\\.0\\.1:${daemon.port} over UDP`))
    t.match(doctor.stdout, /ok service +The status file is current/)
    t.match(doctor.stdout, /excluded-nobody over dot: authenticated/)
    t.notMatch(doctor.stdout, /quad9|mullvad/)
    t.match(await cli('audit', 'head'), { code: 3, stdout: join(daemon.dir, 'state') })
    t.match(await cli('trace', '--for', '1s'), { code: 0 })
    t.equal(await keeps(), true)
    t.match(await cli('forget'), { code: 0, stdout: /The daemon forgot \d answers/ })
    t.equal(await keeps(), false)
  })

  t.test('another user sees the state, and that nothing was done', { skip, timeout: TIMEOUT_MS }, async (t) => {
    const { daemon, keeps } = await scene(t)
    chmodSync(daemon.dir, 0o755)
    t.match(await asNobody('status'), { code: 3, said: /This user cannot read the status file/ })
    const doctor = await asNobody('doctor', '--offline')
    t.match(doctor.said, /\? {2}service +This user cannot read the status file/)
    t.notMatch(doctor.said, /has not run/)
    t.match(doctor.said, new RegExp(`ok listener +127\\.0\\.0\\.1:${daemon.port} over UDP`))
    t.match(await asNobody('check'), { code: 3, said: /cannot read its configuration/ })
    t.match(await asNobody('trace', '--for', '1s'), { code: 3, said: /does not accept commands from this user/ })
    t.match(await asNobody('forget'), { code: 3, said: /LEFT: the daemon/ })
    t.match(await asNobody('stop'), { code: 3, said: /does not accept commands from this user/ })
    t.match(await asNobody('reload'), { code: 3, said: /does not accept commands from this user/ })
    t.equal(await keeps(), true)
    // Not even that something runs can be read: its process shows.
    rmSync(REGISTER, { recursive: true })
    for (const command of ['forget', 'stop', 'reload', 'trace']) {
      const { code, said } = await asNobody(command)
      t.equal(code, 3, command)
      t.match(said, /cannot tell/, command)
      t.notMatch(said, /none runs/)
    }
    t.equal(await keeps(), true)
    for (const file of ['config.json', 'resolvers.json', 'ca.pem']) chmodSync(join(daemon.dir, file), 0o644)
    t.match(await asNobody('forget', '--config', join(daemon.dir, 'config.json')), { said: /this user cannot read/ })
  })

  t.test(
    'forget with another configuration never claims that all is gone while the daemon has answers',
    { timeout: TIMEOUT_MS },
    async (t) => {
      const { settings, write, keeps } = await scene(t)
      for (const changed of [
        { statusFile: 'other.json' },
        { statusFile: 'other.json', stateDir: 'other' },
        { statusFile: 'x/y', listen: ['127.0.0.1:5'] },
      ]) {
        const { code, stdout, stderr } = await cli('forget', '--config', write('other-config.json', { ...settings, ...changed }))
        t.equal(code, 0, stdout + stderr)
        t.match(stdout, /The daemon forgot 1 answer and/)
        t.equal(await keeps(), false, 'the daemon was found by what it shares')
      }
      const elsewhere = { ...settings, statusFile: 'o/o.json', stateDir: 'o', listen: ['127.0.0.1:5'] }
      t.match(await cli('forget', '--config', write('other-config.json', elsewhere)), {
        code: 3,
        stdout: /CANNOT TELL: .* runs with another status file/,
      })
      t.equal(await keeps(), true)
      t.match(await cli('forget', '--config', write('other-config.json', '{')), { code: 2 })
    },
  )

  t.test('a configuration edited since the start finds its service, valid or not', { timeout: TIMEOUT_MS }, async (t) => {
    const { daemon, settings, write, config, keeps } = await scene(t)
    write('config.json', { ...settings, statusFile: 'moved.json' })
    t.match(await cli('reload', '--config', config), { code: 0, stdout: /^accepted[\s\S]*next start: statusFile/ })
    t.match(await cli('forget', '--config', config), { code: 0, stdout: /The daemon forgot/ })
    write('config.json', '{ "timeoutMs": 1 }')
    const refused = await cli('reload', '--config', config)
    t.match(refused, { code: 1, stdout: '', stderr: /refused[\s\S]*config\.json: timeoutMs: / })
    t.match(await cli('reload'), { code: 1, stderr: /timeoutMs/ })
    t.equal(await keeps(), false, 'forgotten above, kept from now on')
    t.match(await cli('forget', '--config', config), { code: 0, stdout: /The daemon forgot 1/ })
    write('config.json', { ...settings, user: 'no-such-user-here' })
    t.match(await cli('reload'), { code: 1, stderr: /there is no user "no-such-user-here"/ }, 'the next start would fail')
    write('config.json', settings)
    t.match(await cli('reload'), { code: 0, stdout: /^accepted/ })
    t.match(await cli('stop', '--config', config), { code: 0, stdout: /is gone/ })
    t.equal(isSame(daemon.pid, undefined), false)
  })

  t.test('stop waits until the service is gone; then every command knows that none runs', { timeout: TIMEOUT_MS }, async (t) => {
    const { daemon, config } = await scene(t)
    t.match(await cli('stop'), { code: 0, stdout: new RegExp(`process ${daemon.pid} is gone`), stderr: '' })
    t.notOk(daemon.alive && isSame(daemon.pid, undefined) !== false)
    t.strictSame(readdirSync(REGISTER), [])
    for (const words of [['stop'], ['reload'], ['trace']]) {
      t.match(await cli(...words, '--config', config), { code: 1, stderr: /no daemon runs/ }, words.join(' '))
      t.match(await cli(...words), { code: 1, stderr: /no daemon runs/ }, words.join(' '))
    }
    t.match(await cli('forget', '--config', config), { code: 0, stdout: /No daemon was reached: none runs/ })
    t.equal((await cli('status')).code, 3)
  })

  t.test('files of a killed service are not trusted, and are removed by the next start', { timeout: TIMEOUT_MS }, async (t) => {
    const first = await scene(t)
    first.daemon.kill('SIGKILL')
    while (first.daemon.alive) await sleep(10)
    t.strictSame(readdirSync(REGISTER), [`${first.daemon.pid}.json`])
    t.match(await cli('stop'), { code: 1, stderr: /no daemon runs/ })
    const second = await scene(t)
    t.strictSame(readdirSync(REGISTER), [`${second.daemon.pid}.json`])
  })

  t.test('two services: an order needs a name; a command that only reads shows the later one', { timeout: TIMEOUT_MS }, async (t) => {
    const [first, second] = [await scene(t), await scene(t)]
    for (const command of ['stop', 'reload', 'trace', 'forget']) {
      const { code, stdout, stderr } = await cli(command)
      t.equal(code, 3, command)
      for (const { daemon } of [first, second]) t.match(stdout + stderr, `process ${daemon.pid}`)
    }
    t.match(await cli('status', '--json'), { stdout: new RegExp(`"pid": ${second.daemon.pid}`) })
    t.match(await cli('stop', '--config', first.config), { code: 0, stdout: `process ${first.daemon.pid}` })
    t.match(await cli('reload'), { code: 0 })
  })

  t.test('--listen is used, and a reload moves the address that is asked', { timeout: TIMEOUT_MS }, async (t) => {
    const { daemon, settings, write } = await scene(t)
    const port = await freePort()
    write('config.json', { ...settings, listen: [`0.0.0.0:${port}`], allowFrom: ['127.0.0.0/8'] })
    t.match(await cli('reload'), { code: 0 })
    t.match(await cli('query', 'localhost'), { code: 0, stdout: new RegExp(`127\\.0\\.0\\.1:${port}`) })
    t.match((await cli('doctor', '--offline')).stdout, new RegExp(`0\\.0\\.0\\.0:${port} over TCP answers`))
    rmSync(REGISTER, { recursive: true })
    t.equal(existsSync(REGISTER), false)
    t.equal(daemon.alive, true)
  })

  t.test('only root and its owner are trusted', { skip, timeout: TIMEOUT_MS }, async (t) => {
    const { daemon } = await scene(t)
    const record = readFileSync(join(REGISTER, `${daemon.pid}.json`), 'utf8')
    const planted = join(REGISTER, `${process.pid}.json`)
    writeFileSync(planted, record.replace(`"pid":${daemon.pid}`, `"pid":${process.pid}`).replace(/"processStart":"[^"]*",/, ''))
    execFileSync('chown', ['65533', planted])
    chmodSync(planted, 0o644)
    t.match(await cli('reload'), { code: 0 }, 'one of a third user is passed over')
    rmSync(planted)
    chmodSync(REGISTER, 0o777)
    t.match(await cli('reload'), { code: 3 }, 'nor anything in a directory that everybody writes')
    chmodSync(REGISTER, 0o755)
    t.match(await cli('reload'), { code: 0 })
  })
}
