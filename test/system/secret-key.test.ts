import { chmodSync, chownSync, existsSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { privateDirectory } from '../../src/files/writing.ts'
import { isCredential, keyFile, secretKey } from '../../src/system/secret-key.ts'

t.test('the key is made once, readable only by us', async (t) => {
  const place = { stateDir: join(t.testdir(), 'a', 'state'), name: 'cache', credentials: undefined }
  const key = secretKey(place)
  t.equal(key.length, 32)
  t.strictSame(secretKey(place), key)
  t.equal(statSync(keyFile(place)).mode & 0o777, 0o600)
  t.equal(statSync(place.stateDir).mode & 0o777, 0o700)
  t.notOk(isCredential(place))
})

t.test('a key that others may read, that is a link, or that is invalid is not used', async (t) => {
  const dir = t.testdir()
  const place = { stateDir: dir, name: 'cache', credentials: undefined }
  secretKey(place)
  chmodSync(keyFile(place), 0o640)
  t.throws(() => secretKey(place), { code: 'state', message: /read by others/ })
  writeFileSync(join(dir, 'short.key'), 'x', { mode: 0o600 })
  t.throws(() => secretKey({ ...place, name: 'short' }), { code: 'state', message: /no key/ })
  symlinkSync(keyFile(place), join(dir, 'link.key'))
  t.throws(() => secretKey({ ...place, name: 'link' }), { code: 'state', message: /ELOOP/ })
})

t.test('a credential of the service manager has precedence, and no key is made then', async (t) => {
  const dir = t.testdir({ credentials: { 'cache.key': 'k'.repeat(48) } })
  const place = { stateDir: join(dir, 'state'), name: 'cache', credentials: join(dir, 'credentials') }
  t.strictSame(secretKey(place), Buffer.from('k'.repeat(48)))
  t.ok(isCredential(place))
  t.notOk(existsSync(place.stateDir))
  chmodSync(join(dir, 'credentials'), 0o777)
  t.throws(() => secretKey(place), { code: 'state', message: /which others can write/ })
  chmodSync(join(dir, 'credentials'), 0o755)
  chmodSync(join(dir, 'credentials', 'cache.key'), 0o666)
  t.throws(() => secretKey(place), { code: 'state', message: /is writable by group or others/ })
})

t.test('the access of others to our directory is removed; a directory of another user is refused', async (t) => {
  const dir = t.testdir({ ours: {}, theirs: {}, file: '' })
  chmodSync(join(dir, 'ours'), 0o755)
  privateDirectory(join(dir, 'ours'))
  t.equal(statSync(join(dir, 'ours')).mode & 0o777, 0o700)
  t.throws(() => privateDirectory(join(dir, 'file')), { code: 'state' })
  if (process.getuid?.() !== 0) return
  chownSync(join(dir, 'theirs'), 12_345, 12_345)
  t.throws(() => privateDirectory(join(dir, 'theirs')), { code: 'state', message: /belongs to user 12345/ })
})
