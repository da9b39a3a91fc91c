import type { ShownMessage, ShownRecord } from '../dns/presentation.ts'

/** How a reply was obtained. */
export interface Delivery {
  /** ADDRESS:PORT. */
  readonly server: string
  readonly over: 'udp' | 'tcp'
  readonly rttMs: number
}

/**
 * The whole reply, similar to dig's output: comments start with `;;`, records are lines of a master
 * file.
 */
export function longText(message: ShownMessage, delivery: Delivery): string {
  const { question } = message
  const asked = question === undefined ? '' : `${question.name} ${question.type}: `
  const lines = [
    `;; ${asked}${message.status}, flags ${message.flags.join(' ')}`,
    `;; ${sourceText(message.source)}, ${delivery.rttMs.toFixed(1)} ms, ${delivery.server} over ${delivery.over}`,
    ...message.errors.map((error) => `;; ${errorText(error)}`),
    ...(message.malformed ? [';; the message is malformed: only the readable part follows'] : []),
    ...section('answer', message.answers),
    ...section('authority', message.authority),
    ...section('additional', message.additional),
  ]
  return `${lines.join('\n')}\n`
}

/** The data of the answers, one per line, as in `dig +short`; empty if there are none. */
export function shortText(message: ShownMessage): string {
  return message.answers.map(({ data }) => `${data}\n`).join('')
}

/**
 * What a person should know besides a short answer: a response code other than NOERROR, and
 * extended errors; empty if there is nothing.
 */
export function complaint(message: ShownMessage): string {
  const status = message.rcode === 0 ? [] : [message.status]
  return [...status, ...message.errors.map(errorText)].map((text) => `;; ${text}\n`).join('')
}

/** One JSON document, for programs. */
export function jsonText(message: ShownMessage, delivery: Delivery): string {
  return `${JSON.stringify({ ...delivery, ...message }, undefined, 2)}\n`
}

/** The source of the answer according to the stub, in words. */
export function sourceText(source: string | undefined): string {
  switch (source) {
    case undefined:
      return 'the server does not say where the answer came from'
    case 'cache':
      return 'answered from cache'
    case 'policy':
      // The name may have been sent: a rule can replace the answer of a resolver.
      return 'answer made by this service'
    case 'failure':
      return 'not answered: this service failed'
    case 'stale':
      return 'answered from cache, stale: no resolver answered'
  }
  const [resolver, transport] = source.split('/')
  return transport === undefined ? `answered by ${source}` : `answered by ${resolver} over ${transport}`
}

function errorText({ code, meaning, text }: ShownMessage['errors'][number]): string {
  return `EDE ${code}${meaning === undefined ? '' : ` (${meaning})`}${text === undefined ? '' : `: ${text}`}`
}

function section(title: string, records: readonly ShownRecord[]): readonly string[] {
  if (records.length === 0) return []
  const width = (column: (record: ShownRecord) => string): number => Math.max(...records.map((record) => column(record).length))
  const nameWidth = Math.min(
    40,
    width((r) => r.name),
  )
  const ttlWidth = width((r) => String(r.ttlS))
  const typeWidth = width((r) => r.type)
  const line = (r: ShownRecord): string =>
    `${r.name.padEnd(nameWidth)}  ${String(r.ttlS).padStart(ttlWidth)}  IN  ${r.type.padEnd(typeWidth)}  ${r.data}`
  return ['', `;; ${title}`, ...records.map(line)]
}
