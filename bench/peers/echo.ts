import { fileURLToPath } from 'node:url'
import type { Peer } from './peer.ts'

/** What it is called in a report. */
export const ECHO = 'C echo'

/**
 * The echo in C, where it could be compiled to `program`: it answers whatever it is asked with the
 * question.
 */
export const echo = (program: string): Peer => ({
  id: ECHO,
  tool: program,
  via: ['do53'],
  caches: true,
  tcp: false,
  role: 'floor',
  version: 'recvmmsg/sendmmsg',
  launch: ({ port }) => ({ args: [String(port)] }),
})

/**
 * What Node itself takes for a miss over DoT: the batched listener and a TLS connection, without
 * cache, rules, deadlines and checks.
 */
export const bareMiss: Peer = {
  id: 'bare Node',
  tool: process.execPath,
  via: ['dot'],
  caches: false,
  tcp: false,
  role: 'floor',
  only: ['misses'],
  version: process.version,
  launch: ({ port, upstream }) => ({
    args: [
      fileURLToPath(new URL('../floor/bare-miss.js', import.meta.url)),
      String(port),
      String(upstream.dotPort),
      upstream.caFile,
      upstream.name,
    ],
  }),
}
