import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t from 'tap'
import { cli } from '../../support/real/daemon.ts'
import { addRow, ask, daemon, entry, file, note, open, server, situations, until } from '../../support/situations.ts'

async function rules() {
  const good = await server()
  let d = await daemon([entry(good)], { policy: { jurisdictions: ['CH'], claims: { dnssec: true, logging: false } } })
  await ask(d)
  await note('claims', 'rules that only operators can confirm', file(d), {
    state: 'protected',
    exit: 0,
    codes: ['policy-claimed', 'policy-unknown'],
  })
  const gone = await server()
  d = await daemon([entry(gone, { id: 'two', operator: 'Operator Two' }), entry(good)], { policy: { minimumOperators: 2 } })
  await gone.close()
  open.splice(open.indexOf(gone), 1)
  await until(d, 'resolver-down', true, () => ask(d))
  await note('too few operators', 'two are required, one is down', file(d), { state: 'degraded', exit: 1, codes: ['rule-operator-count'] })
}

async function audits() {
  const good = await server()
  const d = await daemon([entry(good)], { policy: { audit: 'required' } })
  await ask(d)
  await note('audit log required', 'it can be written', file(d), { state: 'protected', exit: 0 })
  const log = join(d.dir, 'state', 'audit.jsonl')
  renameSync(log, `${log}.aside`)
  mkdirSync(log)
  // Something to write: a refused reload changes the state of a signal.
  const config = readFileSync(join(d.dir, 'config.json'), 'utf8')
  writeFileSync(join(d.dir, 'config.json'), '{ broken', { mode: 0o600 })
  d.kill('SIGHUP')
  await until(d, 'rule-audit')
  t.same(await ask(d), { rcode: 2, ede: 15 })
  await note(
    'reload refused, and no audit log',
    'the configuration is invalid and the file of the log was replaced; the policy requires the log',
    file(d),
    {
      state: 'offline',
      exit: 2,
      codes: ['rule-audit'],
    },
  )
  rmSync(log, { recursive: true })
  renameSync(`${log}.aside`, log)
  await until(d, 'rule-audit', false)
  t.equal((await ask(d)).rcode, 0)
  await note('audit log is back', 'a gap is logged; the configuration is still invalid', file(d), {
    state: 'protected',
    exit: 0,
    codes: ['reload-refused'],
  })
  writeFileSync(join(d.dir, 'config.json'), config)
  d.kill('SIGHUP')
  await until(d, 'reload-refused', false)
  await ask(d)
  await note('reload accepted', 'the configuration was corrected', file(d), { state: 'protected', exit: 0 })
  t.match((await cli('audit', 'verify', '--dir', dirname(log))).stdout, /Internally consistent.*notes 1 gap/)
  const head = (await cli('audit', 'head', '--dir', dirname(log))).stdout.trim()
  const text = readFileSync(log, 'utf8')
  t.notMatch(text, /zone\.example|127\.0\.0\.1/, 'no query name, no address')
  const audit = async (what: string, made: string, exit: number, said: RegExp, ...args: string[]) => {
    const got = await cli('audit', 'verify', '--dir', dirname(log), ...args)
    addRow({ what, made, state: 'audit verify', signals: (said.exec(got.stdout)?.[0] ?? got.stdout).trim(), exit: got.code })
    t.equal(got.code, exit, what)
    t.match(got.stdout, said, what)
  }
  await audit('audit log as it was written', 'verified with a head that was kept elsewhere', 0, /Complete up to the head/, '--head', head)
  writeFileSync(log, text.replace('"to":"offline"', '"to":"protected"'))
  await audit('audit log edited', 'one word was changed', 1, /NOT consistent/)
  writeFileSync(log, text.split('\n').slice(0, -2).join('\n'))
  await audit('audit log cut off', 'the last entry was removed', 1, /NOT the log of that head/, '--head', head)
}

situations(import.meta.url, 'policyCompliance', { rules, audits })
