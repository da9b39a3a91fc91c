// A service that runs and gives no reply: commands say the real reason, and how it ends.
import { execFileSync } from 'node:child_process'
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { createAuthority } from '../../src/demo/authority.ts'
import { cli, cliAsNobody, RESOLVER_NAME, startDaemon } from '../support/real/daemon.ts'
import { insideNamespace } from '../support/real/namespace.ts'

async function service(t: Test, config: Readonly<Record<string, unknown>> = {}, place: { readonly statusFile?: string } = {}) {
  const one = {
    ...{ id: 'mine', authenticationDomainName: RESOLVER_NAME, addresses: ['127.0.0.1'], caFile: 'ca.pem' },
    transports: { dot: { port: 1 } },
  }
  const daemon = await startDaemon({
    resolvers: [one],
    ca: (await createAuthority()).certificate,
    config: { heartbeatS: 3600, ...config },
    ...place,
  })
  t.teardown(() => daemon.stop())
  return daemon
}

t.setTimeout(200_000)
if (insideNamespace(t, import.meta.url)) {
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'mode=0755', 'tmpfs', '/run'])
  const isRoot = process.getuid?.() === 0 && readFileSync('/proc/self/uid_map', 'utf8').trim().split(/\s+/)[2] !== '1'

  t.test('a suspended process', async (t) => {
    const { pid, dir } = await service(t)
    const config = ['--config', join(dir, 'config.json')]
    process.kill(pid, 'SIGSTOP')
    const [stop, reload, query, doctor] = await Promise.all([
      cli('stop', ...config),
      cli('reload', ...config),
      cli('query', 'localhost'),
      cli('doctor', '--offline', ...config),
    ])
    process.kill(pid, 'SIGCONT')
    for (const { code, stderr } of [stop, reload]) {
      t.equal(code, 3)
      t.match(stderr, new RegExp(`process ${pid}\\) runs but is suspended \\(SIGSTOP\\).*kill -CONT ${pid}, or as the last resort kill -9`))
    }
    t.match(query.stderr, new RegExp(`process ${pid}\\) is suspended`))
    t.match(
      doctor.stdout,
      new RegExp(`does not answer: The service \\(process ${pid}\\) is suspended.*\\n +fix: Let it continue: kill -CONT ${pid}`),
    )
    t.notMatch(doctor.stdout, /Start the service/)
  })

  t.test('a client that is not in allowFrom', async (t) => {
    const { dir } = await service(t, { allowFrom: ['192.0.2.0/24'] })
    const [query, doctor] = await Promise.all([cli('query', 'localhost'), cli('doctor', '--offline', '--config', join(dir, 'config.json'))])
    t.match(query.stderr, /answers only the clients in allowFrom, and 127\.0\.0\.1 is not one/)
    t.match(
      doctor.stdout,
      /over UDP does not answer: The service answers only the clients in allowFrom.*\n +fix: Add 127\.0\.0\.1 to allowFrom/,
    )
    t.notMatch(doctor.stdout, /Start the service/)
  })

  t.test('a service that could not make its control socket', async (t) => {
    const { pid } = await service(t, {}, { statusFile: '/proc/none/status.json' })
    for (const command of ['stop', 'reload']) {
      const { code, stderr } = await cli(command)
      t.equal(code, 3, command)
      t.match(stderr, new RegExp(`process ${pid}\\) runs but has no control socket \\(/proc/none/control\\.sock\\).*kill ${pid}`))
    }
  })

  t.test('forget does not look where another user keeps files', { skip: !isRoot && 'needs root' }, async (t) => {
    const dir = mkdtempSync(join(tmpdir(), 'enigm-no-reply-'))
    t.teardown(() => rmSync(dir, { recursive: true }))
    chmodSync(dir, 0o755)
    const one = { id: 'mine', authenticationDomainName: RESOLVER_NAME, addresses: ['127.0.0.1'], transports: { dot: { port: 1 } } }
    writeFileSync(join(dir, 'resolvers.json'), JSON.stringify({ version: 1, resolvers: [one] }), { mode: 0o644 })
    writeFileSync(join(dir, 'config.json'), JSON.stringify({ resolvers: 'resolvers.json' }), { mode: 0o644 })
    const { code, stdout } = await cliAsNobody('forget', '--config', join(dir, 'config.json'))
    t.equal(code, 3)
    t.match(stdout, /CANNOT TELL: .* may be that of another user/)
    t.notMatch(stdout, /none runs/)
  })
}
