// The rules that keep other programs from asking past the service: real nftables, real programs, in
// network namespaces; what leaves is captured.
import { execFile, execFileSync, spawn } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { TakeoverHost } from '../../../src/system/takeover/backend.ts'
import { type EnforceHost, enforce, rejectedByPort } from '../../../src/system/takeover/enforce.ts'
import type { Journal } from '../../../src/system/takeover/journal.ts'
import { startCapture } from '../../support/real/capture.ts'
import { HOTEL, startHotel } from '../../support/real/hotel.ts'
import { insideNamespace } from '../../support/real/namespace.ts'
import { requireThat, requireTool } from '../../support/real/tools.ts'
import { addressRecord, replyTo } from '../../support/replies.ts'

t.setTimeout(120_000)

const SERVICE = 61234
const SOMEBODY = 61235
const LEAVE = { vpnDns: 'leave', address: '127.0.0.1' } as const
type Request = { readonly vpnDns: 'leave' | 'override' }
const ip = (...args: string[]) => execFileSync('ip', args, { stdio: 'pipe' })
const nft = (...args: string[]) => execFileSync('nft', args, { encoding: 'utf8' })

const run: EnforceHost['run'] = (command, args) =>
  new Promise((resolve) => {
    const child = execFile(command, args, (error, stdout, stderr) => {
      resolve({ code: error !== null && error.code === 'ENOENT' ? 127 : (child.exitCode ?? -1), stdout, stderr })
    })
  })
const host = (uid: number | 'none' = SERVICE, vpn: readonly string[] = []): TakeoverHost =>
  ({
    ...{ run, program: ['/usr/bin/enigm-dns'], vpnInterfaces: async () => vpn },
    serviceUid: () => (uid === 'none' ? undefined : uid),
  }) satisfies EnforceHost as unknown as TakeoverHost
const applyEnforce = (on: TakeoverHost, request: Request) => enforce.apply(on, request as Journal)
const enforceFaults = (on: TakeoverHost, request: Request) => enforce.verify(on, request as Journal)
const planEnforce = (on: TakeoverHost, request: Request) => enforce.plan(on, { ...LEAVE, ...request })
const revertEnforce = (on: TakeoverHost) => enforce.revert(on, LEAVE as unknown as Journal)

/**
 * A packet of a user to a port, over UDP or TCP: what came of it within 700 ms, and after how long.
 */
const SENDER = `
const [over, address, port] = process.argv.slice(1)
const began = performance.now()
const end = (what) => { console.log(JSON.stringify({ what, ms: performance.now() - began })); process.exit() }
setTimeout(() => end('silence'), 700)
if (over === 'tcp') {
  const socket = require('net').connect(Number(port), address, () => end('connected'))
  socket.on('error', ({ code }) => end(code))
} else {
  const socket = require('dgram').createSocket(address.includes(':') ? 'udp6' : 'udp4')
  socket.on('error', ({ code }) => end(code)).on('message', () => end('answered'))
  const query = Buffer.from('0001010000010000000000000161076578616d706c650000010001', 'hex')
  socket.connect(Number(port), address, () => socket.send(query, (error) => error && end(error.code)))
}`

async function send(uid: number, over: 'udp' | 'tcp', address: string, port: number): Promise<{ what: string; ms: number }> {
  // `env -i`: with tap's variables it would end with a report that this user cannot write.
  const command = ['-i', process.execPath, '-e', SENDER, over, address, String(port)]
  const child = spawn('env', command, { uid, stdio: ['ignore', 'pipe', 'inherit'] })
  const [said] = (await once(child.stdout, 'data')) as [Buffer]
  await once(child, 'exit')
  return JSON.parse(said.toString()) as { what: string; ms: number }
}

/** A stub on 127.0.0.1:53 that answers every name with 192.0.2.1. */
async function stub(t: Test) {
  const socket = createSocket('udp4', (query, from) => socket.send(replyTo(query, [addressRecord()]), from.port, from.address))
  socket.bind(53, '127.0.0.1')
  await once(socket, 'listening')
  t.teardown(() => socket.close())
}

