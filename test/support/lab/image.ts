import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { Test } from 'tap'
import { insideNamespace } from '../real/namespace.ts'
import { requireThat, requireTool } from '../real/tools.ts'

const run = promisify(execFile)

/**
 * Where the images of one run of all tests lie; test/run.mjs makes it and takes it away. Set it by
 * hand to keep an image between runs.
 */
const KEPT = 'ENIGM_DNS_LAB'
const BUILD_LIMIT_MS = 300_000
const LAB_LIMIT_MS = 600_000

/**
 * What a machine of the lab is made of. dnsmasq, iproute2 and dig are the provider's and the
 * observer's; the rest is what is tested.
 */
const PACKAGES = [
  ...['systemd', 'systemd-sysv', 'systemd-resolved', 'libnss-resolve', 'dbus', 'network-manager'],
  ...['isc-dhcp-client', 'ifupdown', 'iproute2', 'nftables', 'bind9-dnsutils', 'procps', 'e2fsprogs', 'dnsmasq-base'],
]
/** Lie in /debs of an image, for a machine that has them in place of something else. */
const BESIDE = ['dhcpcd-base', 'openresolv', 'resolvconf', 'runit', 'openrc']
/** The same, with names that differ from release to release: those that exist. */
const BESIDE_IF_ANY = ['librc1', 'libeinfo1', 'librc1t64', 'libeinfo1t64']
const SLIM = ['man', 'locale', 'doc'].map((name) => `--dpkgopt=path-exclude=/usr/share/${name}/*`)

const IMAGE = 'ENIGM_DNS_LAB_IMAGE'

/**
 * Runs the calling test file again where machines can be booted: as root, in mount and network
 * namespaces of its own, with an image at hand. Returns the image in the inner run: go on with the
 * tests. Undefined in the outer one: nothing more to do; what is missing is a skip, or a failure
 * where CI is set. `limitMs`: for all the tests of the file.
 */
export async function insideLab(t: Test, fileUrl: string, limitMs = LAB_LIMIT_MS): Promise<string | undefined> {
  if (!requireTool(t, 'mmdebstrap', 'unshare', 'nsenter', 'setpriv', 'ip', 'ps')) return undefined
  if (process.getuid?.() !== 0) {
    const may = await run('sudo', ['-n', 'true']).then(
      () => true,
      () => false,
    )
    if (!requireThat(t, may ? undefined : 'needs root, to boot machines in namespaces')) return undefined
    t.spawn(
      'sudo',
      ['-n', 'env', `CI=${process.env.CI ?? ''}`, ...passed(), process.execPath, fileURLToPath(fileUrl)],
      { timeout: limitMs + BUILD_LIMIT_MS },
      'as root',
    )
    return undefined
  }
  // The namespaces have no network, so what is downloaded is downloaded before.
  if (process.env[IMAGE] === undefined) {
    const fault = await labImage().then(
      (image) => {
        process.env[IMAGE] = image
      },
      (error: Error) => error.message,
    )
    if (!requireThat(t, fault ?? undefined)) return undefined
  }
  return insideNamespace(t, fileUrl, limitMs) ? process.env[IMAGE] : undefined
}

/**
 * The folder of an unpacked Debian with systemd, systemd-resolved and NetworkManager, of the
 * release of this machine or of `suite`; its packages are downloaded on first use, by mmdebstrap,
 * and nothing of them is installed on the machine itself. 30 to 50 s; kept for the other test files
 * of the run. Needs root. Rejects with what mmdebstrap said.
 */
export async function labImage(suite = process.env.ENIGM_DNS_LAB_SUITE): Promise<string> {
  const { codename, sources } = debian(suite)
  const place = process.env[KEPT] ?? ownPlace()
  const image = join(place, codename)
  mkdirSync(place, { recursive: true, mode: 0o700 })
  for (const endMs = performance.now() + BUILD_LIMIT_MS; performance.now() < endMs; await sleep(200)) {
    if (existsSync(image)) return image
    if (await lock(`${image}.building`, () => build(image, codename, sources))) return image
  }
  throw new Error(`no image within ${BUILD_LIMIT_MS / 1000} s`)
}

/** What a person may set for a test. */
const passed = () =>
  ['ENIGM_DNS_KILLS', 'SEED', KEPT].flatMap((name) => (process.env[name] === undefined ? [] : [`${name}=${process.env[name]}`]))

function ownPlace(): string {
  const place = mkdtempSync(join(tmpdir(), 'enigm-dns-lab-'))
  process.on('exit', () => rmSync(place, { recursive: true, force: true }))
  return place
}

