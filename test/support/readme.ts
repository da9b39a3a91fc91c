import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

/** The root of the project, from test/ and from build/test/ alike. */
export const PROJECT_ROOT = (function up(from: string): string {
  return existsSync(join(from, 'package.json')) ? from : up(dirname(from))
})(import.meta.dirname)

/** README.md and every page of docs/, by their paths below the root. */
export const DOCUMENTS: readonly string[] = [
  'README.md',
  ...readdirSync(join(PROJECT_ROOT, 'docs'))
    .filter((name) => name.endsWith('.md'))
    .sort()
    .map((name) => join('docs', name)),
]

/** The text of a document. */
export const documentText = (name: string): string => readFileSync(join(PROJECT_ROOT, name), 'utf8')

/**
 * A block of code in a document: its language, its text, and the name of a `<!-- recipe: NAME -->`
 * line above it.
 */
export interface Fence {
  readonly document: string
  readonly recipe: string | undefined
  readonly language: string
  readonly text: string
}

/** Every block of code in the documents, in order. */
export function fences(): readonly Fence[] {
  return DOCUMENTS.flatMap((document) => {
    const blocks = documentText(document).matchAll(/(?:<!-- recipe: ([a-z0-9-]+) -->\n)?```([a-z]*)\n([\s\S]*?)```/g)
    return [...blocks].map(([, recipe, language = '', code = '']) => ({ document, recipe, language, text: code }))
  })
}

/** The lines of the recipe `name`, as they stand in README.md or in docs/. */
export function readmeRecipe(name: string): string {
  const [fence, another] = fences().filter(({ recipe }) => recipe === name)
  if (fence === undefined) throw new Error(`no document has the recipe ${name}`)
  if (another !== undefined) throw new Error(`${fence.document} and ${another.document} both have a recipe ${name}`)
  return fence.text
}

/**
 * The links of the Markdown files below `folder` that lead nowhere, as `FILE: TARGET`. An absolute
 * one is looked up below `root`.
 */
export function deadLinks(folder: string, root = folder): readonly string[] {
  const documents = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.md'))
  return documents.flatMap((name) => {
    const text = readFileSync(join(folder, name), 'utf8').replace(/^```[\s\S]*?^```$/gm, '')
    const found = text.matchAll(/\]\(([^()\s]+)[^()]*\)|(?:src|href)="([^"]+)"|^\[[^\]]+\]: *(\S+)/gm)
    const targets = [...found].map(([, link, html, reference]) => link ?? html ?? reference ?? '')
    const isDead = (target: string) => {
      const [path = ''] = target.split('#')
      return !existsSync(path.startsWith('/') ? join(root, path) : join(folder, dirname(name), path))
    }
    return targets.filter((target) => !/^(#|[a-z][a-z+.-]*:)/i.test(target) && isDead(target)).map((target) => `${name}: ${target}`)
  })
}
