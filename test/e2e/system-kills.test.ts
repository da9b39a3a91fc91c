// `enigm-dns system` killed, or the power cut, at random steps on machines with the real managers:
// names resolve within 10 s, and what is left is finished by `disable`. Ten kills; `npm run
// test:long` makes 200. SEED repeats a run.
import t, { type Test } from 'tap'
import { createAuthority } from '../../src/demo/authority.ts'
import { type Home, PROJECT } from '../support/lab/home.ts'
import { insideLab } from '../support/lab/image.ts'
import { ETC } from '../support/lab/service-unit.ts'
import { asksProvider, asksUs, bootWithService, SET_UPS, type SetUp, system } from '../support/lab/takeover.ts'
import { PROJECT_ROOT } from '../support/readme.ts'

const KILLS = Number(process.env.ENIGM_DNS_KILLS ?? 10)
const SEED = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 31))
/** Ten take a minute or two; on two processors each further one takes about ten seconds. */
const LIMIT_MS = 600_000 + 20_000 * KILLS
const PENDING = '/var/lib/enigm-dns-system/pending.json'

t.setTimeout(LIMIT_MS)
const image = await insideLab(t, import.meta.url, LIMIT_MS)
if (image !== undefined) {
  t.comment(`SEED=${SEED}`)
  const authority = await createAuthority()
  t.jobs = SET_UPS.length
  for (const [i, setUp] of SET_UPS.entries())
    t.test(setUp.name, { timeout: LIMIT_MS, buffered: true }, async (t) => {
      const home = await bootWithService(t, setUp, { image, project: PROJECT_ROOT, authority })
      const share = Math.floor(KILLS / SET_UPS.length) + (i < KILLS % SET_UPS.length ? 1 : 0)
      await kills(t, home, setUp, share, random(SEED + i))
    })
}

/** mulberry32: numbers from 0 up to `limit`, the same for the same seed. */
function random(seed: number): (limit: number) => number {
  let state = seed
  return (limit) => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * limit)
  }
}

const die = (what: string, at: number | string) => `node ${PROJECT}/build/test/support/lab/takeover-and-die.js ${what} ${at}`

async function kills(t: Test, home: Home, { name, backend }: SetUp, count: number, below: (limit: number) => number): Promise<void> {
  const before = await home.get(ETC)
  const up = (await home.get(die('enable', 'never'))).split('\n').slice(0, -1)
  const down = (await home.get(die('disable', 'never'))).split('\n').slice(0, -1)
  t.ok(up.length > 8 && down.length > 5, `${up.length} steps of an enable, ${down.length} of a disable`)
  for (let i = 0; i < count; i++) {
    // systemd reads the unit that names us at boot before the change is undone: always tried.
    const isSure = backend === 'resolvconf' && i === 0
    const what = isSure || below(2) === 0 ? 'enable' : 'disable'
    const steps = what === 'enable' ? up : down
    const at = isSure ? up.indexOf('apply') : below(steps.length)
    const cut = isSure || below(3) === 0
    const where = `${name}: ${cut ? 'power cut' : 'killed'} in ${what}, before "${steps[at]}"`
    if (what === 'disable') t.match(await system(home, 'enable'), { code: 0 })
    await home.sh(die(what, at))
    if (cut) {
      await home.reboot('cut')
      await home.connected()
    }
    await resolves(t, home, where)
    t.match(await system(home, 'disable'), { code: 0 }, `${where}: a disable finishes it`)
    await home.connected()
    await asksProvider(t, home, where)
    t.equal(await home.get(ETC), before, `${where}: /etc is what it was`)
  }
}

/** Within 10 s names resolve: all here, or all as before. */
async function resolves(t: Test, home: Home, where: string): Promise<void> {
  await home.until('a settled state', `[ ! -e ${PENDING} ] && getent ahostsv4 n$RANDOM.example.com`, 10_000).catch(() => {})
  const { code } = await home.sh('enigm-dns system status')
  t.ok(code === 0 || code === 1, `${where}: enabled and proven, or not enabled (exit code ${code})`)
  await (code === 0 ? asksUs(t, home, where) : asksProvider(t, home, where))
}
