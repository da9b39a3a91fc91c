import t from 'tap'
import { loadConfig } from '../../src/config/load.ts'
import { inForceAfterReload, restartOnly } from '../../src/config/restart-only.ts'

t.test('what a reload does not put in force is named, and stays as it was', async (t) => {
  const places = { configFile: `${t.testdir()}/none`, resolversFile: new URL('../../../resolvers.json', import.meta.url).pathname }
  const { config } = await loadConfig(undefined, {}, places)
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
  const { cache, timeoutMs, ...rest } = inForceAfterReload(config, next)
  t.strictSame([timeoutMs, cache.maxTtlS, cache.maxBytes], [1, 5, config.cache.maxBytes])
  t.match(rest, { workers: 1, udp: config.udp, heartbeatS: config.heartbeatS, statusFile: config.statusFile, stateDir: config.stateDir })
})
