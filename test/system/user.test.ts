import { execFileSync } from 'node:child_process'
import t from 'tap'
import { MAX_TEXT_OCTETS } from '../../src/files/reading.ts'
import { accountOf, type ServiceAccount } from '../../src/system/user.ts'

t.test('a cut last line of a table that is too long is not used', async (t) => {
  /** A table of as many octets as are read, which ends with `cut`. */
  const long = (cut: string) => `${'#'.repeat(MAX_TEXT_OCTETS - cut.length - 1)}\n${cut}`
  t.throws(() => accountOf('enigm', { passwd: long('enigm:x:997:99'), group: '' }), { code: 'config', message: /there is no user/ })
  const passwd = 'enigm:x:997:996::/:/usr/sbin/nologin'
  t.strictSame(accountOf('enigm', { passwd, group: long('docker:x:998:enigm') }), { name: 'enigm', uid: 997, gid: 996, groups: [] })
})

if (process.getuid?.() === 0)
  t.test('the reason why the capability is lost: not koffi, if the service manager took it away', async (t) => {
    const account: ServiceAccount = { name: undefined, uid: 61_234, gid: 61_235, groups: [] }
    const module = new URL('../../src/system/user.js', import.meta.url).href
    const code = `import { become } from ${JSON.stringify(module)}; console.log(become(${JSON.stringify(account)}).lost)`
    const lost = (...under: readonly string[]) => {
      const [command = '', ...args] = [...under, process.execPath, '--input-type=module', '-e', code]
      return execFileSync(command, args, { encoding: 'utf8' }).trim()
    }
    t.equal(lost(), 'undefined')
    const taken = lost('setpriv', '--bounding-set=-net_bind_service')
    t.match(taken, /^CAP_NET_BIND_SERVICE .*a reload cannot open a port below 1024/)
    t.match(taken, /CapabilityBoundingSet/)
    t.notMatch(taken, /koffi|a restart can/)
  })
