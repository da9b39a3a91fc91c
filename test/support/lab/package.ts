import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { PROJECT_ROOT } from '../readme.ts'

const run = promisify(execFile)

/** The version of the packages. */
export const { version: VERSION } = JSON.parse(readFileSync(join(PROJECT_ROOT, 'package.json'), 'utf8')) as { readonly version: string }
/** The names of what `npm run package` makes here. */
export const DEB = `enigm-dns_${VERSION}_${process.arch === 'x64' ? 'amd64' : process.arch}.deb`
export const TGZ = `enigm-dns-${VERSION}.tgz`

/** A folder for packages that is gone when this process ends. */
export function packageFolder(): string {
  const dir = mkdtempSync(join(tmpdir(), 'enigm-dns-packages-'))
  process.on('exit', () => rmSync(dir, { recursive: true, force: true }))
  return dir
}

/**
 * Makes both packages in `to`. Compression takes most of the time of a build, so there is none;
 * test/long/package.test.ts has the one of a release.
 */
export async function buildPackages(to: string): Promise<void> {
  await run(process.execPath, ['packaging/main.mjs', '--to', to, '--compression', 'none'], { cwd: PROJECT_ROOT })
}
