// Names that are answered here, as clients of the built program see them, and what becomes of them
// when a hosts file changes.
import { execFile } from 'node:child_process'
import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { createAuthority } from '../../src/demo/authority.ts'
import { presentMessage } from '../../src/dns/presentation.ts'
import { startDot } from '../support/dot-server.ts'
import { query, rr } from '../support/messages.ts'
import { CLI, identityOf, RESOLVER_NAME, startDaemon } from '../support/real/daemon.ts'
import { udpClient } from '../support/real/dns-client.ts'
import { replyTo } from '../support/replies.ts'

const run = promisify(execFile)
const TYPES = { A: 1, PTR: 12, AAAA: 28, HTTPS: 65 } as const

async function scene(t: Test, config: Readonly<Record<string, unknown>>) {
  const authority = await createAuthority()
  const sent: string[] = []
  const server = await startDot({
    identity: await identityOf(authority),
    answer(message) {
      const shown = presentMessage(message)?.question
      sent.push(`${shown?.name} ${shown?.type}`)
      if (shown?.name === 'failing.example.') return replyTo(message, [], 0x8182)
      return shown?.type === 'A' ? replyTo(message, [rr({ ttlS: 300 })]) : replyTo(message)
    },
  })
  const resolvers = [
    {
      id: 'r',
      authenticationDomainName: RESOLVER_NAME,
      addresses: ['127.0.0.1'],
      caFile: 'ca.pem',
      transports: { dot: { port: server.port } },
    },
  ]
  const daemon = await startDaemon({ resolvers, ca: authority.certificate, config: { ...config, hosts: undefined } })
  const client = await udpClient(daemon.port)
  t.teardown(async () => {
    client.close()
    await daemon.stop()
    await server.close()
  })
  const ask = async (name: string, type: keyof typeof TYPES = 'A') => {
    const shown = presentMessage(await client.ask(query({ name, type: TYPES[type], opt: {} })))
    const data = [...(shown?.answers ?? []), ...(shown?.authority ?? [])].map((one) => `${one.type} ${one.data}`)
    return [shown?.question?.name, shown?.status, ...data.map((one) => (one.startsWith('SOA') ? 'SOA' : one))].join(' ')
  }
  const write = (name: string, text: string | Buffer) => {
    writeFileSync(join(daemon.dir, `${name}.new`), text, { mode: 0o600 })
    renameSync(join(daemon.dir, `${name}.new`), join(daemon.dir, name))
  }
  const logged = async (text: string) => {
    for (const endMs = performance.now() + 8000; !daemon.log().includes(text) && performance.now() < endMs; ) await sleep(20)
    t.match(daemon.log(), text)
  }
  return { daemon, server, sent, ask, write, logged }
}

