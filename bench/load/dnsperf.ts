import { CORE, output, pathOf } from '../children.ts'

/** A load: what is asked, how many are in flight, for how long. */
export interface Load {
  readonly port: number
  readonly file: string
  readonly inFlight: number
  /** Queries a second at most; default as fast as they are answered. */
  readonly perS?: number
  readonly seconds: number
  /** Sockets; default 32, or as many as are in flight. */
  readonly clients?: number
  readonly mode?: 'udp' | 'tcp' | 'dot'
  /** With as many threads, on the cores that are for them. */
  readonly threads?: number
  /** Through the file once at most. */
  readonly once?: boolean
}

/** What came back. */
export interface Outcome {
  readonly sent: number
  readonly completed: number
  readonly lost: number
  readonly queriesPerS: number
  readonly meanUs: number
  /** Completed with any other RCODE than NOERROR. */
  readonly failed: number
}

/** Whether the load generator is here. */
export const hasDnsperf = () => pathOf('dnsperf') !== undefined

/** Runs dnsperf, on the core of the load. A query unanswered for a second is lost. */
export async function dnsperf(load: Load): Promise<Outcome> {
  const { inFlight, clients = Math.min(32, inFlight), mode = 'udp', threads = 1 } = load
  const args = ['-s', '127.0.0.1', '-p', String(load.port), '-d', load.file, '-q', String(inFlight), '-l', String(load.seconds)]
  args.push('-c', String(clients), '-T', String(threads), '-m', mode, '-t', '1', '-b', '4096')
  if (load.perS !== undefined) args.push('-Q', String(load.perS))
  args.push('-O', 'suppress=timeouts,congestion,sendfailed,sockready', ...(load.once ? ['-n', '1'] : []))
  return outcomeOf(await output(pathOf('dnsperf') ?? 'dnsperf', args, threads > 1 ? CORE.loads : CORE.load))
}

/**
 * Reads what dnsperf prints. Throws where it is not that: a figure that is missing must not become
 * a nought.
 */
export function outcomeOf(text: string): Outcome {
  const number = (pattern: RegExp) => {
    const found = pattern.exec(text)?.[1]
    if (found === undefined) throw new Error(`dnsperf printed something else: ${text.trim().slice(-300)}`)
    return Number(found)
  }
  const completed = number(/Queries completed:\s+(\d+)/)
  return {
    sent: number(/Queries sent:\s+(\d+)/),
    completed,
    lost: number(/Queries lost:\s+(\d+)/),
    queriesPerS: number(/Queries per second:\s+([\d.]+)/),
    meanUs: completed === 0 ? Number.NaN : number(/Average Latency \(s\):\s+([\d.]+)/) * 1e6,
    // With no NOERROR at all there is no such word.
    failed: completed - Number(/NOERROR (\d+)/.exec(text)?.[1] ?? 0),
  }
}
