import { writeFileSync } from 'node:fs'
import { join } from 'node:path'

const TOPS = ['com', 'net', 'org', 'info', 'co.uk', 'io', 'de', 'xyz', 'online', 'ru']

/** A list of the bench: how its lines are written. */
export interface MadeList {
  readonly id: string
  readonly file: string
  readonly names: number
}

/** A small generator of pseudo-random numbers: the same seed gives the same lists. */
export function seeded(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return (mixed ^ (mixed >>> 14)) >>> 0
  }
}

/** The name with this number: like those of real lists, 8 to 30 characters, a third with a host. */
export function nameOf(number: number): string {
  const next = seeded(number * 2_654_435_761)
  const word = (least: number, most: number) => {
    let text = ''
    for (let left = least + (next() % (most - least)); left > 0; left--) text += String.fromCharCode(97 + (next() % 26))
    return text
  }
  const host = next() % 3 === 0 ? `${word(2, 8)}.` : ''
  return `${host}${word(4, 14)}${number.toString(36)}.${TOPS[next() % TOPS.length]}`
}

const LINES: readonly (readonly [id: string, line: (name: string) => string])[] = [
  ['hosts', (name) => `0.0.0.0 ${name}\n`],
  ['domains', (name) => `${name}\n`],
  ['adblock', (name) => `||${name}^\n`],
]

/** Writes three lists of together `total` different names, in three formats. */
export function makeLists(dir: string, total: number): readonly MadeList[] {
  return LINES.map(([id, line], index) => {
    const file = join(dir, `${id}.txt`)
    const [from, end] = [Math.floor((total * index) / 3), Math.floor((total * (index + 1)) / 3)]
    const parts: string[] = []
    for (let number = from; number < end; number++) parts.push(line(nameOf(number)))
    writeFileSync(file, parts.join(''))
    return { id, file, names: end - from }
  })
}
