/** A header field; the name is lower-case. */
export interface Field {
  readonly name: string
  readonly value: string
}

/** RFC 7541 appendix A, from index 1: `name` or `name=value`, `~` for a space inside a value. */
const ENTRIES =
  ':authority :method=GET :method=POST :path=/ :path=/index.html :scheme=http :scheme=https :status=200 :status=204 :status=206 :status=304 ' +
  ':status=400 :status=404 :status=500 accept-charset accept-encoding=gzip,~deflate accept-language accept-ranges accept ' +
  'access-control-allow-origin age allow authorization cache-control content-disposition content-encoding content-language content-length ' +
  'content-location content-range content-type cookie date etag expect expires from host if-match if-modified-since if-none-match if-range ' +
  'if-unmodified-since last-modified link location max-forwards proxy-authenticate proxy-authorization range referer refresh retry-after ' +
  'server set-cookie strict-transport-security transfer-encoding user-agent vary via www-authenticate'

/** Entry i has index i + 1. */
export const STATIC_TABLE: readonly Field[] = ENTRIES.split(' ').map((entry) => {
  const [name = '', value = ''] = entry.split('=')
  return { name, value: value.replace('~', ' ') }
})

/** Index of the first entry with this name. */
export function staticIndex(name: string): number {
  return STATIC_TABLE.findIndex((field) => field.name === name) + 1
}
