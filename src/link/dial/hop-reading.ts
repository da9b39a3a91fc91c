import type { Duplex } from 'node:stream'
import type { ErrorCode, HopCode } from '../../errors.ts'

/**
 * The error of a proxy that opened no connection. Its code is about the proxy itself, or `next` if
 * the host behind the proxy could not be reached. The message is a clause that follows the name of
 * the proxy.
 */
export class HopFault extends Error {
  readonly about: HopCode | 'next'
  /** The code to report if the next host is the resolver. */
  readonly nextCode: ErrorCode
  constructor(about: HopCode | 'next', message: string, nextCode: ErrorCode = 'connect-failed') {
    super(message)
    this.name = 'HopFault'
    this.about = about
    this.nextCode = nextCode
  }
}

/**
 * Reads the next `count` octets of a hop. Rejects with a HopFault if the hop closes before that.
 */
export function octetsFrom(stream: Duplex, count: number): Promise<Buffer> {
  return taken(stream, () => {
    const octets: Buffer | null = count === 0 ? Buffer.alloc(0) : stream.read(count)
    return octets === null || octets.length < count ? undefined : octets
  })
}

const HEAD_END = '\r\n\r\n'

/**
 * Reads octets up to an empty line, and returns those before that line. Octets after it stay in the
 * stream. Rejects with a HopFault if more than `most` octets come before the empty line.
 */
export function headFrom(stream: Duplex, most: number): Promise<string> {
  let head = ''
  return taken(stream, () => {
    const octets: Buffer | null = stream.read()
    head += octets?.toString('latin1') ?? ''
    const end = head.indexOf(HEAD_END)
    if (end < 0 && head.length > most) throw new HopFault('hop-failed', 'sent a reply that does not end')
    if (end < 0) return undefined
    const rest = head.slice(end + HEAD_END.length)
    if (rest !== '') stream.unshift(Buffer.from(rest, 'latin1'))
    return head.slice(0, end)
  })
}

function taken<T>(stream: Duplex, take: () => T | undefined): Promise<T> {
  return new Promise((resolve, reject) => {
    const settle = (result: () => void) => {
      stream.off('readable', look)
      stream.off('end', ended)
      stream.off('close', ended)
      stream.off('error', ended)
      result()
    }
    const ended = () => settle(() => reject(new HopFault('hop-failed', 'closed the connection')))
    const look = () => {
      try {
        const found = take()
        if (found !== undefined) settle(() => resolve(found))
      } catch (error) {
        settle(() => reject(error))
      }
    }
    stream.on('readable', look)
    stream.on('end', ended)
    stream.on('close', ended)
    stream.on('error', ended)
    if (stream.destroyed || stream.readableEnded) ended()
    else look()
  })
}
