import { escaped, ipv6Text, quoted } from './printable.ts'

/** RFC 9460 section 14.3.2, RFC 9461, RFC 9540. */
const KEYS = ['mandatory', 'alpn', 'no-default-alpn', 'port', 'ipv4hint', 'ech', 'ipv6hint', 'dohpath', 'ohttp']

/** One SvcParam as RFC 9460 section 2.1 writes it; a value that does not fit its key as an opaque string. */
export function svcParamText(key: number, value: Buffer): string {
  const name = keyText(key)
  const text = valueText(key, value) ?? quoted(value)
  return value.length === 0 ? name : `${name}=${text}`
}

function keyText(key: number): string {
  return KEYS[key] ?? `key${key}`
}

function valueText(key: number, value: Buffer): string | undefined {
  switch (KEYS[key]) {
    case 'mandatory':
      return value.length % 2 === 0
        ? chunks(value, 2)
            .map((k) => keyText(k.readUInt16BE(0)))
            .join(',')
        : undefined
    case 'alpn':
      return alpnText(value)
    case 'port':
      return value.length === 2 ? String(value.readUInt16BE(0)) : undefined
    case 'ipv4hint':
      return value.length % 4 === 0
        ? chunks(value, 4)
            .map((a) => a.join('.'))
            .join(',')
        : undefined
    case 'ipv6hint':
      return value.length % 16 === 0 ? chunks(value, 16).map(ipv6Text).join(',') : undefined
    case 'ech':
      return value.toString('base64')
    default:
      return undefined
  }
}

function chunks(value: Buffer, size: number): readonly Buffer[] {
  return Array.from({ length: value.length / size }, (_, i) => value.subarray(i * size, (i + 1) * size))
}

/** A list of character strings; a comma or backslash inside an item is escaped once more (RFC 9460 appendix A.1). */
function alpnText(value: Buffer): string | undefined {
  const ids: string[] = []
  for (let at = 0; at < value.length; ) {
    const end = at + 1 + (value[at] ?? 0)
    if (end > value.length) return undefined
    ids.push(
      escaped(
        Buffer.from(
          value
            .subarray(at + 1, end)
            .toString('latin1')
            .replaceAll(/[\\,]/g, '\\$&'),
          'latin1',
        ),
      ),
    )
    at = end
  }
  return `"${ids.join(',').replaceAll('"', '\\"')}"`
}
