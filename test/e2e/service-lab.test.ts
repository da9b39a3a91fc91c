// The units of `service install` under the real systemd, on a booted machine: socket activation,
// the sandbox, crash loops, the watchdog, reloads and the end of it all.
import t, { type Test } from 'tap'
import { createAuthority } from '../../src/demo/authority.ts'
import { bootAtHome, type Home, PROJECT, TRUSTED } from '../support/lab/home.ts'
import { insideLab } from '../support/lab/image.ts'
import { PROJECT_ROOT, readmeRecipe } from '../support/readme.ts'

const CLI = `node ${PROJECT}/dist/main.js`
const ASK = 'dig +short +time=5 +tries=1 A @127.0.0.55'
const CONFIG = '/etc/enigm-dns/config.json'
/** What `systemd-analyze security` may say at most. */
const EXPOSURE = 1.2

t.setTimeout(600_000)
const image = await insideLab(t, import.meta.url)
if (image !== undefined) {
  const home = await bootAtHome({ image, project: PROJECT_ROOT, authority: await createAuthority() })
  t.teardown(() => home.stop())
  await home.connected()
  const test = (name: string, body: (t: Test) => Promise<void>) => t.test(name, { timeout: 120_000 }, body)

  test('installed, started by the first query, without root rights', (t) => firstQuery(t, home))
  test('the status is correct in the sandbox', (t) => inSandbox(t, home))
  test('stop, restart and logs lead to the commands of systemd, and change nothing', (t) => guides(t, home))
  test('killed forty times, and once silent: the socket stays and names resolve', (t) => crashes(t, home))
  test('reloads, and an invalid configuration', (t) => reloads(t, home))
  test('a stricter sandbox is not reported as a missing network', (t) => stricter(t, home))
  test('two workers share the descriptors', (t) => workers(t, home))
  test('without units: the commands of docs/service.md for another user', (t) => withoutUnits(t, home))
  test('after a reboot it runs; after uninstall nothing is left', (t) => theEnd(t, home))
}

let asked = 0
/** The answer to a name that nobody asked before; empty: none within 5 s. */
async function ask(home: Home, more = ''): Promise<string> {
  return (await home.sh(`${ASK} ${more} n${asked++}.example.com | grep -E '^[0-9.]+$'`)).stdout.trim()
}

const active = (home: Home, unit: string) => home.get(`systemctl is-active ${unit} || true`)

async function firstQuery(t: Test, home: Home): Promise<void> {
  t.match(await home.get(`${CLI} service install`), /wrote \/etc\/systemd\/system\/enigm-dns\.socket[\s\S]*Nothing was started/)
  t.equal(await active(home, 'enigm-dns.service'), 'inactive')
  t.equal(await home.get('systemctl list-units --failed --plain --no-legend | grep enigm || true'), '')
  t.match(await home.sh('systemd-analyze verify /etc/systemd/system/enigm-dns*'), { stdout: '' })
  await home.get('systemctl enable enigm-dns.service && systemctl start enigm-dns.socket')
  t.equal(await ask(home), TRUSTED, 'the first query')
  t.equal(await ask(home, '+tcp'), TRUSTED)
  await home.until('word that it is ready', 'systemctl -q is-active enigm-dns.service')
  const pid = await home.get('systemctl show -p MainPID --value enigm-dns')
  const facts = home.read(`/proc/${pid}/status`)
  t.notMatch(facts, /^Uid:.*\b0\b/m)
  for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb']) t.match(facts, new RegExp(`^${set}:\t0{16}$`, 'm'))
  t.match(facts, /^NoNewPrivs:\t1$/m)
  const exposure = Number(/level for enigm-dns.service: ([\d.]+)/.exec(await home.get('systemd-analyze security enigm-dns.service'))?.[1])
  t.ok(exposure <= EXPOSURE, `systemd-analyze security says ${exposure}`)
  t.match(await home.get(`${CLI} service status`), /service: active, enabled, process \d+\nsocket: active, enabled/)
}

