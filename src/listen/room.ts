/** TCP connections that may still be taken up, over all listeners of the process. */
export interface Room {
  readonly size: number
  left: number
}

/** What needs descriptors beside clients. */
export interface Needs {
  readonly endpoints: number
  readonly resolvers: number
  readonly workers: number
}

/** A link that is replaced has two connections for a while, and a dial races two addresses; more resolvers than this are not dialled at once. */
const PER_RESOLVER = 4
const MOST_FOR_LINKS = 48
/** UDP and TCP socket of an endpoint. */
const PER_ENDPOINT = 2
/** A worker thread: its event loop (epoll, event, async wake-up) and its sockets. */
const PER_WORKER = 8
/** The status file, interface lists, a connection that is accepted only to be closed, and what nobody thought of. */
const SPARE = 6
/** Even where the sum does not come out: one client at a time can still use TCP. */
const LEAST = 1

/**
 * How many TCP clients there is room for once links, listeners and files have theirs: clients must never cost a link its socket, for then nobody is answered.
 * Before anything is bound; `undefined` descriptors (the system does not say): no bound but each listener's own.
 */
export function roomForClients(descriptors: { readonly limit: number; readonly open: number } | undefined, needs: Needs): Room {
  if (descriptors === undefined) return roomWithoutEnd()
  const links = Math.min(MOST_FOR_LINKS, PER_RESOLVER * needs.resolvers, Math.floor(descriptors.limit / 4))
  const ours = links + PER_ENDPOINT * needs.endpoints + PER_WORKER * (needs.workers - 1) + SPARE
  const size = Math.max(LEAST, descriptors.limit - descriptors.open - ours)
  return { size, left: size }
}

/** Room that no number of clients takes up. */
export function roomWithoutEnd(): Room {
  return { size: Number.MAX_SAFE_INTEGER, left: Number.MAX_SAFE_INTEGER }
}