t.test('own answers on the wire, and hosts files that change while it runs', { timeout: 60_000 }, async (t) => {
  const { daemon, sent, ask, write, logged } = await scene(t, {
    answers: [{ name: '*.Dev.example', type: 'CNAME', data: 'target.example' }],
  })
  write('hosts', '192.168.1.5 nas.lan\n192.168.1.9 gone.lan\n')
  const config = JSON.parse(readFileSync(join(daemon.dir, 'config.json'), 'utf8')) as object
  write('config.json', JSON.stringify({ ...config, hosts: ['hosts'] }))
  await logged('the new configuration is in force')

  t.equal(await ask('NAS.lan'), 'NAS.lan. NOERROR A 192.168.1.5', 'the case of the question is kept')
  t.equal(await ask('nas.lan', 'AAAA'), 'nas.lan. NOERROR SOA')
  t.equal(await ask('nas.lan', 'HTTPS'), 'nas.lan. NOERROR SOA')
  t.equal(await ask('5.1.168.192.in-addr.arpa', 'PTR'), '5.1.168.192.in-addr.arpa. NOERROR PTR nas.lan.')
  t.equal(await ask('gone.lan'), 'gone.lan. NOERROR A 192.168.1.9')
  t.strictSame(sent.splice(0), [], 'nothing was sent')
  t.equal(await ask('x.dev.example'), 'x.dev.example. NOERROR CNAME target.example. A 192.0.2.1')
  t.equal(await ask('other.example'), 'other.example. NOERROR A 192.0.2.1')
  t.equal(await ask('later.example'), 'later.example. NOERROR A 192.0.2.1')
  t.strictSame(sent.splice(0), ['target.example. A', 'other.example. A', 'later.example. A'])

  const connections = daemon.log().split('"link up"').length
  write('hosts', '192.168.1.6 nas.lan\n10.0.0.1 later.example\n')
  await logged('the hosts files were read again')
  t.equal(await ask('nas.lan'), 'nas.lan. NOERROR A 192.168.1.6', 'an answer in memory is judged again')
  t.equal(await ask('later.example'), 'later.example. NOERROR A 10.0.0.1', 'and so is one of a resolver')
  t.equal(await ask('gone.lan'), 'gone.lan. NOERROR A 192.0.2.1')
  t.equal(await ask('other.example'), 'other.example. NOERROR A 192.0.2.1')
  t.strictSame(sent.splice(0), ['gone.lan. A'], 'all other answers stay')
  t.equal(daemon.log().split('"link up"').length, connections, 'and so do the connections')

  write('hosts', Buffer.from([0xff, 0xfe, 0x00, 0x0a]))
  await logged('it is not UTF-8 text')
  t.equal(await ask('nas.lan'), 'nas.lan. NOERROR A 192.168.1.6', 'the old state stays')
  write('config.json', JSON.stringify({ ...config, hosts: ['absent'] }))
  await logged('there is no such file')
  t.match(daemon.log(), /absent: cannot be read: there is no such file \(ENOENT\) \(named in .*hosts/)
  t.equal(await ask('nas.lan'), 'nas.lan. NOERROR A 192.168.1.6', 'the old state stays')
})

t.test('a name that is written into a hosts file is not hidden by a failure that is kept', { timeout: 60_000 }, async (t) => {
  const { daemon, ask, write, logged, sent } = await scene(t, {})
  write('hosts', '192.168.1.5 nas.lan\n')
  const config = JSON.parse(readFileSync(join(daemon.dir, 'config.json'), 'utf8')) as object
  write('config.json', JSON.stringify({ ...config, hosts: ['hosts'] }))
  await logged('the new configuration is in force')
  // Kept for one second, then for two, then for four.
  for (const pauseMs of [1100, 2100, 0]) {
    t.match(await ask('failing.example'), /SERVFAIL/)
    await sleep(pauseMs)
  }
  const before = sent.length
  t.match(await ask('failing.example'), /SERVFAIL/)
  t.equal(sent.length, before, 'it is kept')
  write('hosts', '192.168.1.5 nas.lan\n192.168.1.9 failing.example\n')
  await logged('the hosts files were read again')
  t.equal(await ask('failing.example'), 'failing.example. NOERROR A 192.168.1.9')
})

t.test('explain reads what is in force, and what is in memory', { timeout: 60_000 }, async (t) => {
  const { daemon, ask, sent } = await scene(t, { answers: [{ name: 'nas.example', type: 'A', data: '192.0.2.7' }] })
  const file = join(daemon.dir, 'config.json')
  const explain = async (...args: readonly string[]) => {
    try {
      const { stdout } = await run(process.execPath, [CLI, 'explain', ...args, '--config', file])
      return { code: 0, stdout }
    } catch (error) {
      const { code, stdout } = error as { code: number; stdout: string }
      return { code, stdout }
    }
  }
  await ask('kept.example')
  const before = sent.length
  t.match(await explain('nas.example'), {
    code: 0,
    stdout: /nas\.example\. A: would be answered\n.*cache +absent\n.*answers +answers .*answers\[0\]/s,
  })
  t.match(await explain('kept.example'), { code: 0, stdout: /cache +fresh +NOERROR, \d+ s left/ })
  const json = JSON.parse((await explain('new.example', 'AAAA', '--json')).stdout)
  t.match(json, { name: 'new.example.', type: 'AAAA', verdict: 'answered', route: { to: ['r'] } })
  t.match(await explain('a.example', '--as', '192.168.1.1'), { code: 1, stdout: /would be blocked/ })
  t.equal((await explain('a..example')).code, 2)
  t.equal(sent.length, before, 'nothing was sent')
})