async function inSandbox(t: Test, home: Home): Promise<void> {
  await home.until('it says so', `${CLI} status --json | grep -q '"state": "protected"'`)
  await home.until('systemd knows', 'systemctl status enigm-dns | grep -q \'Status: "protected: authenticated answers arrive"\'')
  t.match(await home.get(`${CLI} status --verify --json`), /"verdict": "valid"/)
  const document = JSON.parse((await home.sh(`${CLI} status --json`)).stdout) as { readonly signals: Record<string, { reasons: object[] }> }
  const codes = JSON.stringify(document.signals)
  for (const code of ['status-unsigned', 'network-unknown', 'internal-fault']) t.notMatch(codes, code)
  t.equal(await home.get('stat -c %a /var/lib/private/enigm-dns'), '700')
  t.notMatch(await home.get('journalctl -o cat -u enigm-dns'), /"level":"(warn|error)"/)
}

/** What a command says to run: its line with these first words, without the remark behind it. */
const lineIn = (text: string, words: string) => new RegExp(`${words}[^\\n]*?(?=$|\\n| {2})`).exec(text)?.[0] ?? `false # ${words}`

async function guides(t: Test, home: Home): Promise<void> {
  const pid = () => home.get('systemctl show -p MainPID --value enigm-dns')
  const first = await pid()
  const stop = await home.sh(`${CLI} stop`)
  t.match(stop, { code: 3, stdout: '', stderr: /^Nothing was stopped: systemd runs the service/ })
  t.strictSame(await home.sh(`${CLI} stop --config ${CONFIG}`), stop, 'also by the name of its configuration')
  const restart = await home.sh(`${CLI} restart`)
  t.equal(restart.code, 2)
  t.equal(await pid(), first, 'the service runs on')

  await home.get(lineIn(restart.stderr, 'sudo systemctl restart'))
  t.not(await pid(), first, 'the line for a restart restarts it')
  t.equal(await ask(home), TRUSTED)
  const logs = await home.sh(`${CLI} logs`)
  t.match(await home.get(lineIn(logs.stderr, 'sudo journalctl')), /enigm-dns\.service|"level":/, 'the line for logs shows them')

  await home.get(lineIn(stop.stderr, 'sudo systemctl stop'))
  t.equal(await ask(home), '', 'the line for a stop stops it, and no query starts it again')
  t.equal(await active(home, 'enigm-dns.service'), 'inactive')
  t.match(await home.sh(`${CLI} stop`), { code: 1, stderr: /^Nothing was stopped: no daemon runs/ })
  await home.get(lineIn((await home.sh(`${CLI} start`)).stderr, 'sudo systemctl start'))
  t.equal(await ask(home), TRUSTED, 'the line for a start starts it')
  await home.get('systemctl start enigm-dns-53.socket 2>/dev/null || true')
}

async function crashes(t: Test, home: Home): Promise<void> {
  for (let i = 0; i < 40; i++) await home.get('systemctl kill -s KILL --kill-who=main enigm-dns; sleep 0.02')
  t.equal(await ask(home), TRUSTED, 'after forty kills')
  t.equal(await active(home, 'enigm-dns.socket'), 'active')
  const before = await home.get('systemctl show -p MainPID --value enigm-dns')
  await home.get(`kill -STOP ${before}`)
  await home.until(
    'another process',
    `[ $(systemctl show -p MainPID --value enigm-dns) != ${before} ] && systemctl -q is-active enigm-dns`,
    30_000,
  )
  t.equal(await ask(home), TRUSTED, 'after the watchdog')
}

async function reloads(t: Test, home: Home): Promise<void> {
  await home.get('systemctl reload enigm-dns')
  t.equal(await active(home, 'enigm-dns.service'), 'active')
  const good = home.read(CONFIG)
  await home.get(`echo '{ "nonsense": 1 }' > ${CONFIG}`)
  t.not((await home.sh('systemctl reload enigm-dns')).code, 0, 'a reload that was refused fails')
  t.equal(await ask(home), TRUSTED, 'and the old configuration goes on')
  await home.sh('systemctl restart enigm-dns')
  await home.get('for i in 1 2 3; do dig +time=1 +tries=1 @127.0.0.55 example.com >/dev/null; done; sleep 2')
  t.equal(await active(home, 'enigm-dns.socket'), 'active', 'a start that fails again and again leaves the socket')
  const starts = Number(await home.get('journalctl -o cat -u enigm-dns --since -5s | grep -c nonsense'))
  t.ok(starts >= 1 && starts <= 8, `and does not eat the machine: ${starts} starts in 5 s`)
  await home.get(`cat > ${CONFIG} <<'END'\n${good}\nEND`)
  t.equal(await ask(home), TRUSTED, 'mended, and nothing else was done')
}

