// What `npm start`, `npm run demo` and `npm test` share: makes a clone runnable, then gets out of the way.
// Plain JavaScript with no imports but Node's own: it runs before anything is installed or built.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

export const root = fileURLToPath(new URL('..', import.meta.url))
const at = (...parts) => join(root, ...parts)

/** Runs a command in the root with its output on ours (stdout too goes to stderr: stdout belongs to the program). Returns its exit code. */
export function sh(command, args, stdio = ['ignore', 2, 2]) {
  const { status, error } = spawnSync(command, args, { cwd: root, stdio })
  if (error) console.error(`${command}: ${error.message}`)
  return status ?? 1
}

/** What differs between the lock file and node_modules, as a sentence; undefined when they agree. npm keeps its own copy of what it installed. */
function installFault() {
  const copy = at('node_modules', '.package-lock.json')
  if (!existsSync(copy)) return 'nothing is installed yet'
  const wanted = JSON.parse(readFileSync(at('package-lock.json'), 'utf8')).packages
  const present = JSON.parse(readFileSync(copy, 'utf8')).packages
  for (const [path, entry] of Object.entries(wanted)) {
    if (path === '' || (entry.optional && !present[path])) continue // optional: other platforms' binaries
    if (present[path]?.version !== entry.version) return `${path} is not the one in package-lock.json`
  }
  return undefined
}

/** Installs what package-lock.json says, if it is not there. Throws a sentence when npm fails. */
export function ensureInstalled() {
  const fault = installFault()
  if (fault === undefined) return
  console.error(`enigm-dns: ${fault}: running npm ci. This needs the npm registry, this once; later runs need no network.`)
  const npm = process.env.npm_execpath
  const args = ['ci', '--no-audit', '--no-fund', '--loglevel=error']
  const status = npm?.endsWith('.js') ? sh(process.execPath, [npm, ...args]) : sh('npm', args)
  if (status !== 0) throw new Error('npm ci failed: is the npm registry reachable?')
}

/** Path, size and time of everything the build reads: 3 ms for a hundred files, against seconds for asking the compiler. */
function fingerprint() {
  const hash = createHash('sha256')
  const add = (path) => {
    const { size, mtimeMs } = statSync(at(path))
    hash.update(`${path} ${size} ${mtimeMs}\n`)
  }
  for (const path of readdirSync(at('src'), { recursive: true }).sort()) {
    if (/\.(ts|json|mjs|cjs)$/.test(path)) add(join('src', path))
  }
  for (const path of ['package.json', 'package-lock.json', 'tsconfig.json', 'tsconfig.build.json']) add(path)
  return hash.digest('hex')
}

/** The compiler, without npx: 0.3 s less. */
export const tsc = (...args) => sh(process.execPath, [at('node_modules', 'typescript', 'bin', 'tsc'), ...args])

/**
 * Builds dist/ if it is older than the sources: types checked, then bundled beside it and moved into place, so that whoever runs from dist/ meanwhile
 * sees the old one or the new one, and a file whose source is gone does not linger. Rejects with a sentence when the compiler complains.
 */
export async function ensureBuilt() {
  const stamp = at('dist', '.built-from')
  const now = `${process.version} ${fingerprint()}`
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === now) return
  console.error('enigm-dns: building dist/')
  const fresh = at(`build-dist-${process.pid}`)
  const old = at(`build-old-${process.pid}`)
  try {
    mkdirSync(fresh, { recursive: true })
    if (tsc('-p', 'tsconfig.build.json') !== 0) throw new Error('the TypeScript build failed')
    const { bundle } = await import('./bundle.mjs') // not before it is installed
    await bundle(root, fresh)
    writeFileSync(join(fresh, '.built-from'), now)
    if (existsSync(at('dist'))) renameSync(at('dist'), old)
    if (!existsSync(at('dist'))) renameSync(fresh, at('dist')) // else another build was quicker
  } finally {
    for (const path of [fresh, old]) rmSync(path, { recursive: true, force: true })
  }
}

/** `node src/setup.mjs` = install and build if need be. `node src/setup.mjs demo --once` = install and build if need be, then `node dist/main.js demo --once` in this very process, so that signals and exit codes are its own. */
async function main() {
  try {
    ensureInstalled()
    await ensureBuilt()
  } catch (error) {
    console.error(`enigm-dns: ${error.message}`)
    process.exit(1)
  }
  if (process.argv.length === 2) return
  process.argv[1] = at('dist', 'main.js')
  await import(pathToFileURL(process.argv[1]).href)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main()
