/** One curve: points of (seconds, value). */
export interface Curve {
  readonly label: string
  readonly colour: string
  readonly points: readonly (readonly [number, number])[]
}

/**
 * Curves under each other on one time axis; `marks` are spans with a word, drawn through all of
 * them.
 */
export interface Plot {
  readonly title: string
  readonly panels: readonly { readonly label: string; readonly curves: readonly Curve[] }[]
  readonly marks: readonly { readonly fromS: number; readonly toS: number; readonly word: string }[]
  readonly endS: number
}

const WIDTH = 1200
const LEFT = 70
const PANEL = 150
const GAP = 24

/** The plot as SVG, for a browser. */
export function svgOf({ title, panels, marks, endS }: Plot): string {
  const x = (s: number) => LEFT + (s / Math.max(endS, 1e-9)) * (WIDTH - LEFT - 20)
  const height = 130 + panels.length * (PANEL + GAP)
  const drawn = panels.map((panel, i) => {
    const top = 90 + i * (PANEL + GAP)
    const most = Math.max(1e-9, ...panel.curves.flatMap(({ points }) => points.map(([, v]) => v)))
    const y = (v: number) => top + PANEL - (v / most) * PANEL
    const curves = panel.curves.map(
      ({ points, colour }) =>
        `<polyline fill="none" stroke="${colour}" stroke-width="1" points="${points.map(([s, v]) => `${x(s).toFixed(1)},${y(v).toFixed(1)}`).join(' ')}"/>`,
    )
    const legend = panel.curves.map(
      ({ label, colour }, k) => `<text x="${LEFT + 300 + k * 150}" y="${top - 4}" fill="${colour}">${escaped(label)}</text>`,
    )
    return `<rect x="${LEFT}" y="${top}" width="${WIDTH - LEFT - 20}" height="${PANEL}" fill="none" stroke="#999"/>
<text x="${LEFT}" y="${top - 4}">${escaped(panel.label)}</text>${legend.join('')}
<text x="${LEFT - 6}" y="${top + 10}" text-anchor="end">${rounded(most)}</text><text x="${LEFT - 6}" y="${top + PANEL}" text-anchor="end">0</text>${curves.join('\n')}`
  })
  const spans = marks.map(
    ({ fromS, toS, word }) =>
      `<rect x="${x(fromS).toFixed(1)}" y="90" width="${Math.max(1, x(toS) - x(fromS)).toFixed(1)}" height="${height - 130}" fill="#d33" opacity="0.12"><title>${escaped(word)}</title></rect>
<text transform="translate(${(x(fromS) + 8).toFixed(1)},86) rotate(-40)" font-size="9">${escaped(word)}</text>`,
  )
  const ticks = Array.from(
    { length: 11 },
    (_, i) => `<text x="${x((endS * i) / 10)}" y="${height - 20}" text-anchor="middle">${Math.round((endS * i) / 10)} s</text>`,
  )
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" font-family="sans-serif" font-size="11">
<rect width="${WIDTH}" height="${height}" fill="#fff"/><text x="${LEFT}" y="20" font-size="14">${escaped(title)}</text>
${spans.join('\n')}
${drawn.join('\n')}
${ticks.join('')}
</svg>
`
}

const rounded = (v: number) => (v >= 100 ? v.toFixed(0) : v.toPrecision(3))
const escaped = (text: string) => text.replace(/[&<>]/g, (c) => (c === '&' ? '&amp;' : c === '<' ? '&lt;' : '&gt;'))
