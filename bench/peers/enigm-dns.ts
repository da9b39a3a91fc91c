import { join } from 'node:path'
import { ROOT } from '../compiled.ts'
import { type Peer, upstreamPort, type Via, type Wish } from './peer.ts'

interface Variant {
  readonly id: string
  readonly via: readonly Via[]
  readonly caches: boolean
  readonly config: Readonly<Record<string, unknown>>
}

/** The configurations of ours that are measured; the first is the one that the targets are about. */
const VARIANTS: readonly Variant[] = [
  { id: 'enigm-dns', via: ['dot', 'doh'], caches: true, config: { dohClient: 'lean' } },
  { id: 'enigm-dns (dgram)', via: ['dot'], caches: true, config: { udp: 'dgram' } },
  { id: 'enigm-dns (jitter)', via: ['dot'], caches: false, config: { shaping: { profile: 'jitter' } } },
  { id: 'enigm-dns (node:http2)', via: ['doh'], caches: false, config: { dohClient: 'node' } },
]

/** Ours, as built in dist/, in several configurations. `caches: false` keeps one out of the hit cases, where it would be the first one again. */
export function ours(version: string): readonly Peer[] {
  return VARIANTS.map(({ id, via, caches, config }) => ({
    id,
    tool: process.execPath,
    via,
    caches,
    tcp: true,
    role: 'ours',
    version,
    launch: (wish) => ({
      args: [join(ROOT, 'dist', 'main.js'), 'run', '--config', join(wish.dir, 'config.json')],
      files: { 'config.json': JSON.stringify(configOf(wish, config)), 'resolvers.json': JSON.stringify(trustedOf(wish)) },
    }),
  }))
}

const configOf = ({ port, dir, cacheBytes, via }: Wish, over: Variant['config']) => ({
  shaping: { profile: 'off' },
  log: { level: 'warn' },
  ...over,
  listen: [`127.0.0.1:${port}`],
  resolvers: 'resolvers.json',
  transports: [via],
  cache: { maxBytes: cacheBytes },
  statusFile: join(dir, 'status.json'),
  stateDir: join(dir, 'state'),
})

const trustedOf = ({ upstream, via }: Wish) => ({
  version: 1,
  resolvers: [
    {
      id: 'bench',
      authenticationDomainName: upstream.name,
      addresses: ['127.0.0.1'],
      transports: { [via]: { port: upstreamPort(upstream, via), ...(via === 'doh' ? { path: '/dns-query' } : {}) } },
      caFile: upstream.caFile,
    },
  ],
})
