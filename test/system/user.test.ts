import t from 'tap'
import { MAX_TEXT_OCTETS } from '../../src/files/reading.ts'
import { accountOf } from '../../src/system/user.ts'

t.test('a cut last line of a table that is too long is not used', async (t) => {
  /** A table of as many octets as are read, which ends with `cut`. */
  const long = (cut: string) => `${'#'.repeat(MAX_TEXT_OCTETS - cut.length - 1)}\n${cut}`
  t.throws(() => accountOf('enigm', { passwd: long('enigm:x:997:99'), group: '' }), { code: 'config', message: /there is no user/ })
  const passwd = 'enigm:x:997:996::/:/usr/sbin/nologin'
  t.strictSame(accountOf('enigm', { passwd, group: long('docker:x:998:enigm') }), { name: 'enigm', uid: 997, gid: 996, groups: [] })
})