/**
 * Does `work` unless another process of this machine does it. Resolves to whether it was done here.
 */
async function lock(file: string, work: () => Promise<void>): Promise<boolean> {
  try {
    writeFileSync(file, String(process.pid), { flag: 'wx' })
  } catch {
    if (!existsSync(`/proc/${readFileSync(file, 'utf8')}`)) rmSync(file, { force: true })
    return false
  }
  try {
    await work()
    return true
  } finally {
    rmSync(file, { force: true })
  }
}

async function build(image: string, codename: string, sources: string): Promise<void> {
  const [unfinished, list] = [`${image}.unfinished`, `${image}.sources`]
  await discard(unfinished)
  writeFileSync(list, sources)
  const get = `export APT_CONFIG=$MMDEBSTRAP_APT_CONFIG; apt-get download ${BESIDE.join(' ')}`
  const debs = `mkdir -p "$1/debs" && cd "$1/debs" && ${get} && for p in ${BESIDE_IF_ANY.join(' ')}; do apt-get download $p || true; done`
  const links = 'rm -f "$1/etc/resolv.conf" && ln -s ../run/systemd/resolve/stub-resolv.conf "$1/etc/resolv.conf"; : > "$1/etc/machine-id"'
  const apt = ['Acquire::Languages "none"', 'APT::Install-Recommends "false"', ...(await proxies())].map((o) => `--aptopt=${o}`)
  const hooks = [debs, links].map((hook) => `--customize-hook=${hook}`)
  const args = [
    '--mode=root',
    '--variant=minbase',
    ...apt,
    ...SLIM,
    `--include=${PACKAGES.join(',')}`,
    ...hooks,
    codename,
    unfinished,
    list,
  ]
  // Its mounts of /proc, /sys and /dev/shm go with its namespace, even if it is killed.
  const options = { timeout: BUILD_LIMIT_MS, maxBuffer: 1 << 24 }
  await run('unshare', ['-m', 'mmdebstrap', ...args], options).catch(async (error: { stderr?: string; message: string }) => {
    await discard(unfinished)
    throw new Error(`mmdebstrap: ${error.stderr?.slice(-1500) ?? error.message}`)
  })
  renameSync(unfinished, image)
}

/**
 * Removes what a build left. Never below a mount point: that could be a directory of this machine.
 */
async function discard(unfinished: string): Promise<void> {
  await run('rm', ['-rf', '--one-file-system', unfinished])
}

/** The way to packages that the apt of this machine takes. */
async function proxies(): Promise<readonly string[]> {
  const { stdout } = await run('apt-config', ['dump', 'Acquire']).catch(() => ({ stdout: '' }))
  return stdout.split('\n').filter((line) => /^Acquire::https?::Proxy\b/i.test(line))
}

/**
 * The release, and this machine's own apt sources for it: a mirror that works here. Another suite
 * than its own takes them with the name replaced.
 */
function debian(suite: string | undefined): { readonly codename: string; readonly sources: string } {
  const release = readFileSync('/etc/os-release', 'utf8')
  const own = /^VERSION_CODENAME="?([a-z]+)"?$/m.exec(release)?.[1]
  if (!/^ID="?debian"?$/m.test(release) || own === undefined) {
    return { codename: suite ?? 'bookworm', sources: `deb http://deb.debian.org/debian ${suite ?? 'bookworm'} main\n` }
  }
  const folder = '/etc/apt/sources.list.d'
  const files = ['/etc/apt/sources.list', ...(existsSync(folder) ? readdirSync(folder).map((name) => join(folder, name)) : [])]
  const texts = files.filter((file) => existsSync(file)).map((file) => [file, readFileSync(file, 'utf8')] as const)
  const stanzas = texts.flatMap(([file, text]) => (file.endsWith('.sources') ? text.split(/\n\s*\n/) : []))
  const lines = texts.flatMap(([file, text]) => (file.endsWith('.list') ? text.split('\n') : []))
  const ofRelease = stanzas.filter((stanza) => new RegExp(`^Suites:\\s*${own}\\b`, 'mi').test(stanza))
  const found =
    ofRelease.length > 0 ? ofRelease.join('\n\n') : lines.filter((line) => new RegExp(`^deb\\s.*\\s${own}\\b`).test(line)).join('\n')
  return { codename: suite ?? own, sources: `${suite === undefined ? found : found.replaceAll(own, suite)}\n` }
}
