// The documents of a package. In the repository their relative links lead to sources and to results
// of benches as well, which no package holds.
import { readdirSync } from 'node:fs'
import { join, posix } from 'node:path'

/** A link or a picture of Markdown: its words and its target, without a title. */
const LINK = /(!?)\[((?:[^[\]]|\[[^\]]*\])*)\]\(([^()\s]+)(?: "[^"]*")?\)/g
/** A block of code; with the group, `split` keeps it as every second part. */
const FENCE = /(^```[\s\S]*?^```$)/m

/**
 * The text of a document in a package. `path` is its place below the root of the repository.
 * `placeOf` says where the package has a file of the repository: an absolute path, `beside` if the
 * relative link still leads to it, or undefined. A link to a file that it does not have becomes its
 * words and the name of the file.
 */
export function packagedDocument(path, text, placeOf) {
  const inPackage = (whole, image, words, target) => {
    if (/^(#|[a-z][a-z+.-]*:|\/)/i.test(target)) return whole
    const [file, anchor] = target.split('#')
    const found = posix.normalize(posix.join(posix.dirname(path), file))
    const place = placeOf(found)
    if (place === 'beside') return whole
    if (place !== undefined) return `${image}[${words}](${place}${anchor === undefined ? '' : `#${anchor}`})`
    const name = `\`${found}\``
    return words.includes(found) || words.includes(posix.basename(found)) ? `${words} (in the source)` : `${words} (${name} in the source)`
  }
  return text
    .split(FENCE)
    .map((part, i) => (i % 2 === 1 ? part : part.replace(LINK, inPackage)))
    .join('')
}

/** The documents in a package and the pictures that they show, by their paths below `folder`. */
export function documentsIn(folder) {
  const shown = readdirSync(join(folder, 'docs')).filter((name) => /\.(md|png)$/.test(name))
  return ['README.md', 'CHANGELOG.md', ...shown.sort().map((name) => `docs/${name}`)]
}
