import { join } from 'node:path'
import t from 'tap'
import { loadConfig } from '../../src/config/load.ts'
import { inForceAfterReload, restartOnly } from '../../src/config/restart-only.ts'
import type { Config } from '../../src/config/settings.ts'
import { PROJECT_ROOT } from '../support/readme.ts'

async function defaults(dir: string): Promise<Config> {
  const places = { configFile: `${dir}/none`, resolversFile: join(PROJECT_ROOT, 'resolvers.json') }
  return (await loadConfig(undefined, {}, places)).config
}

t.test('settings that a reload does not put in force are named, and keep their values', async (t) => {
  const config = await defaults(t.testdir())
  t.strictSame(restartOnly(config, { ...config, timeoutMs: 1, log: { level: 'debug' }, allowFrom: [] }), [])
  const next = {
    ...config,
    ...{
      timeoutMs: 1,
      workers: 9,
      udp: 'dgram' as const,
      heartbeatS: 99,
      statusFile: '/s',
      stateDir: '/d',
      page: { listen: '127.0.0.1:80' },
    },
    cache: { ...config.cache, maxBytes: 99_999, maxTtlS: 5 },
  }
  t.strictSame(restartOnly(config, next), ['cache.maxBytes', 'workers', 'udp', 'heartbeatS', 'statusFile', 'stateDir', 'page.listen'])
  const inForce = inForceAfterReload(config, next)
  t.strictSame(inForce, { ...config, timeoutMs: 1, cache: { ...config.cache, maxTtlS: 5 } })
  t.strictSame(restartOnly(inForce, config), [], 'what was taken back waits for nothing')
})

t.test('a served page keeps its place', async (t) => {
  const config = { ...(await defaults(t.testdir())), page: { listen: '127.0.0.1:80' } }
  const { page: _page, ...without } = config
  t.strictSame(restartOnly(config, without), ['page.listen'])
  t.strictSame(inForceAfterReload(config, without), config)
})

t.test('an audit log begins at a reload and ends at a start, for any other change of the policy', async (t) => {
  const config = await defaults(t.testdir())
  const [off, on, required] = (['off', 'on', 'required'] as const).map((audit) => ({ ...config, policy: { audit } }))
  if (off === undefined || on === undefined || required === undefined) throw new Error('three')
  t.strictSame(restartOnly(config, on), [], 'switched on: at once')
  t.strictSame(restartOnly(off, required), [])
  t.strictSame(restartOnly(on, required), [])
  t.strictSame(restartOnly(required, on), [])
  t.strictSame(restartOnly(off, config), [], 'no policy has no log either')
  t.strictSame(restartOnly(on, config), ['policy.audit'], 'switched off: at the next start')
  t.strictSame(restartOnly(required, off), ['policy.audit'])
  t.strictSame(inForceAfterReload(required, { ...off, policy: { ...off.policy, vpn: 'preferred' } }).policy, {
    audit: 'on',
    vpn: 'preferred',
  })
  const later = inForceAfterReload(inForceAfterReload(on, config), config)
  t.strictSame(restartOnly(later, config), ['policy.audit'], 'and says so after every reload until then')
})
