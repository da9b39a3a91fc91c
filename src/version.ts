import { readFileSync } from 'node:fs'

/** The version in package.json, which is one directory above both dist/ and src/. */
export const VERSION: string = readVersion()

function readVersion(): string {
  for (const up of ['../package.json', '../../package.json']) {
    try {
      const found: unknown = JSON.parse(readFileSync(new URL(up, import.meta.url), 'utf8'))
      if (typeof found === 'object' && found !== null && 'version' in found && typeof found.version === 'string') return found.version
    } catch {
      // built trees are one level deeper
    }
  }
  return 'unknown'
}
