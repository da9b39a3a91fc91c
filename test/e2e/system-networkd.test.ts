// `enigm-dns system` where systemd-networkd gives links domains and servers of their own, by a file
// as netplan writes it: without it such a link is asked beside the service.
import t, { type Test } from 'tap'
import { createAuthority } from '../../src/demo/authority.ts'
import { GATEWAY, type Home, PROVIDER, PROVIDER_DOMAIN } from '../support/lab/home.ts'
import { insideLab } from '../support/lab/image.ts'
import { ETC } from '../support/lab/service-unit.ts'
import { asksProvider, asksUs, bootWithService, type SetUp, system } from '../support/lab/takeover.ts'
import { PROJECT_ROOT } from '../support/readme.ts'

const FILE = '10-netplan-eth0.network'
const DROP_IN = `/etc/systemd/network/${FILE}.d/zz-enigm-dns.conf`
/** Every name, names below a domain, and what DHCP names. */
const NETWORK = `[Match]\nName=eth0\n[Network]\nDHCP=yes\nDNS=${GATEWAY}\nDomains=~. corp.test\n[DHCPv4]\nUseDomains=yes\n`
const SET_UP: SetUp = {
  name: 'links of systemd-networkd with domains',
  backend: 'resolved',
  offOn: 'networkctl down eth0; networkctl up eth0',
  takeOver: `resolvectl dns eth0 ${GATEWAY}; resolvectl domain eth0 '~.'`,
  fitting: {
    chroot: 'systemctl -q mask NetworkManager networking; systemctl -q enable systemd-networkd',
    // A file of /run is there after a boot only: /usr/lib is a place outside /etc as well.
    files: { [`/usr/lib/systemd/network/${FILE}`]: NETWORK },
  },
}

t.setTimeout(300_000)
const image = await insideLab(t, import.meta.url)
if (image !== undefined) {
  const home = await bootWithService(t, SET_UP, { image, project: PROJECT_ROOT, authority: await createAuthority() })
  t.test(SET_UP.name, { timeout: 200_000 }, (t) => life(t, home))
}

async function life(t: Test, home: Home): Promise<void> {
  const before = await home.get(ETC)
  await asksProvider(t, home, 'before')
  t.match(await home.get('resolvectl domain eth0'), PROVIDER_DOMAIN, 'the link has the domain of DHCP')
  const plan = await system(home, 'enable --dry-run')
  t.match(plan.says, { changes: [{}, {}, {}, {}, {}, {}, { path: DROP_IN }], commands: [/^systemctl restart/, /^resolvectl domain eth0/] })
  t.equal(await home.get(ETC), before, 'a plan changes nothing')

  const address = () => home.get("ip -4 -o address show eth0 | awk '{print $4}'")
  const leased = await address()
  t.match(await system(home, 'enable'), { code: 0, says: { enabled: true, proven: true, bypasses: [] } })
  await asksUs(t, home, 'enabled')
  t.equal(await address(), leased, 'the link keeps its address')
  for (const [what, command] of [
    ['a reconnect', SET_UP.offOn],
    ['its files read again', 'networkctl reload; networkctl reconfigure eth0'],
    ['a restart of systemd-networkd', 'systemctl restart systemd-networkd'],
  ] as const) {
    await home.get(command)
    await home.connected()
    await asksUs(t, home, `after ${what}`)
  }
  await home.get(SET_UP.takeOver)
  await home.until('back', 'enigm-dns system status > /dev/null')
  await asksUs(t, home, 'after a take-over')
  await home.reboot('cut')
  await home.connected()
  await home.until('the service is there again', 'enigm-dns system status >/dev/null')
  await asksUs(t, home, 'after a power cut')

  t.match(await system(home, 'disable'), { code: 0 })
  await home.connected()
  t.equal(await home.get(ETC), before, 'after the disable /etc is what it was')
  for (const domain of ['~[.]', 'corp[.]test', PROVIDER_DOMAIN])
    await home.until(`the link has ${domain} again`, `resolvectl domain eth0 | grep -q '${domain}' || { resolvectl domain; exit 1; }`)
  await asksProvider(t, home, 'disabled')
  await laterLink(t, home)
}

/** A link that comes with a domain when it is enabled: it is listed, and the rest stays proven. */
async function laterLink(t: Test, home: Home): Promise<void> {
  t.match(await system(home, 'enable'), { code: 0, says: { bypasses: [] } })
  const file = `[Match]\\nName=late0\\n[Network]\\nAddress=10.77.0.1/24\\nDNS=10.77.0.2\\nDomains=late.test\\n`
  await home.get(`ip link add late0 type veth peer name late1; ip link set late1 up
    printf '${file}' > /run/systemd/network/late0.network; networkctl reload; ip link set late0 up`)
  await home.until('it is listed', `enigm-dns system status --json | grep -q '"via": "late0"'`)
  t.match(await system(home, 'status'), { code: 0, says: { bypasses: [{ via: 'late0', what: 'names below late.test: 10.77.0.2' }] } })
  t.match(await home.ask('*.example.com'), { dig: /^10\.99/, getent: /^10\.99/ })
  t.match(await system(home, 'enable'), { code: 0 }, 'enabled again with it')
  t.match(await system(home, 'disable'), { code: 0 })
  t.not((await home.ask('*.example.com')).dig, '', `the provider answers again (${PROVIDER})`)
}
