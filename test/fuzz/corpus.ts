import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The root of the project, from test/ and from build/test/ alike. */
const root = (function up(from: string): string {
  return existsSync(join(from, 'package.json')) ? from : up(dirname(from))
})(dirname(fileURLToPath(import.meta.url)))

/** Larger inputs are bred again from small ones; a corpus is to be read in a diff. */
const MAX_KEPT_OCTETS = 512
const MAX_KEPT = 150

/**
 * Where the corpus of a target is: one input a line in hex, `#` before what it is or was found to
 * break.
 */
export function corpusFile(target: string): string {
  return join(root, 'test', 'fuzz', 'corpus', `${target}.hex`)
}

export function readCorpus(target: string): readonly Uint8Array[] {
  return linesOf(target).map((line) => Uint8Array.from(Buffer.from(line.split('#')[0]?.trim() ?? '', 'hex')))
}

/**
 * Keeps what was written by hand (lines with a comment) and puts the bred inputs behind it, the
 * smallest ones.
 */
export function saveCorpus(target: string, bred: readonly Uint8Array[]): void {
  const byHand = linesOf(target).filter((line) => line.includes('#'))
  const small = bred.filter(({ length }) => length > 0 && length <= MAX_KEPT_OCTETS).slice(0, MAX_KEPT)
  mkdirSync(dirname(corpusFile(target)), { recursive: true })
  writeFileSync(corpusFile(target), `${[...byHand, ...small.map((input) => Buffer.from(input).toString('hex'))].join('\n')}\n`)
}

function linesOf(target: string): readonly string[] {
  const file = corpusFile(target)
  return existsSync(file)
    ? readFileSync(file, 'utf8')
        .split('\n')
        .filter((line) => line.trim() !== '')
    : []
}
