import t from 'tap'
import { dropInOf, givesDomains, isNetworkdDropIn } from '../../../src/system/takeover/networkd.ts'

/** Whether these files, by their paths, give a link domains; the first is the .network file. */
function gives(files: Readonly<Record<string, string>>): boolean {
  const [file = ''] = Object.keys(files)
  const list = (folder: string) =>
    Object.keys(files)
      .filter((path) => path.startsWith(`${folder}/`))
      .map((path) => path.slice(folder.length + 1))
  return givesDomains(file, (path) => files[path], list)
}

t.test('a .network file that gives its link domains', (t) => {
  const of = (text: string) => gives({ '/etc/systemd/network/a.network': text })
  for (const text of [
    'Domains=~.',
    '[Network]\nDomains = corp.test',
    'domains=a b',
    'UseDomains=yes',
    'UseDomains=route',
    ' UseDomains=true',
  ])
    t.equal(of(text), true, text)
  for (const text of ['DHCP=yes', '#Domains=~.', 'Domains=', 'UseDomains=no', 'UseDomains=false', 'DNS=192.0.2.1', ''])
    t.equal(of(text), false, text)
  t.end()
})

t.test('a drop-in of it counts, from each of the directories, and ours does not', (t) => {
  const file = '/run/systemd/network/10-netplan-eth0.network'
  const below = (root: string, name: string) =>
    gives({ [file]: 'DHCP=yes', [`${root}/systemd/network/10-netplan-eth0.network.d/${name}`]: 'Domains=corp.test' })
  for (const root of ['/usr/lib', '/usr/local/lib', '/run', '/etc']) t.equal(below(root, 'a.conf'), true, root)
  t.equal(below('/etc', 'a.conf.old'), false)
  t.equal(below('/etc', 'zz-enigm-dns.conf'), false)
  const ours = dropInOf(file)
  t.equal(ours, '/etc/systemd/network/10-netplan-eth0.network.d/zz-enigm-dns.conf')
  t.ok(isNetworkdDropIn(ours))
  t.notOk(isNetworkdDropIn('/etc/systemd/resolved.conf.d/zz-enigm-dns.conf'))
  t.end()
})