async function stricter(t: Test, home: Home): Promise<void> {
  await home.get(`mkdir -p /etc/systemd/system/enigm-dns.service.d
    printf '[Service]\\nProcSubset=pid\\nRestrictAddressFamilies=\\nRestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX\\n' > /etc/systemd/system/enigm-dns.service.d/strict.conf
    systemctl daemon-reload; systemctl restart enigm-dns`)
  t.equal(await ask(home), TRUSTED)
  await home.until('it says so', `${CLI} status --json | grep -q '"state": "protected"'`)
  t.match(await home.get(`${CLI} status --verify --json`), /"verdict": "valid"/)
  t.match(await home.sh(`${CLI} doctor`), { stdout: /ok service/ })
  await home.get('rm -r /etc/systemd/system/enigm-dns.service.d; systemctl daemon-reload; systemctl restart enigm-dns')
}

async function workers(t: Test, home: Home): Promise<void> {
  const good = home.read(CONFIG)
  await home.get(`cat > ${CONFIG} <<'END'\n${JSON.stringify({ ...JSON.parse(good), workers: 2 })}\nEND`)
  await home.get('systemctl restart enigm-dns')
  for (let i = 0; i < 8; i++) t.equal(await ask(home), TRUSTED)
  t.notMatch(await home.get('journalctl -o cat -u enigm-dns --since -5s'), /"level":"(warn|error)"/)
}

async function withoutUnits(t: Test, home: Home): Promise<void> {
  const config = home.read(CONFIG)
  const { resolvers } = JSON.parse(config) as { readonly resolvers: string }
  await home.get(
    'systemctl stop enigm-dns.socket enigm-dns-53.socket enigm-dns.service; rm -rf /var/lib/enigm-dns /var/lib/private/enigm-dns',
  )
  await home.get(`printf '#!/bin/sh\\nexec node ${PROJECT}/dist/main.js "$@"\\n' > /usr/local/bin/enigm-dns; chmod +x /usr/local/bin/enigm-dns
    ${readmeRecipe('service-user')}`)
  const lines = { ...(JSON.parse(home.read(CONFIG)) as object), resolvers }
  const script = `cat > ${CONFIG} <<'END'\n${JSON.stringify(lines)}\nEND\ncat > /run/run.sh <<'END'\n${readmeRecipe('runit')}\nEND\nchmod +x /run/run.sh; systemd-run -q --unit by-hand /run/run.sh`
  await home.get(script)
  await home.until('it answers', `${ASK} localhost | grep -q 127.0.0.1 || { journalctl -o cat -u by-hand | tail -3; exit 1; }`)
  const pid = await home.get('systemctl show -p MainPID --value by-hand')
  const uid = await home.get('id -u enigm-dns')
  t.match(home.read(`/proc/${pid}/status`), new RegExp(`^Uid:(\\t${uid}){4}$`, 'm'))
  t.match(home.read(`/proc/${pid}/status`), /^CapEff:\t0{13}400$/m, 'CAP_NET_BIND_SERVICE alone')
  t.equal(await ask(home), TRUSTED)
  await home.get(
    `systemctl stop by-hand; userdel enigm-dns; rm -rf /run/enigm-dns /var/lib/enigm-dns; cat > ${CONFIG} <<'END'\n${config}\nEND`,
  )
}

async function theEnd(t: Test, home: Home): Promise<void> {
  await home.reboot()
  await home.connected()
  t.equal(await active(home, 'enigm-dns.service'), 'active')
  t.equal(await ask(home), TRUSTED, 'after a reboot')
  t.match(await home.get(`${CLI} service uninstall`), /removed \/etc\/systemd\/system\/enigm-dns\.service/)
  t.equal(await home.get("find /etc/systemd /run/systemd/system -name '*enigm*'"), '')
  t.equal(await active(home, 'enigm-dns.socket'), 'inactive')
  t.equal(await ask(home), '')
  t.match(await home.sh(`${CLI} service status`), { code: 1, stdout: /not installed/ })
}
