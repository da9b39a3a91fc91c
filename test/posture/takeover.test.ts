import t from 'tap'
import type { Event } from '../../src/events.ts'
import { answered, SETUP, started, verdictAfter } from './evidence.ts'

type Takeover = Extract<Event, { type: 'seen.takeover' }>
const takeover = (state: Takeover['state'], by = 'systemd-resolved', bypasses: Takeover['bypasses'] = []): Event => ({
  ...{ type: 'seen.takeover', state, by, bypasses },
})
const system = (asks: 'us' | 'elsewhere' | 'partly' | 'unknown'): Event => ({ type: 'seen.system', asks, by: 'resolv.conf' })
const link = (vpn: boolean) => ({ link: vpn ? 'wg0' : 'eth0', names: 'names below corp.example', vpn })

const judged = (systemEnabled: boolean, ...events: readonly Event[]) =>
  verdictAfter([started, answered('a'), ...events], { ...SETUP, systemEnabled })

t.test('system.enabled: degraded while the system demonstrably asks somebody else', (t) => {
  t.equal(judged(true).state, 'protected', 'before anything is known')
  t.equal(judged(true, system('us')).state, 'protected')
  t.equal(judged(true, system('unknown')).state, 'protected', 'what cannot be told is no proof')
  t.equal(judged(true, system('elsewhere')).state, 'degraded')
  t.equal(judged(true, system('partly')).state, 'degraded')
  t.equal(judged(true, takeover('taken', 'NetworkManager')).state, 'degraded')
  t.equal(judged(true, takeover('given-up', 'NetworkManager')).state, 'degraded')
  t.equal(judged(true, takeover('left', 'NetworkManager')).state, 'degraded')
  t.equal(judged(true, takeover('held', 'systemd-resolved', [link(false)])).state, 'degraded', 'a link is asked for some names')
  t.equal(judged(true, takeover('held', 'systemd-resolved', [link(true)])).state, 'protected', 'a VPN is left its own')
  t.equal(judged(true, takeover('taken'), takeover('held')).state, 'protected', 'taken back')
  t.end()
})

t.test('without it the same is a remark', (t) => {
  for (const event of [system('elsewhere'), takeover('taken'), takeover('held', 'a', [link(false)])])
    t.match(judged(false, event), { state: 'protected', signals: { protectedNetwork: { state: 'warn' } } })
  t.end()
})

t.test('who took over, whether it was given up, and which links are asked', (t) => {
  const reasons = (...events: readonly Event[]) => judged(false, ...events).signals.protectedNetwork.reasons
  const of = (code: string, ...events: readonly Event[]) => reasons(...events).find((one) => one.code === code)?.message
  t.match(of('system-taken-over', takeover('taken', 'NetworkManager')), /because of NetworkManager\. It is being repaired/)
  t.match(of('system-taken-over', takeover('given-up', 'dhcpcd')), /because of dhcpcd\. .*Three repairs within a minute/)
  t.match(of('system-taken-over', takeover('left', 'dhcpcd')), /Nothing repairs it here, .*sudo enigm-dns system enable/)
  t.match(of('system-bypasses', takeover('held', 'a', [link(true), link(false)])), /VPN wg0, names below corp\.example; eth0, names/)
  t.equal(of('system-asks-elsewhere', system('partly'), takeover('held')), undefined, 'what enable knows goes before what files say')
  t.match(of('system-asks-elsewhere', system('partly'), takeover('taken'), takeover('off')), /another DNS server/, 'until it is disabled')
  t.end()
})
