// `system disable` after another program has changed what `system enable` wrote. It runs in
// namespaces with a /run and a /var/lib of their own.
import { execFileSync } from 'node:child_process'
import { existsSync, lstatSync, readFileSync, readlinkSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { systemClock, systemRandom } from '../../../src/clock.ts'
import { systemCommand } from '../../../src/commands/system.ts'
import { newFile } from '../../../src/files/captured.ts'
import type { TakeoverHost } from '../../../src/system/takeover/backend.ts'
import { commit, makeChanges, recorded, writePending } from '../../../src/system/takeover/journal.ts'
import { insideNamespace, useNameserver } from '../../support/real/namespace.ts'

const FORMER = '/var/lib/enigm-dns-system/before'
const OLD = '# of the network\nsearch lab.test\nnameserver\t192.0.2.53\n'

if (insideNamespace(t, import.meta.url)) {
  for (const directory of ['/run', '/var/lib']) execFileSync('mount', ['-t', 'tmpfs', '-o', 'mode=755', 'tmpfs', directory])
  t.test('a dry run says what the run would keep, and changes nothing', (t) => dryRun(t))
  t.test('what a kept path held before is printed and copied', (t) => kept(t))
  t.test('a link, nothing, and a long text are not lost either', (t) => otherKinds(t))
  t.test('the service is stopped if another server on this host does not lead to it', (t) => judged(t))
}

/** The host. `arrives`: whether names reach this service; undefined: it cannot tell. */
function hostOf(arrives: boolean | undefined, ran: string[] = []): TakeoverHost {
  return {
    clock: systemClock(),
    random: systemRandom,
    program: ['/bin/false'],
    run: async (command, args) => {
      ran.push([command, ...args].join(' '))
      return { code: 1, stdout: '', stderr: '' }
    },
    detach() {},
    order: async (order) => {
      if (arrives === undefined) return undefined
      return order.startsWith('await') ? { name: 'a.test' } : { udp: arrives ? 1 : 0, tcp: 0 }
    },
    listens: () => [{ address: '127.0.0.55', port: 53 }],
    serviceUid: () => undefined,
    vpnInterfaces: async () => [],
    authenticated: () => undefined,
    ask: async () => new Uint8Array(),
    lookup: async () => {},
    step() {},
  }
}

async function system(words: string, host: TakeoverHost) {
  const said = { out: '', err: '', code: -1 }
  const world = {
    out: { write: (text: string) => (said.out += text) },
    err: { write: (text: string) => (said.err += text) },
    host: () => host,
    isRoot: () => true,
    isLinux: () => true,
    settings: async () => ({ enabled: false, vpnDns: 'leave' as const }),
    alive: () => () => {},
    exit: (code: number) => (said.code = code),
  }
  await systemCommand(world).parseAsync(words.split(' '), { from: 'user' })
  return said
}

/** Enables changes of these paths, and lets another program write all of them except the last. */
async function taken(paths: readonly string[]): Promise<void> {
  const planned = paths.map((path) => ({ path, ours: newFile('nameserver 127.0.0.55\n') }))
  const base = { version: 1, id: '1', switched: true, backend: 'file', owner: 'x', address: '127.0.0.55', vpnDns: 'leave' } as const
  const units = [{ name: 'enigm-dns.service', enabled: false, active: false }]
  const journal = { ...base, parts: [], ...recorded(planned), units, startedAt: '' }
  writePending(journal)
  makeChanges(journal, () => {})
  await commit(journal)
  for (const path of paths.slice(0, -1)) writeFileSync(path, 'nameserver 127.0.1.1\n')
}

async function dryRun(t: Test): Promise<void> {
  useNameserver(t, '192.0.2.54')
  const dir = t.testdir({ resolv: OLD, other: 'other\n' })
  const [resolv, other] = [join(dir, 'resolv'), join(dir, 'other')]
  await taken([resolv, other])
  const text = await system('disable --dry-run', hostOf(false))
  t.match(text.out, `restore ${other}\nkeep ${resolv}, because another program has changed it since\n`)
  t.notMatch(text.out, `restore ${resolv}`)
  const json = JSON.parse((await system('disable --dry-run --json', hostOf(false))).out)
  t.strictSame(json, {
    enabled: true,
    pending: false,
    files: [other],
    foreign: [resolv],
    former: [{ path: resolv, kind: 'file', text: OLD }],
  })
  t.notOk(existsSync(FORMER))
  const real = JSON.parse((await system('disable --json', hostOf(false))).out)
  t.strictSame(real.foreign, [resolv], 'as the dry run said')
  t.strictSame(real.former, [{ path: resolv, kind: 'file', text: OLD, copy: FORMER + resolv }])
  t.equal(readFileSync(other, 'utf8'), 'other\n')
  t.equal((await system('disable --dry-run', hostOf(false))).out, 'nothing is enabled\n')
}

async function kept(t: Test): Promise<void> {
  useNameserver(t, '192.0.2.54')
  const dir = t.testdir({ resolv: OLD, other: 'other\n' })
  const resolv = join(dir, 'resolv')
  await taken([resolv, join(dir, 'other')])
  const said = await system('disable', hostOf(false))
  t.equal(said.code, 0)
  t.equal(
    said.out,
    `disabled, but not everything is restored. Changed by another program since, and kept: ${resolv}
before "system enable" ${resolv} held:
    # of the network
    search lab.test
    nameserver 192.0.2.53
Its copy is ${FORMER}${resolv}
`,
  )
  t.equal(readFileSync(resolv, 'utf8'), 'nameserver 127.0.1.1\n')
  t.equal(readFileSync(FORMER + resolv, 'utf8'), OLD)
  t.equal(lstatSync(FORMER).mode & 0o777, 0o700)
  const again = await system('disable', hostOf(false))
  t.match(again, { code: 0, out: 'nothing is enabled: nothing was changed\n' })
  t.equal(readFileSync(FORMER + resolv, 'utf8'), OLD, 'the copy stays')
}

async function otherKinds(t: Test): Promise<void> {
  useNameserver(t, '192.0.2.54')
  const long = 'options debug\n'.repeat(21)
  const dir = t.testdir({ long, other: '', empty: '' })
  const [link, none, big, empty] = ['link', 'none', 'long', 'empty'].map((name) => join(dir, name)) as [string, string, string, string]
  symlinkSync('../run/resolv.conf', link)
  await taken([link, none, big, empty, join(dir, 'other')])
  rmSync(none)
  writeFileSync(none, 'new\n')
  const { out } = await system('disable', hostOf(false))
  t.match(out, `before "system enable" ${link} was a link to ../run/resolv.conf\nIts copy is ${FORMER}${link}\n`)
  t.match(out, `before "system enable" there was no ${none}\n`)
  t.match(out, `before "system enable" ${big} held more than fits here\nIts copy is ${FORMER}${big}\n`)
  t.match(out, `before "system enable" ${empty} was empty\n`)
  t.equal(readlinkSync(FORMER + link), '../run/resolv.conf')
  t.equal(readFileSync(FORMER + big, 'utf8'), long)
}

async function judged(t: Test): Promise<void> {
  const dir = t.testdir({})
  const paths = [join(dir, 'resolv'), join(dir, 'other')]
  const cases = [
    ['127.0.1.1', false, 'stopped'],
    ['127.0.1.1', true, 'goes on'],
    ['127.0.1.1', undefined, 'goes on'],
    ['127.0.0.55', false, 'goes on'],
    ['192.0.2.54', true, 'stopped'],
  ] as const
  for (const [server, arrives, wanted] of cases)
    await t.test(`resolv.conf names ${server}; names arrive: ${arrives}`, async (t) => {
      useNameserver(t, server)
      for (const path of paths) writeFileSync(path, OLD)
      await taken(paths)
      const ran: string[] = []
      const { code, err } = await system('disable', hostOf(arrives, ran))
      t.equal(code, wanted === 'stopped' ? 0 : 1)
      t.equal(/still uses this service/.test(err), wanted === 'goes on')
      t.equal(ran.includes('systemctl stop enigm-dns.service'), wanted === 'stopped')
    })
}
