import { join } from 'node:path'
import t from 'tap'
import { systemClock } from '../../src/clock.ts'
import type { Host } from '../../src/commands/running-service.ts'
import { warnOfSettings } from '../../src/commands/service.ts'
import { startFaults } from '../../src/commands/start-faults.ts'
import { loadConfig } from '../../src/config/load.ts'
import { openToAll } from '../../src/config/open-to-all.ts'
import { createLog } from '../../src/log.ts'

t.test('a service that the whole internet can use gets one warning', async (t) => {
  const load = async (listen: readonly string[], allowFrom: readonly string[]) => {
    const file = join(t.testdir({ 'config.json': JSON.stringify({ listen, allowFrom }) }), 'config.json')
    return loadConfig(file)
  }
  const says =
    /^allowFrom: with "0\.0\.0\.0\/0", "::\/0" anyone on the internet who reaches 0\.0\.0\.0:5300 can use this service, .* restrict "allowFrom" .*\.$/
  const open = await load(['0.0.0.0:5300'], ['127.0.0.0/8', '0.0.0.0/0', '::/0'])
  t.match(openToAll(open), [says])
  const lines: string[] = []
  t.match(
    warnOfSettings(
      open,
      createLog('info', (line) => void lines.push(line)),
    ),
    [says],
    'a start and a reload say it',
  )
  t.match(
    lines.map((line) => (JSON.parse(line) as { readonly msg: string }).msg),
    [says],
    'and so does the log',
  )
  const host: Host = { services: () => [], likely: () => [], namespace: () => undefined, uid: process.geteuid?.(), statusFiles: [] }
  const anyPort = await load(['0.0.0.0:0'], ['::/0'])
  const { warned } = await startFaults(anyPort, { host, service: undefined, clock: systemClock(), credentials: undefined })
  t.match(
    warned.filter((one) => one.startsWith('allowFrom')),
    [/^allowFrom: with "::\/0" anyone on the internet/],
    'and check',
  )
  for (const wide of ['0.0.0.0/1', '128.0.0.0/1', '10.0.0.0/7', '::/0', '2000::/3', '2a00::/8', '::ffff:0:0/96', '::/8'])
    t.equal(openToAll(await load(['[fd00::1]:53'], [wide])).length, 1, wide)
  for (const known of ['10.0.0.0/8', '192.168.0.0/16', 'fc00::/7', 'fe80::/8', '240.0.0.0/4', '224.0.0.0/3', '2a00::/12', '8.0.0.0/8'])
    t.strictSame(openToAll(await load(['0.0.0.0:53'], [known])), [], known)
  const closed = await load(['127.0.0.1:5300', '[::1]:5300'], ['0.0.0.0/0'])
  t.strictSame(openToAll(closed), [], 'nobody else can reach loopback')
  t.equal(openToAll(closed, [{ address: '192.0.2.1', port: 53 }]).length, 1, 'but they can reach a socket of systemd')
})
