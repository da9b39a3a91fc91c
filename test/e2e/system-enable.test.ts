// `enigm-dns system` on booted machines with the real managers: what each of them really does with
// it, through leases, reconnects, kills, a power cut and a reboot.
import t, { type Test } from 'tap'
import { createAuthority } from '../../src/demo/authority.ts'
import type { Home } from '../support/lab/home.ts'
import { insideLab } from '../support/lab/image.ts'
import { ETC } from '../support/lab/service-unit.ts'
import { asksProvider, asksUs, bootWithService, SET_UPS, type SetUp, system } from '../support/lab/takeover.ts'
import { PROJECT_ROOT } from '../support/readme.ts'

t.setTimeout(900_000)
const image = await insideLab(t, import.meta.url)
if (image !== undefined) {
  const authority = await createAuthority()
  t.jobs = 2
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
}

/** Another program takes the DNS: it is back soon, and after three times in a minute it is told. */
async function takenOver(t: Test, home: Home, takeOver: string): Promise<void> {
  for (const time of ['first', 'second', 'third']) {
    const startMs = performance.now()
    await home.get(takeOver)
    await home.until(`back the ${time} time`, 'enigm-dns system status > /dev/null', 5000)
    t.comment(`taken over and back in ${Math.round(performance.now() - startMs)} ms`)
  }
  await asksUs(t, home, 'after three take-overs')
  await home.get(takeOver)
  await home.until('the status says who', "enigm-dns status --json | grep -q 'three times within a minute'", 10_000)
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
