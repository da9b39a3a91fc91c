// `enigm-dns system` on booted machines with the real managers: what each of them really does with
// it, through leases, reconnects, kills, a power cut and a reboot.
import t, { type Test } from 'tap'
import { createAuthority } from '../../src/demo/authority.ts'
import type { Home } from '../support/lab/home.ts'
import { insideLab } from '../support/lab/image.ts'
import { ETC } from '../support/lab/service-unit.ts'
import { asksProvider, asksUs, bootWithService, SET_UPS, type SetUp, system } from '../support/lab/takeover.ts'
import { PROJECT_ROOT, readmeRecipe } from '../support/readme.ts'

t.setTimeout(900_000)
const image = await insideLab(t, import.meta.url)
if (image !== undefined) {
  const authority = await createAuthority()
  // A machine waits for leases, boots and repairs for more than half of its time.
  t.jobs = 4
  for (const setUp of SET_UPS)
    t.test(setUp.name, { timeout: 300_000, buffered: true }, async (t) => {
      await life(t, await bootWithService(t, setUp, { image, project: PROJECT_ROOT, authority }), setUp)
    })
}

async function life(t: Test, home: Home, { backend, offOn, takeOver }: SetUp): Promise<void> {
  const before = await home.get(ETC)
  await asksProvider(t, home, 'before')
  t.match(await system(home, 'status'), { code: 1, says: { enabled: false, backend, proven: false } })
  t.match(await system(home, 'disable'), { code: 0 }, 'disabled without having been enabled')
  t.match(await system(home, 'enable --dry-run'), { code: 0, says: { backend, address: '127.0.0.55' } })
  t.equal(await home.get(ETC), before, 'none of these changes anything')

  const startMs = performance.now()
  t.match(await system(home, 'enable'), { code: 0, says: { enabled: true, backend, address: '127.0.0.55', proven: true, bypasses: [] } })
  t.comment(`enabled and proven in ${Math.round(performance.now() - startMs)} ms`)
  const status = await home.get('enigm-dns status --json || true')
  t.match(status, /"system-asks-us"/, 'the status has the proof as soon as the command ends')
  t.notMatch(status, /"system-unknown"/)
  await asksUs(t, home, 'enabled')
  t.match(await system(home, 'status'), { code: 0, says: { enabled: true, proven: true } })
  t.match(await system(home, 'enable'), { code: 0 }, 'enabled twice')
  await asksUs(t, home, 'enabled twice')

  await home.get(offOn)
  await home.connected()
  await asksUs(t, home, 'after a reconnect')
  await home.get('kill -9 $(systemctl show -p MainPID --value enigm-dns); sleep 1')
  await home.until('the service is there again', 'enigm-dns system status >/dev/null')
  await asksUs(t, home, 'after a kill of the service')
  await takenOver(t, home, takeOver)
  await home.reboot('cut')
  await home.connected()
  await home.until('the service is there again', 'enigm-dns system status >/dev/null')
  await asksUs(t, home, 'after a power cut')

  t.match(await system(home, 'disable'), { code: 0 })
  await home.connected()
  t.equal(await home.get(ETC), before, 'after the disable /etc is what it was')
  t.equal(await home.get('systemctl is-active enigm-dns || true'), 'inactive', 'and the service stopped')
  await asksProvider(t, home, 'disabled')
  await refusals(t, home, before)
  await documented(t, home, before)
  if (backend === 'file') await outOfReach(t, home, before)
  if (backend === 'resolved') await notProven(t, home)
}

