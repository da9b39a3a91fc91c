// After a command, the status file shows its effect at once, and not at the next heartbeat.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { systemClock, systemRandom } from '../src/clock.ts'
import { loadConfig } from '../src/config/load.ts'
import { startDaemon } from '../src/daemon.ts'
import { createAuthority } from '../src/demo/authority.ts'
import type { StatusDocument } from '../src/posture/document.ts'
import { directoryOf } from './support/directory.ts'
import { startDot } from './support/dot-server.ts'
import { query } from './support/messages.ts'
import { udpClient } from './support/real/dns-client.ts'
import { addressRecord, replyTo } from './support/replies.ts'

t.test('forget, pause and reload are in the status when they end', async (t) => {
  const authority = await createAuthority()
  const server = await startDot({
    identity: await authority.issue({ name: 'resolver.test' }),
    answer: (q) => replyTo(q, [addressRecord()]),
  })
  t.teardown(() => server.close())
  const dir = directoryOf(t, { run: {}, state: {}, 'ads.txt': '||ads.example^\n', 'ca.pem': authority.certificate })
  const write = (name: string, value: object) => writeFileSync(join(dir, name), JSON.stringify(value), { mode: 0o600 })
  const load = (id: string, file = 'ads.txt') => {
    const one = { id, authenticationDomainName: 'resolver.test', addresses: [server.host], transports: { dot: { port: server.port } } }
    write('set.json', { version: 1, resolvers: [{ ...one, caFile: 'ca.pem' }] })
    write('config.json', {
      ...{ listen: ['127.0.0.1:0'], resolvers: 'set.json', statusFile: 'run/status.json', stateDir: 'state', heartbeatS: 600 },
      ...{ shaping: { profile: 'off' }, lists: [{ id: 'ads', file }] },
    })
    return loadConfig(join(dir, 'config.json'))
  }
  const daemon = await startDaemon(await load('one'), { clock: systemClock(), random: systemRandom, version: '0', log() {}, warn() {} })
  t.teardown(() => daemon.stop())
  const status = () => JSON.parse(readFileSync(join(dir, 'run', 'status.json'), 'utf8')) as StatusDocument
  const client = await udpClient(daemon.listeners[0]?.port ?? 0)
  t.teardown(() => client.close())
  await client.ask(query({ name: 'a.example.com' }))

  t.strictSame(daemon.pause(60_000, undefined), ['ads'])
  t.match(status(), { cache: { entries: 1 }, lists: [{ id: 'ads', state: 'paused' }] })
  daemon.pause(0, undefined)
  t.match(status().lists, [{ id: 'ads', state: 'in-force' }])
  t.equal((await daemon.forget()).entries, 1)
  t.equal(status().cache.entries, 0)
  t.strictSame(await daemon.reload(await load('two')), [], 'every list is in force')
  t.match(status().resolvers, [{ id: 'two' }])

  for (const why of ['the first reason', 'another reason']) {
    daemon.refuseReload(why)
    const { reasons = [] } = status().signals.service
    t.match(
      reasons.filter(({ code }) => code === 'reload-refused').map((one) => JSON.stringify(one)),
      [new RegExp(why)],
      `${why}, although the verdict is the same`,
    )
  }
  for (const [file, text] of [
    ['empty.txt', ''],
    ['comments.txt', '# nothing\n! at all\n'],
  ] as const) {
    writeFileSync(join(dir, file), text, { mode: 0o600 })
    t.strictSame(await daemon.reload(await load('two', file)), ['lists: the list "ads" is not in force: it is empty or has only comments.'])
    t.match(status().lists, [{ id: 'ads', state: 'missing' }])
  }
})
