import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

/** The root of the project, from test/ and from build/test/ alike. */
export const PROJECT_ROOT = (function up(from: string): string {
  return existsSync(join(from, 'package.json')) ? from : up(dirname(from))
})(import.meta.dirname)

/** A block of code in README.md: its language, its text, and the name of a `<!-- recipe: NAME -->` line above it. */
export interface Fence {
  readonly recipe: string | undefined
  readonly language: string
  readonly text: string
}

/** Every block of code in README.md, in order. */
export function readmeFences(): readonly Fence[] {
  const text = readFileSync(join(PROJECT_ROOT, 'README.md'), 'utf8')
  const blocks = text.matchAll(/(?:<!-- recipe: ([a-z0-9-]+) -->\n)?```([a-z]*)\n([\s\S]*?)```/g)
  return [...blocks].map(([, recipe, language = '', code = '']) => ({ recipe, language, text: code }))
}

/** The lines of the recipe `name`, as they stand in README.md. */
export function readmeRecipe(name: string): string {
  const fence = readmeFences().find(({ recipe }) => recipe === name)
  if (fence === undefined) throw new Error(`README.md has no recipe ${name}`)
  return fence.text
}
