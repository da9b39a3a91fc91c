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
