import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createAuthority } from '../../src/demo/authority.ts'
import { freePort } from '../../test/support/real/server-process.ts'
import { unboundArgs, unboundConfig } from '../../test/support/real/unbound.ts'
import { CORE, newPlace, pathOf, start } from '../children.ts'
import { compile } from '../compiled.ts'
import { ask } from '../load/ask.ts'
import { costOf } from '../load/process-cost.ts'
import type { DnscryptPlace } from './datagrams.ts'

/** What every server under test asks. */
export interface Upstream {
  /** The program behind it: ours in C, or unbound where that cannot be compiled. */
  readonly kind: 'answer.c' | 'unbound'
  readonly dnsPort: number
  readonly dotPort: number
  readonly dohPort: number
  /** Of the server before it that speaks DNS over QUIC; absent: it was not started (datagrams.ts). */
  readonly doqPort?: number
  /** The same for DNSCrypt. */
  readonly dnscrypt?: DnscryptPlace
  /** The authentication domain name in its certificate; 127.0.0.1 is in it too. */
  readonly name: string
  readonly caFile: string
  readonly ca: string
  /** CPU that it has used. */
  cpuNs(): number
}

/** One that can be asked how much it was asked. */
export interface CountingUpstream extends Upstream {
  /** PEM of its certificate and of its key. */
  readonly identity: { readonly cert: string; readonly key: string }
  /** Queries that it has answered; undefined where it does not count them. */
  asked(): Promise<number | undefined>
}

/** The A record of every name below bench.example. */
export const ADDRESS = '192.0.2.53'
const NAME = 'resolver.bench.example'

/** Starts it on the core of the load, and waits until it listens. */
export async function startUpstream(): Promise<CountingUpstream> {
  const dir = newPlace('upstream')
  const authority = await createAuthority()
  const identity = await authority.issue({ name: NAME, alsoNames: ['127.0.0.1'] })
  const files = { 'ca.pem': authority.certificate, 'cert.pem': identity.cert, 'key.pem': identity.key }
  for (const [name, text] of Object.entries(files)) writeFileSync(join(dir, name), text, { mode: 0o600 })
  const upstream = {
    dnsPort: await freePort(),
    dotPort: await freePort(),
    dohPort: await freePort(),
    name: NAME,
    caFile: join(dir, 'ca.pem'),
    ca: authority.certificate,
    identity,
  }
  const program = compile(dir, 'upstream/answer.c', ['ssl', 'crypto'])
  if (program !== undefined) {
    const ports = [upstream.dnsPort, upstream.dotPort, upstream.dohPort].map(String)
    const child = start(CORE.load, program, [...ports, join(dir, 'cert.pem'), join(dir, 'key.pem')])
    await listening(child, /ready/)
    return { kind: 'answer.c', ...upstream, cpuNs: () => costOf(child.pid ?? 0).cpuNs, asked: () => counted(upstream.dnsPort) }
  }
  const unbound = pathOf('unbound')
  if (unbound === undefined) throw new Error('no upstream: a C compiler with OpenSSL headers (libssl-dev) is needed, or unbound')
  writeFileSync(join(dir, 'unbound.conf'), unboundConfig({ dir, port: upstream.dnsPort, encrypted: upstream, server: ZONES }))
  const child = start(CORE.load, unbound, unboundArgs(dir))
  await listening(child, /start of service/)
  return { kind: 'unbound', ...upstream, cpuNs: () => costOf(child.pid ?? 0).cpuNs, asked: async () => undefined }
}

/** The count, which answer.c gives as an address. */
async function counted(port: number): Promise<number | undefined> {
  const [address] = (await ask(port, 'asked.bench.example', 5000))?.addresses ?? []
  return address?.split('.').reduce((sum, octet) => sum * 256 + Number(octet), 0)
}

const LISTENING_WITHIN_MS = 20_000

/**
 * Resolves once `child` has said `sign`. Rejects with what it said if it ends before, or says
 * something else for 20 s.
 */
export function listening(child: ReturnType<typeof start>, sign: RegExp): Promise<void> {
  return new Promise((resolve, reject) => {
    let said = ''
    const late = setTimeout(() => reject(new Error(`the upstream is not ready: ${said}`)), LISTENING_WITHIN_MS)
    late.unref()
    for (const stream of [child.stdout, child.stderr])
      stream?.on('data', (chunk: Buffer) => {
        said = (said + chunk.toString()).slice(-2000)
        if (!sign.test(said)) return
        clearTimeout(late)
        resolve()
      })
    child.once('error', reject)
    child.once('exit', () => reject(new Error(`the upstream ended: ${said}`)))
  })
}

/** Every name below bench.example has ADDRESS; names below nx.bench.example do not exist. */
const ZONES = [
  'verbosity: 1',
  'local-zone: "bench.example." redirect',
  `local-data: "bench.example. 3600 IN A ${ADDRESS}"`,
  'local-zone: "nx.bench.example." static',
  'local-data: "nx.bench.example. 3600 IN SOA ns.bench.example. hostmaster.bench.example. 1 2 3 4 300"',
]
