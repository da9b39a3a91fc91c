import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { dnscryptConfig, dnscryptKey } from '../../test/support/real/dnsdist.ts'
import { freePort } from '../../test/support/real/server-process.ts'
import { CORE, end, newPlace, pathOf, start } from '../children.ts'
import { type CountingUpstream, listening } from './upstream.ts'

/** Where DNSCrypt is offered. The key of the provider in hexadecimal. */
export interface DnscryptPlace {
  readonly port: number
  readonly providerName: string
  readonly publicKey: string
}

/** An upstream with one more transport, until `stop`. */
export interface Extended {
  readonly upstream: CountingUpstream
  stop(): Promise<void>
}

const PROVIDER = '2.dnscrypt-cert.bench.example'

/** DNSCrypt by dnsdist before the upstream, on the core of the load. */
export async function withDnscrypt(upstream: CountingUpstream): Promise<Extended> {
  const dnsdist = pathOf('dnsdist')
  if (dnsdist === undefined) throw new Error('no server for DNSCrypt: apt-get install dnsdist')
  const dir = newPlace('dnscrypt')
  const port = await freePort()
  const place = { dir, port, provider: PROVIDER, plainPort: await freePort(), behindPort: upstream.dnsPort }
  writeFileSync(join(dir, 'dnsdist.conf'), dnscryptConfig(place))
  const child = start(CORE.load, dnsdist, ['--supervised', '--disable-syslog', '-C', join(dir, 'dnsdist.conf')])
  await listening(child, /as 'up'/)
  const dnscrypt = { port, providerName: PROVIDER, publicKey: dnscryptKey(dir) }
  return { upstream: { ...upstream, dnscrypt }, stop: () => end(child) }
}

/** The compiler rewrites imports, but not URLs. */
const DOQ_SERVER = fileURLToPath(new URL(import.meta.url.endsWith('.ts') ? './doq-server.ts' : './doq-server.js', import.meta.url))

/**
 * DNS over QUIC by the server side of OpenSSL in a newer Node, in place of the upstream: it gives
 * the same answers. It looks for datagrams once in a millisecond, so that latencies say nothing.
 */
export async function withDoq(upstream: CountingUpstream): Promise<Extended> {
  const node = nodeWithQuic()
  if (node === undefined) throw new Error('no server for DoQ: it needs Node 24, from npx -y node@24 or as ENIGM_DNS_NODE24')
  const child = start(CORE.load, node, [DOQ_SERVER], { env: { ...process.env, IDENTITY: JSON.stringify(upstream.identity) } })
  let said = ''
  child.stdout?.on('data', (chunk: Buffer) => {
    said += chunk.toString()
  })
  await listening(child, /port \d+\n/)
  return { upstream: { ...upstream, doqPort: Number(/port (\d+)/.exec(said)?.[1]) }, stop: () => end(child) }
}

let found: { readonly path: string | undefined } | undefined

/** A Node whose OpenSSL has QUIC; undefined: there is none here. */
export function nodeWithQuic(): string | undefined {
  found ??= { path: lookFor() }
  return found.path
}

function lookFor(): string | undefined {
  if (Number(process.versions.node.split('.')[0]) >= 24) return process.execPath
  if (process.env.ENIGM_DNS_NODE24 !== undefined) return process.env.ENIGM_DNS_NODE24
  const { stdout } = spawnSync('npx', ['-y', 'node@24', '-p', 'process.execPath'], { encoding: 'utf8', timeout: 120_000, cwd: '/' })
  const path = stdout.trim()
  return path === '' ? undefined : path
}