/** Another program takes the DNS: it is back soon, and after three times in a minute it is told. */
async function takenOver(t: Test, home: Home, takeOver: string): Promise<void> {
  for (const time of ['first', 'second', 'third']) {
    const startMs = performance.now()
    await home.get(takeOver)
    await home.until(`back the ${time} time`, 'enigm-dns system status > /dev/null')
    t.comment(`taken over and back in ${Math.round(performance.now() - startMs)} ms`)
  }
  await asksUs(t, home, 'after three take-overs')
  await home.get(takeOver)
  await home.until('the status says who', "enigm-dns status --json | grep -q 'Three repairs within a minute'")
  t.match(await system(home, 'status'), { code: 4, says: { enabled: true, proven: false } }, 'given up the fourth time')
  t.match(await system(home, 'enable'), { code: 0 }, 'a person has the last word')
  await asksUs(t, home, 'enabled after a fight')
}

/** What cannot be proven is not kept. */
async function refusals(t: Test, home: Home, before: string): Promise<void> {
  await home.get('systemctl stop trusted')
  const refused = await system(home, 'enable')
  t.equal(refused.code, 3, `without a resolver it is refused: ${refused.stderr}`)
  t.equal(await home.get(ETC), before, 'and nothing is changed')
  await home.get('systemctl start trusted')
  await asksProvider(t, home, 'refused')
}

/** A file that cannot be replaced: refused with the reason, and nothing is changed. */
async function outOfReach(t: Test, home: Home, before: string): Promise<void> {
  const refused = async (why: RegExp) => {
    const { code, stderr } = await system(home, 'enable')
    t.equal(code, 3)
    t.match(stderr, why)
    t.equal(await home.get(ETC), before, 'nothing is changed')
    t.equal(await home.get('systemctl is-active enigm-dns || true'), 'inactive')
  }
  await home.get('chattr +i /etc/resolv.conf')
  await refused(/\/etc\/resolv\.conf is immutable; run: chattr -i/)
  await home.get('chattr -i /etc/resolv.conf; cp -a /etc/resolv.conf /run/mounted; mount --bind /run/mounted /etc/resolv.conf')
  await refused(/mounted from outside/)
  await home.get('umount /etc/resolv.conf')
  await asksProvider(t, home, 'refused')
}

/** A file that is read after ours names the provider: tried, and back within 10 s. */
async function notProven(t: Test, home: Home): Promise<void> {
  await home.get(`mkdir -p /etc/systemd/resolved.conf.d
    printf '[Resolve]\\nDNS=\\nDNS=192.168.50.1\\n' > /etc/systemd/resolved.conf.d/zzz-other.conf
    systemctl reset-failed systemd-resolved; systemctl restart systemd-resolved`)
  await home.connected()
  const before = await home.get(ETC)
  const startMs = performance.now()
  const { code, stderr } = await system(home, 'enable')
  t.equal(code, 4, stderr)
  t.match(stderr, /does not take 127\.0\.0\.55|asks 192\.168\.50\.1/)
  t.comment(`rolled back after ${Math.round(performance.now() - startMs)} ms`)
  await home.connected()
  t.equal(await home.get(ETC), before, 'all is as it was')
  await asksProvider(t, home, 'rolled back')
}

/** The lines of docs/system.md: those of every day, and those for a rescue shell. */
async function documented(t: Test, home: Home, before: string): Promise<void> {
  t.match(await home.get(`set -e\n${readmeRecipe('system')}`), /enabled and proven[\s\S]*disabled: the previous state is restored/)
  await home.connected()
  t.equal(await home.get(ETC), before)
  t.match(await system(home, 'enable'), { code: 0 })
  await home.get(
    `systemctl disable -q --now enigm-dns.socket enigm-dns-53.socket enigm-dns.service; set -e\n${readmeRecipe('system-rescue')}`,
  )
  await home.reboot()
  await home.connected()
  await asksProvider(t, home, 'after the lines for a rescue shell')
  const names = (listing: string) =>
    listing
      .split('\n')
      .filter((line) => line.startsWith('.'))
      .map((line) => line.split(' ')[0])
  t.strictSame(
    names(await home.get(`rmdir /etc/systemd/resolved.conf.d 2>/dev/null; ${ETC}`)),
    names(before),
    'nothing of ours is left in /etc',
  )
}
