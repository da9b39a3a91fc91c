import { output, pathOf } from '../children.ts'

/** A load: what is asked, how many are in flight, for how long. */
export interface Load {
  readonly port: number
  readonly file: string
  readonly inFlight: number
  readonly seconds: number
  /** Sockets; default 32, or as many as are in flight. */
  readonly clients?: number
  readonly mode?: 'udp' | 'tcp'
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
  const args = ['-s', '127.0.0.1', '-p', String(load.port), '-d', load.file, '-q', String(load.inFlight), '-l', String(load.seconds)]
  args.push('-c', String(load.clients ?? Math.min(32, load.inFlight)), '-m', load.mode ?? 'udp', '-t', '1', '-b', '4096')
  args.push('-O', 'suppress=timeouts,congestion,sendfailed,sockready', ...(load.once ? ['-n', '1'] : []))
  return parse(await output(pathOf('dnsperf') ?? 'dnsperf', args))
}

function parse(text: string): Outcome {
  const number = (pattern: RegExp) => Number(pattern.exec(text)?.[1] ?? 0)
  const completed = number(/Queries completed:\s+(\d+)/)
  return {
    sent: number(/Queries sent:\s+(\d+)/),
    completed,
    lost: number(/Queries lost:\s+(\d+)/),
    queriesPerS: number(/Queries per second:\s+([\d.]+)/),
    meanUs: number(/Average Latency \(s\):\s+([\d.]+)/) * 1e6,
    failed: completed - number(/NOERROR (\d+)/),
  }
}
