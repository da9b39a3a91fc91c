import { best } from '../adversary/closed-world.ts'
import type { Row } from './measure.ts'

const [WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM] = [860, 470, 64, 46, 190, 58]
const [PLOT_W, PLOT_H] = [WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM]
const escaped = (text: string) => text.replace(/`/g, '').replace(/&/g, '&amp;').replace(/</g, '&lt;')

/**
 * Accuracy against cost as one picture, both axes logarithmic: what is lower says less, what is
 * further left costs less; a larger disc makes queries wait longer.
 */
export function picture(rows: readonly Row[]): string {
  const sites = rows[0]?.sites ?? 100
  const costs = rows.map(({ cost }) => cost.kilobytesPerPage)
  const [fromX, toX] = [Math.min(...costs) / 1.5, Math.max(...costs) * 1.5]
  const fromY = 0.5 / sites
  const x = (cost: number) => LEFT + (PLOT_W * Math.log(cost / fromX)) / Math.log(toX / fromX)
  const y = (accuracy: number) => TOP + PLOT_H * (1 - Math.log(Math.max(accuracy, fromY) / fromY) / Math.log(1 / fromY))
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${HEIGHT}" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="11" role="img">`,
    '<title>Accuracy of the best attacker against cost</title><rect width="100%" height="100%" fill="#fff"/>',
    `<text x="12" y="21" font-size="14" font-weight="bold">How often the best attacker names the site (of ${sites}), against what it costs</text>`,
    ...[0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1].filter((at) => at >= fromY).map((at) => rule(y(at), `${at * 100} %`)),
    ...[20, 50, 100, 200, 500, 1000, 2000]
      .filter((at) => at >= fromX && at <= toX)
      .map((at) => column(x(at), at >= 1000 ? `${at / 1000} MB` : `${at} kB`)),
    `<line x1="${LEFT}" x2="${LEFT + PLOT_W}" y1="${y(1 / sites).toFixed(1)}" y2="${y(1 / sites).toFixed(1)}" stroke="#c33" stroke-dasharray="5 4"/>`,
    `<text x="${LEFT + 6}" y="${(y(1 / sites) - 5).toFixed(1)}" fill="#c33">chance</text>`,
    `<text x="${LEFT + PLOT_W / 2}" y="${HEIGHT - 12}" text-anchor="middle">octets a page, both ways; a larger disc: queries wait longer (area by p95)</text>`,
    ...discs(rows, x, y),
    '</svg>\n',
  ]
  return parts.join('\n')
}

const rule = (y: number, label: string) =>
  `<line x1="${LEFT}" x2="${LEFT + PLOT_W}" y1="${y.toFixed(1)}" y2="${y.toFixed(1)}" stroke="#e4e4e4"/><text x="${LEFT - 6}" y="${(y + 4).toFixed(1)}" text-anchor="end">${label}</text>`

const column = (x: number, label: string) =>
  `<line x1="${x.toFixed(1)}" x2="${x.toFixed(1)}" y1="${TOP}" y2="${TOP + PLOT_H}" stroke="#eee"/><text x="${x.toFixed(1)}" y="${TOP + PLOT_H + 16}" text-anchor="middle">${label}</text>`

function discs(rows: readonly Row[], x: (cost: number) => number, y: (accuracy: number) => number): readonly string[] {
  const placed = rows.map((row) => {
    const top = best(row.world)
    return { row, top, cx: x(row.cost.kilobytesPerPage), cy: y(top.value), r: 4 + Math.sqrt(Math.max(0, row.cost.waitP95Ms)) / 5 }
  })
  const labels: { x: number; y: number }[] = []
  return [...placed]
    .sort((a, b) => a.cy - b.cy)
    .map(({ row, top, cx, cy, r }) => {
      const at = { x: cx + r + 4, y: cy + 4 }
      while (labels.some((other) => Math.abs(other.y - at.y) < 12 && Math.abs(other.x - at.x) < 190)) at.y += 12
      labels.push(at)
      const colour = row.profile === undefined ? '#8a97a6' : '#1f7a4d'
      return [
        `<line x1="${cx.toFixed(1)}" x2="${cx.toFixed(1)}" y1="${y(top.low).toFixed(1)}" y2="${y(top.high).toFixed(1)}" stroke="${colour}"/>`,
        `<circle cx="${cx.toFixed(1)}" cy="${cy.toFixed(1)}" r="${r.toFixed(1)}" fill="${colour}" fill-opacity="0.55" stroke="${colour}"/>`,
        `<text x="${at.x.toFixed(1)}" y="${at.y.toFixed(1)}">${escaped(row.title)}: ${(top.value * 100).toFixed(1)} %</text>`,
      ].join('')
    })
}
