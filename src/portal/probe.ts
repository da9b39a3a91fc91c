import { type IncomingMessage, request } from 'node:http'

/** The answer of a web server to a probe. */
export interface ProbeReply {
  /**
   * `passed`: the answer of the platform's server on the Internet. `captive`: a page of another
   * server. `unclear`: neither.
   */
  readonly verdict: 'passed' | 'captive' | 'unclear'
  /** Where the page redirects; absent: nowhere. */
  readonly next?: URL
}

/** A request to one address. */
export interface ProbeRequest {
  readonly url: URL
  readonly address: string
  readonly signal: AbortSignal
}

const PATIENCE_MS = 4000
const MOST_OCTETS = 65_536

/** Bodies by which the platforms recognize that the Internet is reachable. */
const PASSES = [
  /^success\s*$/i,
  /^NetworkManager is online\s*$/i,
  /^Microsoft (Connect Test|NCSI)\s*$/,
  /<BODY>\s*Success\s*<\/BODY>/i,
] as const
/** How a page redirects a browser without an HTTP redirect (RFC 6585 section 6 shows one). */
const META_REFRESH = /<meta[^>]{0,200}http-equiv\s*=\s*["']?refresh["']?[^>]{0,200}?url\s*=\s*['"]?([^"'>\s]{1,2048})/i

/**
 * Requests one page over HTTP, without cookies and without a name of this program. Follows no
 * redirect. Rejects with the system's error, or when `signal` aborts.
 */
export function probe({ url, address, signal }: ProbeRequest): Promise<ProbeReply> {
  return new Promise((resolve, reject) => {
    const asked = request({
      host: address,
      port: url.port === '' ? 80 : Number(url.port),
      path: `${url.pathname}${url.search}`,
      headers: { host: url.host, accept: '*/*', 'cache-control': 'no-cache', 'user-agent': 'Mozilla/5.0', connection: 'close' },
      agent: false,
      signal: AbortSignal.any([signal, AbortSignal.timeout(PATIENCE_MS)]),
    })
    asked.on('error', reject)
    asked.on('response', (response) => {
      const parts: Buffer[] = []
      let octets = 0
      const judged = () => {
        response.destroy()
        resolve(judge(url, response, Buffer.concat(parts).toString('latin1')))
      }
      response.on('error', reject)
      response.on('data', (part: Buffer) => {
        parts.push(part)
        octets += part.length
        if (octets >= MOST_OCTETS) judged()
      })
      response.on('end', judged)
    })
    asked.end()
  })
}

function judge(url: URL, { statusCode = 0, headers }: Pick<IncomingMessage, 'statusCode' | 'headers'>, body: string): ProbeReply {
  const target = (statusCode >= 300 && statusCode < 400 ? headers.location : undefined) ?? META_REFRESH.exec(body)?.[1]
  const next = target === undefined ? undefined : webAddress(target, url)
  if (next !== undefined) return { verdict: 'captive', next }
  if (statusCode === 204 || (statusCode === 200 && PASSES.some((text) => text.test(body)))) return { verdict: 'passed' }
  const page =
    statusCode === 511 ||
    (statusCode >= 300 && statusCode < 400) ||
    /^\s*<|html/i.test(`${body.slice(0, 64)}${headers['content-type'] ?? ''}`)
  return { verdict: page ? 'captive' : 'unclear' }
}

/** A web address without credentials; undefined for any other text. */
function webAddress(target: string, base: URL): URL | undefined {
  try {
    const url = new URL(target, base)
    if (url.protocol !== 'http:' && url.protocol !== 'https:') return undefined
    url.username = ''
    url.password = ''
    return url
  } catch {
    return undefined
  }
}
