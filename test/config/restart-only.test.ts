import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t from 'tap'
import { loadConfig } from '../../src/config/load.ts'
import { EFFECTS, type Effect, inForceAfterReload, restartOnly } from '../../src/config/restart-only.ts'
import type { Config } from '../../src/config/schema.ts'

let root: string = import.meta.dirname
while (!existsSync(join(root, 'package.json'))) root = dirname(root)

async function defaults(dir: string): Promise<Config> {
  const places = { configFile: `${dir}/none`, resolversFile: join(root, 'resolvers.json') }
  return (await loadConfig(undefined, {}, places)).config
}

t.test('what a reload does not put in force is named, and stays as it was', async (t) => {
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

t.test('a page that is served stays where it is', async (t) => {
  const config = { ...(await defaults(t.testdir())), page: { listen: '127.0.0.1:80' } }
  const { page: _page, ...without } = config
  t.strictSame(restartOnly(config, without), ['page.listen'])
  t.strictSame(inForceAfterReload(config, without), config)
})

t.test('an audit log begins at a reload and ends at a start, whatever else of the policy changes', async (t) => {
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

/** `text` with what stands between the marks replaced. */
function spliced(text: string, body: string): string {
  const [begin, end] = ['<!-- settings: written by test/config/restart-only.test.ts -->', '<!-- /settings -->']
  const [from, to] = [text.indexOf(begin), text.indexOf(end)]
  if (from < 0 || to < 0) throw new Error('no place for the settings')
  return `${text.slice(0, from)}${begin}\n${body}\n${text.slice(to)}`
}

function listed(effect: Effect): string {
  const paths = Object.entries(EFFECTS).filter(([, one]) => one === effect)
  return paths.map(([path]) => `\`${path}\``).join(', ')
}

t.test('README.md and docs/reload.md say what the table says (UPDATE_DOCS=1 rewrites them)', (t) => {
  const table = [
    '| a change of | takes effect |',
    '| --- | --- |',
    `| ${listed('reload')} | half a second after the file is saved, or at SIGHUP |`,
    `| ${listed('start')} | at the next start; until then the old value stays, and the log names the setting |`,
    `| ${listed('stop-at-start')} | switched on: as above, at once; switched off: the log goes on until the next start |`,
  ]
  const sentence = `${listed('start')} take effect at the next start; an audit log that is switched off (${listed('stop-at-start')}) ends there too. Everything else is in force at once.`
  for (const [name, body] of [
    ['docs/reload.md', table.join('\n')],
    ['README.md', sentence],
  ] as const) {
    const file = join(root, name)
    const wanted = spliced(readFileSync(file, 'utf8'), body)
    if (process.env.UPDATE_DOCS === '1') writeFileSync(file, wanted)
    t.equal(readFileSync(file, 'utf8'), wanted, name)
  }
  t.end()
})
