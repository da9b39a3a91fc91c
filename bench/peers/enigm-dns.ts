import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { ROOT } from '../compiled.ts'
import { nodeWithQuic } from '../upstream/datagrams.ts'
import { type Peer, upstreamPort, type Wish } from './peer.ts'

/** The configuration that the targets are about: the defaults, but for the profile. */
export const OURS = 'enigm-dns'

/** Ours with the profile `jitter`. */
export const JITTERED = 'enigm-dns (jitter)'

/** Ours on a Node that has QUIC. */
export const NEWER = 'enigm-dns (Node 24)'

interface Variant extends Pick<Peer, 'id' | 'via' | 'only'> {
  readonly config: Readonly<Record<string, unknown>>
  /** The entry to run, made when it is asked for; default: that in dist/. */
  readonly program?: () => string
  /** The Node that runs it; default: this one. */
  readonly node?: () => string | undefined
}

const VARIANTS: readonly Variant[] = [
  { id: OURS, via: ['dot', 'doh', 'dnscrypt'], config: {} },
  { id: 'enigm-dns (dgram)', via: ['dot'], only: ['hits'], config: { udp: 'dgram' } },
  { id: JITTERED, via: ['dot'], only: ['misses'], config: { shaping: { profile: 'jitter' } } },
  { id: 'enigm-dns (node:http2)', via: ['doh'], only: ['misses', 'added'], config: {}, program: withNodeHttp2 },
  { id: NEWER, via: ['doq'], only: ['misses'], config: {}, node: nodeWithQuic },
  { id: 'enigm-dns (2 workers)', via: ['dot'], only: ['workers'], config: { workers: 2 } },
]

/** Ours, as built in dist/, in several configurations; the first is `OURS`. */
export function ours(version: string): readonly Peer[] {
  return VARIANTS.map(({ config, program = built, node = () => process.execPath, ...variant }) => ({
    ...variant,
    // Looked for when it is to be started: a download for nothing would be a pity.
    get tool() {
      return node() ?? process.execPath
    },
    caches: true,
    tcp: true,
    role: 'ours',
    version,
    launch: (wish) => ({
      args: [program(), 'run', '--config', join(wish.dir, 'config.json')],
      files: { 'config.json': JSON.stringify(configOf(wish, config)), 'resolvers.json': JSON.stringify(trustedOf(wish)) },
    }),
  }))
}

const built = () => join(ROOT, 'dist', 'main.js')

let bundled: string | undefined
/**
 * The program with the oracle of the tests in place of its own HTTP/2 client. Throws where it
 * cannot be bundled.
 */
function withNodeHttp2(): string {
  if (bundled !== undefined) return bundled
  const out = join(ROOT, 'build-bench', 'node-http2')
  const { status, stderr } = spawnSync(process.execPath, [join(ROOT, 'bench', 'peers', 'node-http2.mjs'), out], { encoding: 'utf8' })
  if (status !== 0) throw new Error(`no program with node:http2: ${stderr}`)
  bundled = join(out, 'main.js')
  return bundled
}

const configOf = ({ port, dir, cacheBytes, via }: Wish, over: Variant['config']) => ({
  shaping: { profile: 'off' },
  log: { level: 'warn' },
  ...over,
  listen: [`127.0.0.1:${port}`],
  resolvers: 'resolvers.json',
  transports: [via],
  ...(via === 'dnscrypt' ? { allowDnscryptCertificates: true } : {}),
  cache: { maxBytes: cacheBytes },
  statusFile: join(dir, 'status.json'),
  stateDir: join(dir, 'state'),
})

const placeOf = (upstream: Wish['upstream'], via: Wish['via']) => ({
  ...{ port: upstreamPort(upstream, via) },
  ...(via === 'doh' ? { path: '/dns-query' } : {}),
  ...(via === 'dnscrypt' ? upstream.dnscrypt : {}),
})

const trustedOf = ({ upstream, via }: Wish) => ({
  version: 1,
  resolvers: [
    {
      id: 'bench',
      authenticationDomainName: upstream.name,
      addresses: ['127.0.0.1'],
      transports: { [via]: placeOf(upstream, via) },
      caFile: upstream.caFile,
    },
  ],
})
