import { fileURLToPath } from 'node:url'
import type { Peer } from './peer.ts'

/** What it is called in a report. */
export const ECHO = 'C echo'
/** The same of the programs on Node. */
export const BARE = 'bare Node'

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

/** A program on Node that does little; `source` of bench/floor. */
const bare = (source: string, only: Peer['only']): Peer => ({
  id: BARE,
  tool: process.execPath,
  via: ['dot'],
  caches: false,
  tcp: false,
  role: 'floor',
  ...(only === undefined ? {} : { only }),
  version: process.version,
  launch: ({ port, upstream: { dotPort, caFile, name } }) => ({
    args: [fileURLToPath(new URL(`../floor/${source}.js`, import.meta.url)), String(port), String(dotPort), caFile, name],
  }),
})

/** From exec to a first answer over DoT. */
export const bareStart = bare('bare-start', [])
/** A miss over DoT, without cache, rules, deadlines and checks. */
export const bareMiss = bare('bare-miss', ['misses'])
