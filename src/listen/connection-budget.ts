/** A connection of a TCP client, as far as the budget needs it. */
export interface BudgetedConnection {
  /** The result of `clientOf`. */
  readonly client: string
  /** If true, the client loses nothing by a close and only has to connect again. */
  readonly idle: boolean
  /** When the client last sent a complete query or accepted an answer (clock time). */
  readonly progressMs: number
  destroy(): void
}

/**
 * The limit of TCP connections for all listeners of the process, and the clients that hold them.
 */
export class ConnectionBudget {
  readonly size: number
  readonly #connections = new Set<BudgetedConnection>()

  constructor(size: number) {
    this.size = size
  }

  get left(): number {
    return this.size - this.#connections.size
  }
  get connections(): Iterable<BudgetedConnection> {
    return this.#connections
  }

  add(connection: BudgetedConnection): void {
    this.#connections.add(connection)
  }

  remove(connection: BudgetedConnection): void {
    this.#connections.delete(connection)
  }
}

/**
 * Which of `connections` is closed to make room for one more connection of `client`: one of the
 * client that holds the most, idle ones first, and of those the one with the longest time without
 * progress. Undefined if `client` itself is among those that hold the most, and none of its
 * connections is idle.
 */
export function connectionToClose(connections: Iterable<BudgetedConnection>, client: string): BudgetedConnection | undefined {
  const all = [...connections]
  const counts = new Map<string, number>()
  for (const one of all) counts.set(one.client, (counts.get(one.client) ?? 0) + 1)
  const most = Math.max(0, ...counts.values())
  const lighter = (counts.get(client) ?? 0) < most
  let first: BudgetedConnection | undefined
  for (const one of all) {
    if (counts.get(one.client) !== most || !(one.idle || lighter)) continue
    if (first === undefined || (one.idle === first.idle ? one.progressMs < first.progressMs : one.idle)) first = one
  }
  return first
}

/** The needs for descriptors besides those of clients. */
export interface DescriptorNeeds {
  readonly endpoints: number
  readonly resolvers: number
  readonly workers: number
}

/**
 * A link that is replaced has two connections for a while, and a dial races two addresses; a larger
 * number of resolvers is not dialled at once.
 */
const PER_RESOLVER = 4
const MOST_FOR_LINKS = 48
/** UDP and TCP socket of an endpoint. */
const PER_ENDPOINT = 2
/** A worker thread: its event loop (epoll, event, async wake-up) and its sockets. */
const PER_WORKER = 8
/**
 * The status file, interface lists, a connection that is accepted only to be closed, and a reserve.
 */
const SPARE = 6
/**
 * The minimum, even if there are not enough descriptors: one client at a time can still use TCP.
 */
const LEAST = 1

/**
 * How many TCP clients may connect after links, listeners and files have their descriptors. Clients
 * must never cost a link its socket, because then no client gets an answer. Computed before any
 * socket is bound. `undefined` descriptors (the system does not report a limit): only each
 * listener's own limit applies.
 */
export function clientConnectionBudget(
  descriptors: { readonly limit: number; readonly open: number } | undefined,
  needs: DescriptorNeeds,
): ConnectionBudget {
  if (descriptors === undefined) return unlimitedConnections()
  const links = Math.min(MOST_FOR_LINKS, PER_RESOLVER * needs.resolvers, Math.floor(descriptors.limit / 4))
  const ours = links + PER_ENDPOINT * needs.endpoints + PER_WORKER * (needs.workers - 1) + SPARE
  const size = Math.max(LEAST, descriptors.limit - descriptors.open - ours)
  return new ConnectionBudget(size)
}

/** A budget without a limit. */
export function unlimitedConnections(): ConnectionBudget {
  return new ConnectionBudget(Number.MAX_SAFE_INTEGER)
}
