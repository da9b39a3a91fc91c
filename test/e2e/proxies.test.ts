import t from 'tap'
import { startProxy } from '../support/proxies.ts'
import { at, daemonWith, farResolver, identity, until } from '../support/proxy-scene.ts'
import { cli, type RunningDaemon } from '../support/real/daemon.ts'
import { PROXY_PROGRAMS, startRealProxy } from '../support/real/real-proxies.ts'
import { requireTool } from '../support/real/tools.ts'

t.setTimeout(150_000)
const reasonsOf = (daemon: RunningDaemon) => daemon.status()?.signals.secureNameResolution?.reasons.map(({ code }) => code) ?? []

for (const program of PROXY_PROGRAMS) {
  t.test(`over ${program} from Debian: DoT and DoH; it dies and comes back, and nothing goes around it`, async (t) => {
    if (!requireTool(t, program)) return
    const { dot, doh, entry } = await farResolver(t)
    const proxy = await startRealProxy(program, identity)
    t.teardown(() => proxy.stop())
    for (const over of program === 'microsocks' || program === 'squid' ? (['dot', 'doh'] as const) : (['dot'] as const)) {
      const { daemon, ask } = await daemonWith(t, {
        resolvers: [entry(over)],
        config: { proxies: { mine: { type: proxy.type, address: at(proxy) } }, via: ['mine'] },
      })
      t.match(await ask(), { rcode: 0 }, over)
      t.match(await ask(), { rcode: 0 })
      t.equal(daemon.status()?.resolvers[0]?.transport ?? over, over)
      const before = [dot.counts.tcp, doh.counts.connections]
      await proxy.kill()
      let failed = await ask()
      for (let i = 0; i < 5 && failed.rcode === 0; i++) failed = await ask()
      t.match(failed, { rcode: 2, ede: { code: 23, text: 'hop-unreachable: mine' } }, `${over}: the client learns which hop failed`)
      const told = async () => {
        await ask()
        return reasonsOf(daemon).includes('hop-down')
      }
      t.ok(await until(told), 'and so does the status')
      t.match(daemon.log(), /"code":"hop-unreachable".*"hop":"mine"/)
      t.strictSame([dot.counts.tcp, doh.counts.connections], before, 'never direct')
      await proxy.restart()
      t.ok(await until(async () => (await ask()).rcode === 0, 3000), 'found again')
      t.equal(await daemon.stop(), 0)
    }
  })
}

t.test('users and passwords of real servers; a chain of three of them; a resolver with its own via', async (t) => {
  if (!requireTool(t, 'microsocks', 'tinyproxy', 'danted')) return
  const { dot, entry } = await farResolver(t)
  const login = { username: 'anna', password: 'secret' }
  const [micro, tiny, dante] = await Promise.all([
    startRealProxy('microsocks', identity, login),
    startRealProxy('tinyproxy', identity, login),
    startRealProxy('danted', identity),
  ])
  t.teardown(() => Promise.all([micro, tiny, dante].map((proxy) => proxy.stop())))
  const known = { username: 'anna', passwordFile: 'password' }
  const proxies = {
    micro: { type: micro.type, address: at(micro), ...known },
    tiny: { type: tiny.type, address: at(tiny), ...known },
    dante: { type: dante.type, address: at(dante) },
    wrong: { type: micro.type, address: at(micro), username: 'otto', passwordFile: 'password' },
  }
  for (const via of [['micro'], ['tiny'], ['micro', 'tiny', 'dante'], ['dante', 'micro', 'tiny']]) {
    const { ask, daemon } = await daemonWith(t, { resolvers: [entry('dot')], config: { proxies, via }, files: { password: 'secret\n' } })
    t.match(await ask(), { rcode: 0 }, via.join(', '))
    t.notMatch(daemon.log(), /secret/)
    await daemon.stop()
  }
  const resolvers = [entry('dot', { via: ['wrong'] }), entry('doh', { via: ['dante'] })]
  const { ask } = await daemonWith(t, { resolvers, config: { proxies, via: ['tiny'] }, files: { password: 'secret\n' } })
  const before = dot.counts.tcp
  t.match(await ask(), { rcode: 0 }, 'the other resolver answers')
  t.equal(dot.counts.tcp, before)
  const alone = await daemonWith(t, { resolvers: resolvers.slice(0, 1), config: { proxies }, files: { password: 'secret\n' } })
  t.match(await alone.ask(), { rcode: 2, ede: { text: 'hop-credentials: wrong' } })
})

t.test('check and doctor name the hop that fails, and the hops before and behind it', async (t) => {
  const { entry } = await farResolver(t)
  const first = await startProxy({ kind: 'socks5' })
  const last = await startProxy({ kind: 'socks5' })
  t.teardown(() => Promise.all([first.close(), last.close()]))
  const proxies = { first: { type: 'socks5', address: at(first) }, last: { type: 'socks5', address: at(last) } }
  const { daemon } = await daemonWith(t, { resolvers: [entry('dot')], config: { proxies, via: ['first', 'last'] } })
  const file = `${daemon.dir}/config.json`
  const works = await cli('check', '--config', file, '--json')
  t.equal(works.code, 0)
  t.match(JSON.parse(works.stdout).resolvers, [
    {
      ok: true,
      hops: [
        { name: 'first', kind: 'socks5', is: 'ok' },
        { name: 'last', is: 'ok' },
      ],
    },
  ])
  await last.die()
  const fails = await cli('check', '--config', file, '--json')
  t.equal(fails.code, 1)
  t.match(JSON.parse(fails.stdout).resolvers, [
    {
      ok: false,
      fault: 'hop-unreachable',
      hops: [
        { name: 'first', is: 'ok' },
        { name: 'last', address: at(last), is: 'failed' },
      ],
    },
  ])
  t.match(
    (await cli('check', '--config', file)).stdout,
    /FAILS: hop-unreachable at last[\s\S]*through first \(ok\), last \(failed\): the proxy "last" cannot be reached/,
  )
  await first.die()
  const neither = await cli('check', '--config', file, '--json')
  t.match(JSON.parse(neither.stdout).resolvers, [
    {
      hops: [
        { name: 'first', is: 'failed' },
        { name: 'last', is: 'not-tried' },
      ],
    },
  ])
  const doctor = await cli('doctor', '--config', file)
  t.equal(doctor.code, 2)
  t.match(
    doctor.stdout,
    /links +dot over dot, through first \(failed\), last \(not tried\): the proxy "first" cannot be reached[\s\S]*fix: Start that proxy/,
  )
})
