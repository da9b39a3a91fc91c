import type { RowResult } from './run-row.ts'

const LINE = 18
const WIDTH = 1100
const BAR_AT = 620

/**
 * Every check that has a limit above zero as a bar: its figure as a share of the limit, which is
 * the line; red where it fails. SVG.
 */
export function barsOf(results: readonly RowResult[]): string {
  const lines = results.flatMap((row) =>
    row.checks
      .filter(({ limit }) => limit[1] > 0)
      .map(({ what, figure, limit, unit, pass }) => ({ words: `${row.name}: ${what}`, figure, of: limit[1], op: limit[0], unit, pass })),
  )
  const drawn = lines.map(({ words, figure, of, op, unit, pass }, i) => {
    const y = 40 + i * LINE
    const length = Math.min(1.5, figure / of) * 250
    return `<text x="${BAR_AT - 8}" y="${y + 12}" text-anchor="end">${escaped(words)}</text>
<rect x="${BAR_AT}" y="${y + 3}" width="${(Number.isFinite(length) ? length : 375).toFixed(1)}" height="11" fill="${pass ? '#4a8' : '#d33'}"/>
<text x="${BAR_AT + 385}" y="${y + 12}">${escaped(`${figure.toPrecision(4)} ${unit} ${op} ${of}`)}</text>`
  })
  const height = 60 + lines.length * LINE
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" font-family="sans-serif" font-size="11">
<rect width="${WIDTH}" height="${height}" fill="#fff"/><text x="10" y="20" font-size="14">The chaos table: each figure as a share of its limit (the line)</text>
<line x1="${BAR_AT + 250}" x2="${BAR_AT + 250}" y1="36" y2="${height - 20}" stroke="#333" stroke-dasharray="3"/>
${drawn.join('\n')}
</svg>
`
}

const escaped = (text: string) => text.replace(/[&<>]/g, (c) => (c === '&' ? '&amp;' : c === '<' ? '&lt;' : '&gt;'))
