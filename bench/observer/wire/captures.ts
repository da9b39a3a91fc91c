import type { WireRow } from './wire-row.ts'

const [WIDTH, LABELS, STRIP, TOP, SPAN_MS] = [980, 150, 46, 44, 20_000]
const PLOT = WIDTH - LABELS - 16
const [OUT, IN] = ['#1f5fa8', '#c9772b']

/**
 * The same page through every server that was watched, as its tap saw it: a tick a record, up what
 * goes out, down what comes in, as long as it is large.
 */
export function captures(rows: readonly WireRow[]): string {
  const height = TOP + rows.length * STRIP + 30
  const x = (atMs: number) => LABELS + (PLOT * atMs) / SPAN_MS
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" font-family="sans-serif" font-size="12" role="img">`,
    '<title>One page, as a tap on the link sees it</title><rect width="100%" height="100%" fill="#fff"/>',
    '<text x="12" y="21" font-size="14" font-weight="bold">One page, as a tap on the link sees it (first 20 s)</text>',
    ...rows.flatMap((row, at) => {
      const middle = TOP + at * STRIP + STRIP / 2
      return [
        `<text x="12" y="${middle + 4}">${row.title.replace(/`/g, '').replace('enigm-dns, ', '')}</text>`,
        `<line x1="${LABELS}" x2="${LABELS + PLOT}" y1="${middle}" y2="${middle}" stroke="#ddd"/>`,
        `<path d="${ticks(row, x, middle, 1)}" stroke="${OUT}" stroke-width="0.7"/><path d="${ticks(row, x, middle, -1)}" stroke="${IN}" stroke-width="0.7"/>`,
      ]
    }),
    ...[0, 5, 10, 15, 20].map((s) => `<text x="${x(s * 1000).toFixed(0)}" y="${height - 10}" text-anchor="middle">${s} s</text>`),
    '</svg>\n',
  ]
  return parts.join('\n')
}

function ticks(row: WireRow, x: (atMs: number) => number, middle: number, way: 1 | -1): string {
  return row.sample
    .filter(([, octets]) => octets * way > 0)
    .map(([atMs, octets]) => `M${x(atMs).toFixed(1)} ${middle}v${(-way * Math.min(20, 3 + Math.abs(octets) / 32)).toFixed(1)}`)
    .join('')
}
