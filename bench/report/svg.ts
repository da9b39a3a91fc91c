/** A group of horizontal bars. */
export interface Bars {
  readonly title: string
  readonly unit: string
  readonly bars: readonly { readonly label: string; readonly value: number; readonly tone: 'ours' | 'peer' | 'floor' }[]
}

/** Lines over a logarithmic x axis. */
export interface Lines {
  readonly title: string
  readonly unit: string
  readonly lines: readonly {
    readonly label: string
    readonly ours: boolean
    readonly points: readonly (readonly [x: number, y: number])[]
  }[]
}

const WIDTH = 640
const LABELS = 190
const STEP = 24
const HEAD = 34
const FILL = { ours: '#1f7a4d', peer: '#8a97a6', floor: '#d0b060' }
const PALETTE = ['#4e79a7', '#f28e2b', '#b07aa1', '#e15759', '#76b7b2', '#9c755f']

const escaped = (text: string) => text.replace(/&/g, '&amp;').replace(/</g, '&lt;')
const shown = (value: number) => (value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2))
const text = (x: number, y: number, content: string, extra = '') => `<text x="${x}" y="${y}" ${extra}>${escaped(content)}</text>`
const page = (height: number, title: string, body: readonly string[]) =>
  [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" font-family="sans-serif" font-size="12" role="img">`,
    `<title>${escaped(title)}</title><rect width="100%" height="100%" fill="#fff"/>`,
    text(12, 21, title, 'font-size="14" font-weight="bold"'),
    ...body,
    '</svg>\n',
  ].join('\n')

/** Bars, the values written behind them. */
export function barPlot({ title, unit, bars }: Bars): string {
  const most = Math.max(...bars.map(({ value }) => value), Number.MIN_VALUE)
  const room = WIDTH - LABELS - 90
  const body = bars.flatMap(({ label, value, tone }, i) => {
    const y = HEAD + i * STEP
    const length = Math.max(1, (value / most) * room)
    return [
      text(LABELS - 8, y + 15, label, `text-anchor="end"${tone === 'ours' ? ' font-weight="bold"' : ''}`),
      `<rect x="${LABELS}" y="${y + 3}" width="${length.toFixed(1)}" height="${STEP - 8}" fill="${FILL[tone]}"/>`,
      text(LABELS + length + 6, y + 15, `${shown(value)} ${unit}`),
    ]
  })
  return page(HEAD + bars.length * STEP + 10, title, body)
}

/** Lines with their names behind the last point. */
export function linePlot({ title, unit, lines }: Lines): string {
  const height = 320
  const xs = lines.flatMap(({ points }) => points.map(([x]) => x))
  const most = Math.max(...lines.flatMap(({ points }) => points.map(([, y]) => y)), Number.MIN_VALUE)
  const [low, high] = [Math.log10(Math.min(...xs)), Math.log10(Math.max(...xs))]
  const x = (value: number) => 60 + ((Math.log10(value) - low) / (high - low || 1)) * (WIDTH - 210)
  const y = (value: number) => height - 40 - (value / most) * (height - 90)
  const grid = [0, 0.25, 0.5, 0.75, 1].flatMap((part) => [
    `<line x1="60" x2="${WIDTH - 150}" y1="${y(most * part)}" y2="${y(most * part)}" stroke="#e5e5e5"/>`,
    text(54, y(most * part) + 4, shown(most * part), 'text-anchor="end"'),
  ])
  const ticks = [...new Set(xs)].map((value) => text(x(value), height - 20, value.toLocaleString('en'), 'text-anchor="middle"'))
  const ends = spread(lines.map(({ points }) => y(points.at(-1)?.[1] ?? 0)))
  const drawn = lines.flatMap(({ label, ours, points }, i) => {
    const colour = ours ? FILL.ours : (PALETTE[i % PALETTE.length] ?? FILL.peer)
    const path = points.map(([px, py]) => `${x(px).toFixed(1)},${y(py).toFixed(1)}`).join(' ')
    return [
      `<polyline points="${path}" fill="none" stroke="${colour}" stroke-width="${ours ? 3 : 1.5}"/>`,
      text(x(points.at(-1)?.[0] ?? 1) + 8, (ends[i] ?? 0) + 4, label, `fill="${colour}"${ours ? ' font-weight="bold"' : ''}`),
    ]
  })
  return page(height, `${title} (${unit})`, [...grid, ...ticks, ...drawn])
}

/** Moves labels apart that would lie on each other. */
function spread(places: readonly number[]): readonly number[] {
  const order = places.map((_, i) => i).sort((a, b) => (places[a] ?? 0) - (places[b] ?? 0))
  const out = [...places]
  order.forEach((index, rank) => {
    const above = order[rank - 1]
    if (above !== undefined) out[index] = Math.max(out[index] ?? 0, (out[above] ?? 0) + 14)
  })
  return out
}
