import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { pathOf } from './children.ts'

/** The root of the project, from bench/ and from build/bench/ alike. */
export const ROOT = (function up(from: string): string {
  return existsSync(join(from, 'package.json')) ? from : up(dirname(from))
})(dirname(fileURLToPath(import.meta.url)))

/**
 * Compiles bench/`source` into `place`; its path, or undefined where there is no compiler or it
 * lacks a library.
 */
export function compile(place: string, source: string, libraries: readonly string[] = []): string | undefined {
  const cc = pathOf('cc')
  if (cc === undefined) return undefined
  const program = join(place, source.replace(/\W/g, '-'))
  const args = ['-O2', '-o', program, join(ROOT, 'bench', source), ...libraries.map((name) => `-l${name}`)]
  return spawnSync(cc, args, { stdio: 'ignore' }).status === 0 ? program : undefined
}
