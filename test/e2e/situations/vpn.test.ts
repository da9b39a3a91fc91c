import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { ask, daemon, entry, file, ip, note, server, situations, statusText, until } from '../../support/situations.ts'

async function vpn() {
  const good = await server()
  const before = good.counts.tcp
  let d = await daemon([entry(good)], { policy: { vpn: 'required' } })
  t.same(await ask(d), { rcode: 2, ede: 15 }, 'fails closed, and says that it is a policy')
  t.equal(good.counts.tcp, before, 'nothing was dialled')
  await note('VPN required and absent', 'the resolver is reached without a VPN; every query gets SERVFAIL with EDE 15', file(d), {
    state: 'offline',
    exit: 2,
    codes: ['rule-vpn', 'vpn-absent'],
  })
  d = await daemon([entry(good)], { policy: { vpn: 'preferred' } })
  await ask(d)
  await note('VPN preferred and absent', 'the same, with vpn: preferred', file(d), { state: 'protected', exit: 0, codes: ['vpn-absent'] })

  ip('link', 'add', 'tunnel0', 'type', 'veth', 'peer', 'name', 'far0')
  for (const name of ['tunnel0', 'far0']) ip('link', 'set', name, 'up')
  ip('addr', 'add', '10.9.0.1/32', 'dev', 'tunnel0')
  const behind = await server({ host: '10.9.0.1' })
  d = await daemon([entry(behind)], { policy: { vpn: 'required', vpnInterfaces: ['tunnel0'] } })
  t.same(await ask(d), { rcode: 0, ede: undefined })
  await note('VPN required and present', 'the path to the resolver uses the interface that the policy names', file(d), {
    state: 'protected',
    exit: 0,
    codes: ['vpn-present'],
  })
  ip('addr', 'add', '10.9.0.1/32', 'dev', 'lo')
  ip('addr', 'del', '10.9.0.1/32', 'dev', 'tunnel0')
  const beganMs = performance.now()
  while (statusText(d).includes('vpn-present') && performance.now() - beganMs < 8000) await sleep(20)
  t.comment(`a VPN that went away was seen within ${Math.round(performance.now() - beganMs)} ms`)
  t.same(await ask(d), { rcode: 2, ede: 15 })
  await note('VPN went away', 'the address of that path was moved to another interface', file(d), {
    state: 'offline',
    exit: 2,
    codes: ['rule-vpn'],
  })
  ip('addr', 'add', '10.9.0.1/32', 'dev', 'tunnel0')
  ip('addr', 'del', '10.9.0.1/32', 'dev', 'lo')
  await until(d, 'vpn-absent', false)
  let again = await ask(d)
  for (let i = 0; i < 20 && again.rcode !== 0; i++) again = await ask(d)
  t.equal(again.rcode, 0)
  await note('VPN is back', 'and moved back', file(d), { state: 'protected', exit: 0, codes: ['vpn-present'] })
}

situations(import.meta.url, 'vpn', { vpn })
