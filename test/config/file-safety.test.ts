import { execFile } from 'node:child_process'
import { chmod, chown, lchown, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { readGuarded } from '../../src/config/file-safety.ts'
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

t.test('a file of this user is read', async (t) => {
  t.strictSame(await readGuarded(await file('ok', 'text \u20ac')), { text: 'text \u20ac', octets: Buffer.from('text \u20ac'), unsafe: [] })
  t.strictSame(await readGuarded(await file('bom', '\ufeff{}')), { text: '{}', octets: Buffer.from('\ufeff{}'), unsafe: [] })
  t.equal((await readGuarded(await file('full', 'x'.repeat(MAX_OCTETS)))).text?.length, MAX_OCTETS)
})

t.test('a file that others can write is named with its fix', { skip: !posix }, async (t) => {
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
  t.strictSame((await readGuarded(path)).unsafe, [`lies below ${open}, which others can write; run: chmod go-w ${open}`])
  const link = join(room, 'link')
  await symlink(path, link)
  t.equal((await readGuarded(link)).unsafe.length, 1, 'a link leads to the same directory')
  await chmod(open, 0o1777)
  t.strictSame((await readGuarded(path)).unsafe, [])
})

t.test('both faults at once', { skip: !posix }, async (t) => {
  const open = join(room, 'both')
  await mkdir(open)
  const path = await file('both/f', '{}', 0o666)
  await chmod(open, 0o777)
  t.equal((await readGuarded(path)).unsafe.length, 2)
})

const isRoot = process.getuid?.() === 0
t.test('every owner on the path counts, links included', { skip: !isRoot && 'needs root' }, async (t) => {
  for (const name of ['theirs', 'theirs/below', 'mine']) await mkdir(join(room, name))
  const path = await file('theirs/below/f', '{}')
  await chown(path, 12_345, 12_345)
  t.strictSame((await readGuarded(path)).unsafe, [`belongs to user 12345, who can change it; run: chown root ${path}`])
  await chown(path, 0, 0)
  await chown(join(room, 'theirs'), 12_345, 12_345)
  const above = `lies below ${room}/theirs, which belongs to user 12345; run: chown root ${room}/theirs`
  t.strictSame((await readGuarded(path)).unsafe, [above], 'a directory above the next one')
  await symlink(join(room, 'theirs'), join(room, 'mine', 'way'))
  t.strictSame((await readGuarded(join(room, 'mine', 'way', 'below', 'f'))).unsafe, [above], 'where a link of ours leads')
  await symlink('../mine', join(room, 'theirs', 'back'))
  await file('mine/g', '{}')
  t.strictSame((await readGuarded(join(room, 'theirs', 'back', 'g'))).unsafe, [above], 'as named, though it leads out again')
  await symlink('g', join(room, 'mine', 'link'))
  await lchown(join(room, 'mine', 'link'), 12_345, 12_345)
  t.match((await readGuarded(join(room, 'mine', 'link'))).unsafe, [/link .*mine\/link, which belongs to user 12345; run: chown -h root/])
})

t.test('users and groups that may write a directory further up', { skip: !posix }, async (t) => {
  await mkdir(join(room, 'up'))
  await mkdir(join(room, 'up', 'down'))
  const path = await file('up/down/f', '{}')
  for (const [mode, faults] of [
    [0o775, 1],
    [0o757, 1],
    [0o1777, 0],
    [0o755, 0],
  ] as const) {
    await chmod(join(room, 'up'), mode)
    t.equal((await readGuarded(path)).unsafe.length, faults, mode.toString(8))
  }
})

t.test('a cycle of links ends', { skip: !posix }, async (t) => {
  await symlink('b', join(room, 'a'))
  await symlink('a', join(room, 'b'))
  t.match(await readGuarded(join(room, 'a')), { failed: /ELOOP/ })
})

t.test('an unreadable file reports the reason, and nothing blocks', async (t) => {
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
