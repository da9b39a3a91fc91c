import { createHash, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { readdirSync } from 'node:fs'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { systemRandom } from '../../src/clock.ts'
import type { ListConfig } from '../../src/config/lists.ts'
import { createAuthority } from '../../src/demo/authority.ts'
import { nameFromText } from '../../src/dns/name.ts'
import { EnigmError } from '../../src/errors.ts'
import { Lists } from '../../src/lists/lists.ts'
import { ListsInForce } from '../../src/rules/lists-in-force.ts'
import { RulesVersion } from '../../src/rules-version.ts'
import { directoryOf } from '../support/directory.ts'
import { FakeClock } from '../support/fake-clock.ts'

t.setTimeout(120_000)
// The threads that read lists do not keep a process alive.
const alive = setInterval(() => {}, 1000)
t.teardown(() => clearInterval(alive))

const HOST = 'lists.test'
const DAY_MS = 24 * 3_600_000
const STEP_MS = 5000
const KEY_ID = Buffer.alloc(8, 7)

function signature(text: string, key: KeyObject): string {
  const made = sign(null, createHash('blake2b512').update(text).digest(), key)
  const global = sign(null, Buffer.concat([made, Buffer.from('file:ads.txt')]), key)
  const line = Buffer.concat([Buffer.from('ED'), KEY_ID, made]).toString('base64')
  return `untrusted comment: x\n${line}\ntrusted comment: file:ads.txt\n${global.toString('base64')}\n`
}

/** A server of one list, and the service's upkeep of it under a clock of the test. */
async function scene(t: Test, more: (key: string) => Partial<ListConfig>, others: readonly ListConfig[] = []) {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519')
  const raw = publicKey.export({ format: 'der', type: 'spki' }).subarray(-32)
  const key = Buffer.concat([Buffer.from('Ed'), KEY_ID, raw]).toString('base64')
  const authority = await createAuthority()
  const served = { text: 'one.example\n', signature: '', status: 200, location: '', requests: 0, type: 'text/plain' }
  const server = createServer(await authority.issue({ name: HOST }), (request, response) => {
    const etag = `"${createHash('sha256').update(served.text).digest('hex')}"`
    if (request.url?.endsWith('.minisig')) response.end(served.signature)
    else {
      served.requests++
      const headers = { etag, 'content-type': served.type, ...(served.location !== '' && { location: served.location }) }
      if (request.headers['if-none-match'] === etag && served.status === 200) response.writeHead(304).end()
      else response.writeHead(served.status, headers).end(served.text)
    }
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const clock = new FakeClock()
  const inForce = new ListsInForce(new RulesVersion())
  const stateDir = join(directoryOf(t), 'state')
  let refusal: EnigmError | undefined
  let lookups = 0
  const open = () =>
    new Lists({
      clock,
      random: systemRandom,
      emit() {},
      inForce,
      stateDir,
      ca: authority.certificate,
      lookup: async () => {
        lookups++
        return ['127.0.0.1']
      },
      refusal: () => refusal,
    })
  const url = `https://${HOST}:${(server.address() as AddressInfo).port}/ads.txt`
  const list: ListConfig = { id: 'ads', url, format: 'auto', action: 'block', ...more(key) }
  let lists = open()
  t.teardown(() => lists.stop())
  const until = async (what: string, is: () => boolean) => {
    for (const end = performance.now() + 20_000; !is(); await sleep(20)) {
      if (performance.now() > end) throw new Error(`${what}: ${JSON.stringify(lists.status())}`)
      await clock.advance(1)
    }
  }
  /**
   * Lets two days pass, in steps shorter than any limit of time, and waits really while something
   * is fetched and built: a clock that jumps meanwhile would end it as too slow.
   */
  const later = async (what: string, is: () => boolean) => {
    for (const endMs = clock.nowMs() + 2 * DAY_MS; !is() && clock.nowMs() < endMs; ) {
      const before = lookups
      await clock.advance(STEP_MS)
      if (lookups === before) continue
      for (const end = performance.now() + 10_000; performance.now() < end && !is(); await sleep(20)) await clock.advance(1)
    }
    if (!is()) throw new Error(`${what}: ${JSON.stringify(lists.status())}`)
  }
  return {
    served,
    later,
    clock,
    until,
    sign: (text: string, of = text) => {
      served.text = text
      served.signature = signature(of, privateKey)
    },
    start: () => lists.start({ lists: [...others, list], views: [] }),
    restart: () => {
      lists.stop()
      lists = open()
      return lists.start({ lists: [...others, list], views: [] })
    },
    refuse: (error: EnigmError | undefined) => {
      refusal = error
    },
    /** A copy is in force before it is on the disk. */
    isKept: () => readdirSync(stateDir, { recursive: true }).some((name) => String(name).endsWith('ads.json')),
    blocks: (name: string) => inForce.ofName(nameFromText(name), 0, 0) !== undefined,
    status: () => lists.status().at(-1),
    statuses: () => lists.status(),
  }
}

t.test('a damaged, foreign or redirected update changes nothing, and the next good one is taken', async (t) => {
  const s = await scene(t, (key) => ({ minisignKey: key }))
  s.sign('one.example\n')
  await s.start()
  t.equal(s.status()?.state, 'missing')
  await s.until('the first copy', () => s.status()?.state === 'in-force' && s.status()?.fault === undefined)
  t.ok(s.blocks('one.example'))
  const wrong = async (what: string, fault: RegExp, change: () => void) => {
    change()
    await s.later(what, () => fault.test(s.status()?.fault ?? ''))
    t.ok(s.blocks('one.example'), what)
    t.notOk(s.blocks('two.example'), what)
    Object.assign(s.served, { status: 200, location: '', type: 'text/plain' })
  }
  await wrong('tampered', /does not match/, () => s.sign('two.example\n', 'one.example\n'))
  await wrong('no signature', /minisign/, () => Object.assign(s.served, { text: 'two.example\n# 2', signature: 'none' }))
  await wrong('a web page', /web page/, () => Object.assign(s.served, { type: 'text/html' }))
  await wrong('to http', /not https/, () => Object.assign(s.served, { status: 302, location: `http://${HOST}/ads.txt` }))
  await wrong('gone', /status 410/, () => Object.assign(s.served, { status: 410 }))
  await wrong('signed, but no list', /NUL/, () => s.sign('two.example\n\0'))
  await wrong('signed, but empty', /it is empty .* but it had rules before/, () => s.sign(''))
  await wrong('signed, but comments only', /it is empty .* but it had rules before/, () => s.sign('# two.example\n'))
  s.sign('two.example\n')
  await s.later('the good one', () => s.blocks('two.example'))
  t.notOk(s.blocks('one.example'))
  await s.until('no fault', () => s.status()?.fault === undefined)
})

t.test('after a restart the kept copy is in force at once, its signature is checked, and it is not fetched again that day', async (t) => {
  const s = await scene(t, (key) => ({ minisignKey: key }))
  s.sign('one.example\n')
  await s.start()
  await s.until('the first copy', () => s.blocks('one.example') && s.status()?.state === 'in-force' && s.isKept())
  const before = s.served.requests
  await s.restart()
  t.ok(s.blocks('one.example'))
  await s.clock.advance(3_600_000)
  await sleep(100)
  t.equal(s.served.requests, before)
  await s.later('a look for changes', () => s.served.requests > before)
})

t.test('nothing is fetched while the policy lets nothing out', async (t) => {
  const s = await scene(t, () => ({}))
  s.refuse(new EnigmError('vpn-required', 'The policy requires a VPN.'))
  await s.start()
  await s.until('the reason', () => /VPN/.test(s.status()?.fault ?? ''))
  t.equal(s.served.requests, 0)
  s.refuse(undefined)
  await s.later('the list', () => s.blocks('one.example'))
})

t.test('a list whose SHA-256 is another one is not used', async (t) => {
  const s = await scene(t, () => ({ sha256: createHash('sha256').update('two.example\n').digest('hex') }))
  await s.start()
  await s.until('the fault', () => /SHA-256/.test(s.status()?.fault ?? ''))
  t.notOk(s.blocks('one.example'))
  s.served.text = 'two.example\n'
  await s.later('the right one', () => s.blocks('two.example'))
})

t.test('a list that cannot be used stops no other one from its first fetch, and is blamed itself', async (t) => {
  const s = await scene(t, () => ({}), [{ id: 'bad', file: join(directoryOf(t), 'missing'), format: 'auto', action: 'block' }])
  await s.start()
  await s.until('the list', () => s.blocks('one.example') && s.status()?.state === 'in-force')
  await s.until('the end of the fetch', () => s.status()?.fault === undefined)
  t.match(s.statuses()[0], { id: 'bad', state: 'missing', fault: /does not exist/ })
})
