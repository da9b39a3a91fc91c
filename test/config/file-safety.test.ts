import { execFile } from 'node:child_process'
import { chmod, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { readGuarded, writableByOthers } from '../../src/config/file-safety.ts'
import { MAX_OCTETS } from '../../src/config/jsonc.ts'

const room = await mkdtemp(join(tmpdir(), 'enigm-safety-'))
t.teardown(() => rm(room, { recursive: true }))
const posix = process.getuid !== undefined

async function file(name: string, text: string | Buffer, mode = 0o644): Promise<string> {
  const path = join(room, name)
  await writeFile(path, text)
  await chmod(path, mode)
  return path
}

t.test('a file of one’s own is read', async (t) => {
  t.strictSame(await readGuarded(await file('ok', 'text \u20ac')), { text: 'text \u20ac', unsafe: [] })
  t.strictSame(await readGuarded(await file('bom', '\ufeff{}')), { text: '{}', unsafe: [] })
  t.equal((await readGuarded(await file('full', 'x'.repeat(MAX_OCTETS)))).text?.length, MAX_OCTETS)
})

t.test('a file that others can write is named with its mend', { skip: !posix }, async (t) => {
  for (const mode of [0o664, 0o646, 0o666, 0o620]) {
    const path = await file(`mode-${mode.toString(8)}`, '{}', mode)
    t.strictSame((await readGuarded(path)).unsafe, [`is writable by group or others; run: chmod go-w ${path}`], mode.toString(8))
  }
  for (const mode of [0o600, 0o644, 0o755, 0o444])
    t.strictSame((await readGuarded(await file(`mode-${mode.toString(8)}`, '{}', mode))).unsafe, [], mode.toString(8))
})

t.test('a directory that anyone can write is unsafe without the sticky bit', { skip: !posix }, async (t) => {
  const open = join(room, 'open')
  await mkdir(open)
  const path = await file('open/f', '{}')
  await chmod(open, 0o777)
  t.strictSame((await readGuarded(path)).unsafe, [`lies in a directory that anyone can write; run: chmod o-w ${open}`])
  const link = join(room, 'link')
  await symlink(path, link)
  t.equal((await readGuarded(link)).unsafe.length, 1, 'a link leads to the same directory')
  await chmod(open, 0o1777)
  t.strictSame((await readGuarded(path)).unsafe, [])
})

t.test('both faults at once', { skip: !posix }, async (t) => {
  t.equal(writableByOthers({ mode: 0o100666 }, 'f', { mode: 0o40777 }, 'd').length, 2)
})

t.test('what cannot be read says why, and nothing is waited for', async (t) => {
  t.match(await readGuarded(join(room, 'absent')), { absent: true, failed: /ENOENT/, unsafe: [] })
  t.match(await readGuarded(join(room, 'ok', 'below')), { absent: true, failed: /ENOTDIR/ })
  t.match(await readGuarded(room), { failed: /not a regular file/ })
  t.match(await readGuarded(await file('big', Buffer.alloc(MAX_OCTETS + 1))), { failed: /larger than/ })
  t.match(await readGuarded(await file('latin1', Buffer.from([0x22, 0xe9, 0x22]))), { failed: /UTF-8/ })
  if (!posix) return
  const fifo = join(room, 'fifo')
  await promisify(execFile)('mkfifo', [fifo])
  t.match(await readGuarded(fifo), { failed: /not a regular file/ })
})
