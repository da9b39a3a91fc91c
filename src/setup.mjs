// What `npm start`, `npm run demo` and `npm test` share: makes a clone runnable, then gets out of
// the way. Plain JavaScript with no imports but Node's own: it runs before anything is installed or
// built.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

export const root = fileURLToPath(new URL('..', import.meta.url))
const at = (...parts) => join(root, ...parts)

/**
 * Runs a command in the root with its output on ours (stdout too goes to stderr: stdout belongs to
 * the program). As root it runs as the owner of the checkout. Returns its exit code.
 */
export function sh(command, args, stdio = ['ignore', 2, 2]) {
  const { status, error } = spawnSync(command, args, { cwd: root, stdio, ...owner })
  if (error) console.error(`${command}: ${error.message}`)
  return status ?? 1
}

/**
 * Who installs and builds, where that is not us: root (`sudo npm start`) makes nothing in a
 * directory of somebody else, who could not replace it afterwards and could have it written
 * elsewhere through links. Without an entry in /etc/passwd, or where the owner cannot run this
 * Node, root does it.
 */
const owner = ownerOfCheckout()

function ownerOfCheckout() {
  const { uid, gid } = statSync(root)
  if (process.getuid?.() !== 0 || uid === 0) return {}
  const entry = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .map((line) => line.split(':'))
    .find((fields) => fields[2] === String(uid))
  if (entry === undefined || spawnSync(process.execPath, ['--version'], { uid, gid, stdio: 'ignore' }).status !== 0) return {}
  // Places of root's that npm or sudo named.
  const kept = Object.entries(process.env).filter(([name]) => !/^(npm_config_.*(cache|prefix|config|module)|XDG_.*|SUDO_.*)$/i.test(name))
  return { uid, gid, env: { ...Object.fromEntries(kept), HOME: entry[5], USER: entry[0], LOGNAME: entry[0] } }
}

/**
 * What differs between the lock file and node_modules, as a sentence; undefined when they agree.
 * npm keeps its own copy of what it installed.
 */
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

/**
 * Installs what package-lock.json says, if it is not there. Rejects with a sentence when npm fails.
 */
export async function ensureInstalled() {
  const fault = installFault()
  if (fault === undefined) return
  const silence = await registryFault()
  if (silence === undefined) {
    console.error(
      `enigm-dns: ${fault}: running npm ci, a minute or so. This needs the npm registry, this once; later runs need no network.`,
    )
    if (npm('ci', ...QUIETLY) !== 0) throw new Error(`npm ci failed: is the npm registry reachable?${foreignModules()}`)
    return
  }
  console.error(`enigm-dns: ${fault}, and ${silence}: running npm ci with what npm has kept of earlier runs.`)
  const stdio = ['ignore', 'ignore', 'ignore']
  if (runNpm(['ci', ...QUIETLY, '--offline'], stdio) !== 0)
    throw new Error(`npm ci failed: ${silence}. Connect this machine once, or copy node_modules from one that is.${foreignModules()}`)
}

/**
 * A slow registry is waited for. One that does not answer is reported within half a minute; npm
 * itself waits for several.
 */
const QUIETLY = [
  '--no-audit',
  '--no-fund',
  '--loglevel=error',
  '--fetch-retries=1',
  '--fetch-retry-mintimeout=1000',
  '--fetch-timeout=60000',
]
const PROBE_MS = 5000

const npm = (...args) => runNpm(args)

function runNpm(args, stdio) {
  const script = process.env.npm_execpath
  return script?.endsWith('.js') ? sh(process.execPath, [script, ...args], stdio) : sh('npm', args, stdio)
}

/** Settings of npm, as the user who runs it has them. */
function npmSettings(...names) {
  const { stdout } = spawnSync('npm', ['config', 'get', ...names], { cwd: root, encoding: 'utf8', ...owner })
  return Object.fromEntries((stdout ?? '').split('\n').map((line) => [line.split('=', 1)[0], line.slice(line.indexOf('=') + 1)]))
}

/**
 * Why the npm registry cannot be reached, as a clause; undefined where it can, or where a proxy
 * stands between.
 */
async function registryFault() {
  const { registry, proxy, 'https-proxy': httpsProxy } = npmSettings('registry', 'proxy', 'https-proxy')
  const proxies = [proxy, httpsProxy, ...['https_proxy', 'HTTPS_PROXY', 'http_proxy', 'HTTP_PROXY'].map((name) => process.env[name])]
  if (proxies.some((one) => one && one !== 'null') || !URL.canParse(registry)) return undefined
  const { hostname, port, protocol } = new URL(registry)
  return new Promise((resolve) => {
    const socket = connect({ host: hostname.replace(/^\[|\]$/g, ''), port: Number(port) || (protocol === 'http:' ? 80 : 443) })
    const end = (fault) => {
      socket.destroy()
      clearTimeout(late)
      resolve(fault)
    }
    const late = setTimeout(() => end(`${hostname} does not answer within ${PROBE_MS / 1000} s`), PROBE_MS)
    socket.on('connect', () => end(undefined))
    socket.on('error', (error) => end(`${hostname} cannot be reached (${error.code ?? 'unknown error'})`))
  })
}

/** What earlier runs of root left keeps everybody else from replacing it. */
function foreignModules() {
  const found = statSync(at('node_modules'), { throwIfNoEntry: false })
  const uid = owner.uid ?? process.getuid?.()
  return found === undefined || uid === undefined || found.uid === uid || uid === 0
    ? ''
    : ` node_modules belongs to user ${found.uid}: sudo chown -R ${uid} ${at('node_modules')}`
}

/**
 * Path, size and time of everything the build reads: 3 ms for a hundred files, against seconds for
 * asking the compiler.
 */
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
 * Builds dist/ if it is older than the sources: types checked, then bundled beside it and moved
 * into place. A process that runs from dist/ meanwhile sees the old one or the new one, and a file
 * without a source does not linger. Rejects with a sentence when the compiler complains.
 */
export async function ensureBuilt() {
  const stamp = at('dist', '.built-from')
  const now = `${process.version} ${fingerprint()}`
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === now) return
  if (owner.uid !== undefined) {
    if (sh(process.execPath, [fileURLToPath(import.meta.url)]) !== 0)
      throw new Error(`the build failed, which ran as user ${owner.uid}, the owner of ${root}`)
    return
  }
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
    for (const path of [fresh, old]) removeOrSay(path)
  }
}

/** An old dist/ that another user made can be moved away, but not removed. */
function removeOrSay(path) {
  try {
    rmSync(path, { recursive: true, force: true })
  } catch (error) {
    console.error(`enigm-dns: ${path} is left over and cannot be removed (${error.code}): sudo rm -r ${path}`)
  }
}

/**
 * `node src/setup.mjs` = install and build if need be. `node src/setup.mjs demo --once` = install
 * and build if need be, then `node dist/main.js demo --once` in this very process, so that signals
 * and exit codes are its own.
 */
async function main() {
  try {
    await ensureInstalled()
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
