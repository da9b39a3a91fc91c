import { execFileSync } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { query } from '../../support/messages.ts'
import { cli } from '../../support/real/daemon.ts'
import { udpClient } from '../../support/real/dns-client.ts'
import { useNameserver } from '../../support/real/namespace.ts'
import { ask, daemon, documentRedacted, entry, file, ip, newName, note, server, situations, until } from '../../support/situations.ts'

async function networks() {
  const good = await server()
  ip('link', 'add', 'wan0', 'type', 'veth', 'peer', 'name', 'far1')
  for (const name of ['wan0', 'far1']) ip('link', 'set', name, 'up')
  ip('addr', 'add', '10.7.0.2/24', 'dev', 'wan0')
  ip('route', 'add', 'default', 'via', '10.7.0.1')
  const cafe = { name: 'cafe', match: { gateway: '10.7.0.99' }, vpn: 'required' }
  const office = { name: 'office', match: { gateway: '10.7.0.1', subnet: '10.7.0.0/24' } }
  const d = await daemon([entry(good)], { policy: { networks: [office, cafe] } })
  await ask(d)
  await note('a network that the policy names', 'gateway and subnet match', file(d), {
    state: 'protected',
    exit: 0,
    codes: ['network-named'],
  })
  ip('route', 'replace', 'default', 'via', '10.7.0.99')
  await until(d, 'rule-vpn')
  await note('network changed', 'to a network on which the policy requires a VPN', file(d), {
    state: 'offline',
    exit: 2,
    codes: ['rule-vpn'],
  })
  ip('route', 'replace', 'default', 'via', '10.7.0.50')
  await until(d, 'rule-vpn', false)
  let back = await ask(d)
  for (let i = 0; i < 20 && back.rcode !== 0; i++) back = await ask(d)
  await note(
    'network unknown',
    'to a network that the policy does not name: the general rules apply',
    file(d),
    { state: 'protected', exit: 0, codes: ['network-untrusted'] },
    ['network-untrusted'],
  )
}

async function system() {
  const good = await server()
  const on53 = { listen: '127.0.0.53:53' }
  let d = await daemon([entry(good)], {}, on53)
  const client = await udpClient(53, '127.0.0.53')
  t.teardown(() => client.close())
  const askHere = () => client.ask(query({ name: newName() }))
  await askHere()
  useNameserver(t, '198.51.100.53')
  await until(d, 'system-asks-elsewhere')
  await note(
    'resolv.conf points elsewhere',
    'it names another address',
    file(d),
    { state: 'protected', exit: 0, codes: ['system-asks-elsewhere'] },
    ['system-asks-elsewhere'],
  )
  await d.stop()
  d = await daemon([entry(good)], { policy: { systemResolver: 'required' } }, on53)
  await askHere()
  await note('resolv.conf points elsewhere, against the policy', 'the same, with policy.systemResolver', file(d), {
    state: 'degraded',
    exit: 1,
    codes: ['rule-system-resolver'],
  })
  documentRedacted((await cli('status', '--redact', ...file(d))).stdout)
  useNameserver(t, '127.0.0.53')
  await until(d, 'system-asks-us')
  await note('the system uses this service', 'resolv.conf names the listener, and a query through getaddrinfo arrived at it', file(d), {
    state: 'protected',
    exit: 0,
    codes: ['system-asks-us'],
  })
  const nsswitch = join(d.dir, 'nsswitch.conf')
  writeFileSync(nsswitch, 'hosts: files\n')
  execFileSync('mount', ['--bind', nsswitch, '/etc/nsswitch.conf'])
  await d.stop()
  d = await daemon([entry(good)], {}, on53)
  await askHere()
  await until(d, 'canary-lost')
  await note('resolv.conf names this service, but DNS is not used', 'nsswitch.conf does not list DNS', file(d), {
    state: 'protected',
    exit: 0,
    codes: ['canary-lost'],
  })
  execFileSync('umount', ['/etc/nsswitch.conf'])

  const past = createSocket('udp4')
  past.connect(53, '10.7.0.200')
  await new Promise((resolve) => past.once('connect', resolve))
  await until(d, 'past this service')
  await note('a program bypasses this service', 'a socket is connected to port 53 of another server', file(d), {
    state: 'protected',
    exit: 0,
    codes: ['bypassed'],
  })
  past.close()
  t.match(d.status(), { bypassed: { seen: 'yes' } })
}

situations(import.meta.url, 'protectedNetwork', { networks, system })
