import type { Upstream } from '../upstream/upstream.ts'

/** How a server reaches the upstream. */
export type Via = 'do53' | 'dot' | 'doh' | 'doq' | 'dnscrypt'

/** Cases that the same servers take part in. */
export type Group = 'hits' | 'tcp' | 'misses' | 'added' | 'growth' | 'start' | 'workers'

/**
 * What a server under test is to be: a forwarder to `upstream` on 127.0.0.1:`port`, one thread, a
 * cache of `entries` answers and no more than `cacheBytes`.
 */
export interface Wish {
  readonly via: Via
  readonly port: number
  /** An empty directory, its own. */
  readonly dir: string
  readonly upstream: Upstream
  readonly entries: number
  readonly cacheBytes: number
}

/** A program to start. `files` are written into the wish's directory first. */
export interface Launch {
  readonly args: readonly string[]
  readonly files?: Readonly<Record<string, string>>
  readonly env?: Readonly<Record<string, string>>
}

/** A server that can be measured. */
export interface Peer {
  readonly id: string
  /** The program, looked for on PATH and in the sbin directories; or its absolute path. */
  readonly tool: string
  readonly via: readonly Via[]
  /** Keeps answers: takes part in the hit cases. */
  readonly caches: boolean
  /** Answers over TCP too. */
  readonly tcp: boolean
  /**
   * `ours`: what is measured; `peer`: what it is measured against; `floor`: what no server can be
   * below.
   */
  readonly role: 'ours' | 'peer' | 'floor'
  /** The groups of cases that it is in; unsaid: all that it is able to be in. */
  readonly only?: readonly Group[]
  /** What makes it tell its version, and where in the answer it stands. */
  readonly version: { readonly args: readonly string[]; readonly pattern: RegExp } | string
  launch(wish: Wish): Launch
}

/** Which port of the upstream serves `via`. */
export function upstreamPort(upstream: Upstream, via: Via): number {
  const { dnsPort: do53, dotPort: dot, dohPort: doh, doqPort: doq, dnscrypt } = upstream
  const port = { do53, dot, doh, doq, dnscrypt: dnscrypt?.port }[via]
  if (port === undefined) throw new Error(`the upstream does not speak ${via}`)
  return port
}
