/** A connection of a TCP client, as the budget sees it. */
export interface BudgetedConnection {
  /** As `clientOf` says. */
  readonly client: string
  /** Closing it costs the client nothing but a new connection. */
  readonly idle: boolean
  /** When the client last sent a whole query or took an answer (clock time). */
  readonly progressMs: number
  destroy(): void
}

/** The TCP connections that all listeners of the process may have, and who has them. */
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
 * Which of `connections` is closed for one more connection of `client`: one of the client that
 * holds the most, idle ones before others and the longest without progress first. Undefined:
 * `client` is itself among those that hold the most, and none of theirs is idle.
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

/** What needs descriptors beside clients. */
export interface DescriptorNeeds {
  readonly endpoints: number
  readonly resolvers: number
  readonly workers: number
}

/**
 * A link that is replaced has two connections for a while, and a dial races two addresses; more
 * resolvers than this are not dialled at once.
 */
const PER_RESOLVER = 4
const MOST_FOR_LINKS = 48
/** UDP and TCP socket of an endpoint. */
const PER_ENDPOINT = 2
/** A worker thread: its event loop (epoll, event, async wake-up) and its sockets. */
const PER_WORKER = 8
/**
 * The status file, interface lists, a connection that is accepted only to be closed, and what
 * nobody thought of.
 */
const SPARE = 6
/** Even where the sum does not come out: one client at a time can still use TCP. */
const LEAST = 1

/**
 * How many TCP clients may connect once links, listeners and files have theirs: clients must never
 * cost a link its socket, for then nobody is answered. Before anything is bound; `undefined`
 * descriptors (the system does not say): no bound but each listener's own.
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

/** A budget that no number of clients uses up. */
export function unlimitedConnections(): ConnectionBudget {
  return new ConnectionBudget(Number.MAX_SAFE_INTEGER)
}
