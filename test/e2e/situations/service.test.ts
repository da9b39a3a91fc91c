import { copyFileSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { cli, cliAsNobody } from '../../support/real/daemon.ts'
import { addRow, ask, daemon, entry, file, heartbeat, note, server, situations } from '../../support/situations.ts'

async function signatures() {
  const good = await server()
  const d = await daemon([entry(good)])
  await ask(d)
  const key = join(d.dir, 'state', 'status.pub')
  const verify = [...file(d), '--verify', '--key', key, '--seen', join(d.dir, 'seen.json')]
  await note('signed', 'status --verify --key status.pub', verify, { state: 'protected', exit: 0 })
  const all = ['', '.sig', '.pub']
  for (const end of all) copyFileSync(d.statusFile + end, join(d.dir, `old.json${end}`))
  await heartbeat()
  await cli('status', ...verify)
  // From here on nobody writes: the copies stand in its place.
  d.kill('SIGSTOP')
  for (const end of all) copyFileSync(join(d.dir, `old.json${end}`), d.statusFile + end)
  await note('replayed status', 'an older copy was put back, with its signature', verify, {
    state: 'offline',
    exit: 4,
    codes: ['replayed'],
  })
  writeFileSync(d.statusFile, readFileSync(d.statusFile, 'utf8').replace('"heartbeatS": 1', '"heartbeatS": 3000'))
  await note('forged status', 'one figure of the document was changed', verify, { state: 'offline', exit: 4, codes: ['forged'] })
  rmSync(`${d.statusFile}.sig`)
  await note('unsigned status', 'the signature was removed', verify, { state: 'offline', exit: 4, codes: ['unsigned'] })
  const other = await daemon([entry(good)])
  await ask(other)
  for (const end of all) copyFileSync(other.statusFile + end, d.statusFile + end)
  await note('status of another key', 'all three files were replaced, signed with another key', verify, {
    state: 'offline',
    exit: 4,
    codes: ['wrong-key'],
  })
  d.kill('SIGCONT')
}

async function files() {
  const good = await server()
  const d = await daemon([entry(good)])
  await ask(d)
  const copy = join(d.dir, 'copy.json')
  const changed = (change: (text: string) => string) => writeFileSync(copy, change(readFileSync(d.statusFile, 'utf8')))
  const at = ['--file', copy]
  changed((text) => text.replace(/"updatedAt": "[^"]*"/, '"updatedAt": "2099-01-01T00:00:00.000Z"'))
  await note('status of the future', 'dated 2099', at, { state: 'offline', exit: 3, codes: ['future'] })
  changed(() => '{"schema":"something/1"}')
  await note('foreign file', 'JSON of another schema', at, { state: 'offline', exit: 3, codes: ['foreign-schema'] })
  changed(() => 'protected')
  await note('no JSON', 'a text', at, { state: 'offline', exit: 3, codes: ['not-json'] })
  rmSync(copy)
  await note('no file', 'no service ran here', at, { state: 'offline', exit: 3, codes: ['not-found'] })
  symlinkSync(join(d.dir, 'state'), copy)
  await note('not a regular file', 'a directory', at, { state: 'offline', exit: 3, codes: ['unreadable'] })
  d.kill('SIGSTOP')
  await sleep(3500)
  await note('daemon hung', 'SIGSTOP, for three heartbeats', file(d), { state: 'offline', exit: 3, codes: ['stale'] })
  d.kill('SIGCONT')
  d.kill('SIGKILL')
  await sleep(200)
  await note('daemon killed', 'SIGKILL', file(d), { state: 'offline', exit: 3, codes: ['not-running'] })
  await d.revive()
  await ask(d)
  await note('restarted after that', 'the same daemon was started again', file(d), { state: 'protected', exit: 0, codes: ['restarted'] })
}

async function stranger() {
  const good = await server()
  const d = await daemon([entry(good)])
  await ask(d)
  const { code, stdout } = await cliAsNobody('status', '--json', '--file', d.statusFile)
  const said = stdout === '' ? undefined : JSON.parse(stdout)
  t.match(said, { state: 'offline', judgement: { verdict: 'permission-denied' } })
  addRow({
    what: 'not for this user',
    made: 'another user, not in the group',
    state: String(said?.state),
    signals: 'reader: permission-denied',
    exit: code ?? -1,
  })
}

situations(import.meta.url, 'service', { signatures, files, stranger })