if (requireTool(t, 'nft', 'tcpdump', 'tshark') && insideNamespace(t, import.meta.url)) {
  for (const dir of ['/run']) if (existsSync(dir)) execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', dir])
  const hotel = await startHotel({ chain: [] })
  t.teardown(() => hotel.stop())
  ip('addr', 'add', 'fd07::2/64', 'dev', 'wlan0', 'nodad')
  ip('-n', 'hotel', 'addr', 'add', 'fd07::1/64', 'dev', 'guests', 'nodad')
  nft('add', 'table', 'inet', 'somebody')
  nft('add', 'chain', 'inet', 'somebody', 'out', '{ type filter hook output priority 10; policy accept; }')
  const before = nft('list', 'ruleset')

  t.test('queries that bypass the service are rejected at once and counted by port; the service and this host are not', async (t) => {
    await stub(t)
    t.match(await send(SOMEBODY, 'udp', HOTEL, 53), { what: 'answered' }, 'before')
    const plan = await planEnforce(host(), LEAVE)
    t.equal(nft('list', 'ruleset'), before, 'a plan changes nothing')
    t.match(plan.notes.join('\n'), /ports 53 and 853[\s\S]*user 61234[\s\S]*VPNs may/)
    await applyEnforce(host(), LEAVE)
    t.strictSame(await enforceFaults(host(), LEAVE), [])
    t.strictSame(await rejectedByPort(host()), { 53: 0, 853: 0 })

    const capture = await startCapture('(port 53 or port 853)', 'any')
    t.teardown(() => capture.remove())
    for (const address of [HOTEL, 'fd07::1'])
      for (const over of ['udp', 'tcp'] as const)
        for (const port of [53, 853])
          for (const uid of [SOMEBODY, 0]) {
            const { what, ms } = await send(uid, over, address, port)
            // Linux tells a sender of UDP by EPERM, and then by an ICMP error.
            t.match(what, /^(ECONNREFUSED|EPERM)$/, `${over} to ${address} port ${port} by ${uid}`)
            t.ok(ms < 500, `after ${ms} ms`)
          }
    t.strictSame(await rejectedByPort(host()), { 53: 8, 853: 8 })
    t.match(await send(SOMEBODY, 'udp', '127.0.0.1', 53), { what: 'answered' }, 'the stub is asked as ever')
    t.match(await send(SERVICE, 'udp', HOTEL, 53), { what: 'answered' }, 'the service may')
    t.match(await send(SOMEBODY, 'tcp', HOTEL, 80), { what: 'connected' }, 'other ports are nobody’s concern')
    t.strictSame(await rejectedByPort(host()), { 53: 8, 853: 8 })
    await capture.stop()
    const left = 'ip.dst == 10.7.0.1 || ipv6.dst == fd07::1'
    t.equal(capture.count(left), 1, 'the one packet of the service, and no other')
    t.equal(hotel.asked.length, 2, 'one before, and one of the service')
    t.notMatch(nft('list', 'ruleset'), /example/)

    await revertEnforce(host())
    t.equal(nft('list', 'ruleset'), before, 'nothing of it is left, and nothing of others has changed')
    t.match(await send(SOMEBODY, 'udp', HOTEL, 53), { what: 'answered' })
    t.equal(await rejectedByPort(host()), undefined)
    await revertEnforce(host())
  })

  t.test('programs fall back to the system’s resolver at once', async (t) => {
    await stub(t)
    const file = join(t.testdir(), 'resolv.conf')
    writeFileSync(file, `nameserver ${HOTEL}\nnameserver 127.0.0.1\n`)
    execFileSync('mount', ['--bind', file, '/etc/resolv.conf'])
    t.teardown(() => execFileSync('umount', ['/etc/resolv.conf']))
    await applyEnforce(host(), LEAVE)
    t.teardown(() => revertEnforce(host()))
    const beganMs = performance.now()
    t.match(await run('getent', ['ahostsv4', 'www.fallback.example']), { code: 0, stdout: /^192\.0\.2\.1 / })
    t.ok(performance.now() - beganMs < 1500)
  })

  t.test('VPNs: a tunnel is left alone unless vpnDns is override; other links if they are named', async (t) => {
    const hasTun = existsSync('/dev/net/tun')
    if (!requireThat(t, hasTun ? undefined : 'needs /dev/net/tun')) return
    ip('tuntap', 'add', 'tun7', 'mode', 'tun')
    ip('addr', 'add', '10.8.0.2/24', 'dev', 'tun7')
    ip('link', 'set', 'tun7', 'up')
    t.teardown(() => ip('link', 'del', 'tun7'))
    t.teardown(() => revertEnforce(host()))
    const outcome = async (address: string) => {
      const was = (await rejectedByPort(host()))?.['53'] ?? 0
      await send(SOMEBODY, 'udp', address, 53)
      return (await rejectedByPort(host()))?.['53'] === was ? 'passes' : 'rejected'
    }
    await applyEnforce(host(), LEAVE)
    t.equal(await outcome('10.8.0.1'), 'passes')
    t.equal(await outcome(HOTEL), 'rejected')
    const override = { vpnDns: 'override' } as const
    const named = host(SERVICE, ['wlan0', 'later0'])
    t.strictSame(await enforceFaults(named, override), ['The rules of the table inet enigm_dns were changed.'])
    await applyEnforce(named, override)
    t.strictSame(await enforceFaults(named, override), [])
    t.equal(await outcome('10.8.0.1'), 'rejected')
    t.equal(await outcome(HOTEL), 'rejected', 'under override no name helps')
    await applyEnforce(named, LEAVE)
    t.equal(await outcome(HOTEL), 'passes')
  })

  t.test('changes of others in it are noticed, and repaired', async (t) => {
    t.teardown(() => revertEnforce(host()))
    t.strictSame(await enforceFaults(host(), LEAVE), ['The table inet enigm_dns of nftables is not there.'])
    const spoil = [
      ['flush', 'table', 'inet', 'enigm_dns'],
      ['insert', 'rule', 'inet', 'enigm_dns', 'output', 'accept'],
      ['add', 'chain', 'inet', 'enigm_dns', 'output', '{ policy drop; }'],
      ['delete', 'table', 'inet', 'enigm_dns'],
    ]
    for (const args of spoil) {
      await applyEnforce(host(), LEAVE)
      nft(...args)
      t.equal((await enforceFaults(host(), LEAVE)).length, 1, args.join(' '))
      await applyEnforce(host(), LEAVE)
      t.strictSame(await enforceFaults(host(), LEAVE), [])
    }
    t.match(await enforceFaults(host(SERVICE + 5), LEAVE), [/let another user through/], 'the service has another user now')
    await applyEnforce(host(SERVICE + 5), LEAVE)
    t.strictSame(await enforceFaults(host(SERVICE + 5), LEAVE), [])
    await send(SOMEBODY, 'udp', HOTEL, 53)
    await applyEnforce(host(SERVICE + 5), LEAVE)
    t.match(await rejectedByPort(host()), { 53: 1 }, 'what is right is left alone: counts go on')
    t.match(await enforceFaults(host('none'), LEAVE), [/does not run/])
  })

  t.test('refused with nothing changed: a service of root, no nftables, a table of another program', async (t) => {
    await t.rejects(planEnforce(host(0), LEAVE), { code: 'state', message: /runs as root/ })
    await t.rejects(applyEnforce(host(0), LEAVE), { code: 'state' })
    await t.rejects(applyEnforce(host('none'), LEAVE), { code: 'state', message: /does not run/ })
    const without = { ...host(), run: async () => ({ code: 127, stdout: '', stderr: '' }) }
    await t.rejects(planEnforce(without, LEAVE), { code: 'state', message: /apt install nftables/ })
    await t.rejects(planEnforce(host(SERVICE, ['a name that is too long for a link']), LEAVE), { code: 'state' })
    t.equal(nft('list', 'ruleset'), before)
    nft('add', 'table', 'inet', 'enigm_dns')
    nft('add', 'chain', 'inet', 'enigm_dns', 'theirs')
    t.teardown(() => nft('delete', 'table', 'inet', 'enigm_dns'))
    const foreign = nft('list', 'ruleset')
    await t.rejects(planEnforce(host(), LEAVE), { code: 'state', message: /another program/ })
    await revertEnforce(host())
    t.equal(nft('list', 'ruleset'), foreign)
  })
}
