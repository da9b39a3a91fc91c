// `enigm-dns system enable --enforce` on a booted machine with real managers: what asks past the
// service is rejected at once, over a boot and a restart, and nothing of it is left after.
import t, { type Test } from 'tap'
import { createAuthority } from '../../src/demo/authority.ts'
import { GATEWAY, type Home } from '../support/lab/home.ts'
import { insideLab } from '../support/lab/image.ts'
import { ETC } from '../support/lab/service-unit.ts'
import { asksProvider, asksUs, bootWithService, SET_UPS, system } from '../support/lab/takeover.ts'
import { PROJECT_ROOT } from '../support/readme.ts'

t.setTimeout(600_000)
const image = await insideLab(t, import.meta.url)
const PAST = `dig +short +time=2 +tries=1 @${GATEWAY} past.example.com`

/**
 * Whether a question straight to the provider is answered, rejected at once, or lost in silence.
 */
async function past(home: Home): Promise<string> {
  const { stdout } = await home.sh(`start=$(date +%s%N); ${PAST}; echo $((($(date +%s%N) - start) / 1000000))`)
  if (/refused/.test(stdout)) return Number(stdout.trim().split('\n').at(-1)) < 1500 ? 'rejected at once' : 'rejected late'
  return /^10\./.test(stdout) ? 'answered' : stdout
}

async function isEnforced(t: Test, home: Home, when: string) {
  t.equal(await past(home), 'rejected at once', when)
  await asksUs(t, home, when)
  t.match(await system(home, 'status'), { code: 0, says: { enabled: true, proven: true, rejected: { 53: Number, 853: Number } } }, when)
}

if (image !== undefined) {
  const authority = await createAuthority()
  const setUp = SET_UPS[0]
  if (setUp === undefined) throw new Error('no set-up')
  t.test(`--enforce, ${setUp.name}`, { timeout: 300_000 }, async (t) => {
    const home = await bootWithService(t, setUp, { image, project: PROJECT_ROOT, authority })
    const before = await home.get(ETC)
    t.equal(await past(home), 'answered')
    const plan = await home.get('enigm-dns system enable --enforce --dry-run')
    t.match(plan, /Rejected at once[\s\S]*VPNs may/)
    t.equal(await home.get(ETC), before)
    t.match(await system(home, 'enable --enforce'), { code: 0, says: { enabled: true, proven: true } })
    await isEnforced(t, home, 'enabled')
    t.match(await system(home, 'enable --enforce'), { code: 0 }, 'twice')
    await home.get('systemctl restart enigm-dns')
    await isEnforced(t, home, 'after a restart of the service')

    await home.get('nft delete table inet enigm_dns')
    t.match(await system(home, 'status'), { code: 4, stderr: /enigm_dns of nftables is not there/ })
    t.match(await system(home, 'enable --enforce'), { code: 0 })
    await isEnforced(t, home, 'put right')

    await home.reboot('cut')
    await home.connected()
    await home.until('the rules are there again', 'enigm-dns system status >/dev/null')
    await isEnforced(t, home, 'after a power cut')

    t.match(await system(home, 'enable'), { code: 0 }, 'and without it again')
    t.equal(await past(home), 'answered')
    t.match(await system(home, 'enable --enforce'), { code: 0 })
    t.match(await system(home, 'disable'), { code: 0 })
    await home.connected()
    t.equal(await home.get('nft list ruleset'), '', 'no rule is left')
    t.equal(await home.get(ETC), before)
    t.equal(await past(home), 'answered')
    await asksProvider(t, home, 'disabled')
  })
}
