// What systemd's sandbox hides (DynamicUser=, ProcSubset=pid, RestrictAddressFamilies=) is not said
// to be absent.
import t from 'tap'
import { defaultStateDir, defaultStatusFile } from '../../src/config/paths.ts'
import { readNetwork } from '../../src/system/network-view.ts'
import { isSame, startTimeOf } from '../../src/system/process-identity.ts'

t.test('an account in no table has the directories of its unit', (t) => {
  const env = { RUNTIME_DIRECTORY: '/run/enigm-dns:/run/other', STATE_DIRECTORY: '/var/lib/private/enigm-dns' }
  const account = { uid: 61_184, env, home: '/', tmp: '/tmp' }
  t.equal(defaultStatusFile(account), '/run/enigm-dns/status.json')
  t.equal(defaultStateDir(account), '/var/lib/private/enigm-dns')
  t.equal(defaultStatusFile({ ...account, env: { RUNTIME_DIRECTORY: 'relative' } }), '/tmp/enigm-dns-61184/status.json')
  t.equal(defaultStatusFile({ ...account, uid: 0, env: { RUNTIME_DIRECTORY: '/run/of-another-unit' } }), '/run/enigm-dns/status.json')
  t.end()
})

t.test('a network that cannot be read is tried', (t) => {
  const nothing = t.testdir()
  t.equal(readNetwork(nothing, () => undefined).online, true, 'neither routes nor addresses can be read')
  t.equal(readNetwork(nothing, () => ({})).online, false, 'there are no addresses')
  const head = 'Iface\tDestination\tGateway\n'
  const routes = t.testdir({ proc: { self: { net: { route: head } } } })
  t.equal(readNetwork(routes, () => undefined).online, false, 'there are no routes')
  const way = `${head}eth0\t00000000\t0100000A\t0003\t0\t0\t100\t00000000\t0\t0\t0\n`
  const out = t.testdir({ proc: { self: { net: { route: way } } } })
  t.equal(readNetwork(out, () => undefined).online, true)
  t.end()
})

t.test('a process that could not read the boot id is identified by its start', { skip: process.platform !== 'linux' }, (t) => {
  const own = startTimeOf(process.pid) ?? ''
  const ticks = own.slice(own.indexOf(':'))
  t.equal(isSame(process.pid, own), true)
  t.equal(isSame(process.pid, ticks), true, 'written without a boot id')
  t.equal(isSame(process.pid, `${ticks}1`), false)
  t.equal(isSame(process.pid, `another-boot${ticks}`), false)
  t.end()
})
