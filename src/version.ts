import { readFileSync } from 'node:fs'

/** The version of package.json, which stands one directory above dist/ and src/ alike. */
export const VERSION: string = readVersion()

function readVersion(): string {
  for (const up of ['../package.json', '../../package.json']) {
    try {
      const found: unknown = JSON.parse(readFileSync(new URL(up, import.meta.url), 'utf8'))
      if (typeof found === 'object' && found !== null && 'version' in found && typeof found.version === 'string') return found.version
    } catch {
      // built trees lie one level deeper
    }
  }
  return 'unknown'
}
