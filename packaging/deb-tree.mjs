// What the .deb holds: the program, Node, units, pages, completions, a skeleton of the configuration.
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { chmodSync, cpSync, existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { pathToFileURL } from 'node:url'
import { gzipSync } from 'node:zlib'
import { build } from 'esbuild'
import { root } from '../src/setup.mjs'
import { documentsIn, packagedDocument } from './documents.mjs'

const HOME = 'usr/lib/enigm-dns'
const { version, description } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
const node = JSON.parse(readFileSync(join(root, 'packaging/node.json'), 'utf8'))
/** Where there is no commit to take a date from. */
const SOME_DAY = Date.UTC(2026, 0, 1) / 1000
/** What a document may lead to that lies beside the program. */
const DATA = /^(resolvers\.json|schema\/)/
const LEFT_OUT = /\.(code|map)$|\.built-from$/

/**
 * Lays out the package in `tree`. Resolves to its architecture, and the date of everything in it as
 * seconds since 1970. `scratch` holds what is downloaded.
 */
export async function debTree(tree, scratch) {
  const binary = node[process.arch]
  if (process.platform !== 'linux' || binary === undefined)
    throw new Error(`a .deb is made on Linux, for x64 and arm64; this is ${process.platform} ${process.arch}`)
  const epoch = sourceDate()
  const maintainer = maintainerOf(process.env)
  const put = (path, content, mode = 0o644) => {
    mkdirSync(dirname(join(tree, path)), { recursive: true })
    writeFileSync(join(tree, path), content)
    chmodSync(join(tree, path), mode)
  }
  const copy = (from, path, filter = () => true) => cpSync(from, join(tree, path), { recursive: true, filter, dereference: true })

  copy(join(root, 'dist'), `${HOME}/dist`, (path) => !LEFT_OUT.test(path) && path !== join(root, 'dist/share'))
  // Run by the Node beside it, and by no other.
  put(`${HOME}/dist/main.js`, readFileSync(join(root, 'dist/main.js'), 'utf8').replace(/^#!.*/, '//'))
  for (const name of ['resolvers.json', 'schema']) copy(join(root, name), `${HOME}/${name}`)
  put(`${HOME}/package.json`, `${JSON.stringify({ name: 'enigm-dns', version, type: 'module' })}\n`)
  copyKoffi(copy)
  const license = fetchNode(binary, scratch, (path) => copy(path, `${HOME}/bin/node`))
  put('usr/bin/enigm-dns', `#!/bin/sh\nexec /${HOME}/bin/node /${HOME}/dist/main.js "$@"\n`, 0o755)
  await putUnits(put, scratch)
  putPages(put)
  putDocs(put, { license, maintainer, epoch })
  put('etc/enigm-dns/config.json', readFileSync(join(root, 'packaging/debian/config.skeleton')))
  put('usr/share/lintian/overrides/enigm-dns', readFileSync(join(root, 'packaging/debian/lintian-overrides')))
  putControl(put, tree, { arch: binary.debian, maintainer })
  settle(tree, epoch)
  return { tree, arch: binary.debian, epoch }
}

/** The package koffi, as far as it is used: its script, and machine code for this C library. */
function copyKoffi(copy) {
  const modules = join(root, 'node_modules')
  const native = `@koromix/koffi-linux-${process.arch}`
  if (!existsSync(join(modules, native))) throw new Error(`${native} is not installed: run npm ci`)
  const wanted = (path) =>
    lstatSync(path).isDirectory()
      ? !/\/(doc|vendor|lib)$|musl/.test(path)
      : /\.(js|cjs|json|node)$/.test(path) && !/(cnoke|trampolines)\.cjs$/.test(path)
  for (const name of ['koffi', native]) copy(join(modules, name), `${HOME}/node_modules/${name}`, wanted)
}

/** Fetches the pinned Node by npm, checks it, and hands its binary on. Returns its license. */
function fetchNode({ package: name, integrity }, scratch, take) {
  const archive = join(scratch, `${name}-${node.version}.tgz`)
  execFileSync('npm', ['pack', `${name}@${node.version}`, '--silent', '--prefer-offline', '--pack-destination', scratch], {
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  const found = `sha512-${createHash('sha512').update(readFileSync(archive)).digest('base64')}`
  if (found !== integrity) throw new Error(`${name}@${node.version} is not the one that packaging/node.json names: ${found}`)
  execFileSync('tar', ['-xzf', archive, '-C', scratch, 'package/bin/node', 'package/LICENSE'])
  take(join(scratch, 'package/bin/node'))
  return readFileSync(join(scratch, 'package/LICENSE'), 'utf8')
}

/** The same texts that `enigm-dns service install` writes. */
async function putUnits(put, scratch) {
  const file = join(scratch, 'units.mjs')
  await build({ entryPoints: [join(root, 'src/system/units.ts')], outfile: file, format: 'esm', logLevel: 'warning' })
  const { unitFiles } = await import(pathToFileURL(file).href)
  const units = unitFiles({ program: [`/${HOME}/bin/node`, `/${HOME}/dist/main.js`], notifies: true })
  for (const [name, text] of Object.entries(units)) put(`usr/lib/systemd/system/${name}`, text)
}

function putPages(put) {
  const share = join(root, 'dist/share')
  const read = (...path) => readFileSync(join(share, ...path))
  for (const page of readdirSync(join(share, 'man/man1'))) put(`usr/share/man/man1/${page}.gz`, zipped(read('man/man1', page)))
  put('usr/share/bash-completion/completions/enigm-dns', read('bash-completion/completions/enigm-dns'))
  put('usr/share/zsh/vendor-completions/_enigm-dns', read('zsh/site-functions/_enigm-dns'))
  put('usr/share/fish/vendor_completions.d/enigm-dns.fish', read('fish/vendor_completions.d/enigm-dns.fish'))
}

function putDocs(put, { license: nodeLicense, maintainer, epoch }) {
  const doc = 'usr/share/doc/enigm-dns'
  const license = (name) => readFileSync(join(root, name), 'utf8')
  const parts = [
    ['enigm-dns', license('LICENSE')],
    ['koffi, in node_modules', license('node_modules/koffi/LICENSE.txt')],
    [`Node ${node.version}, in bin/node`, `See /${doc}/node-license.gz.`],
    ...bundled().map((name) => [`${name}, in dist`, license(name)]),
  ]
  put(`${doc}/node-license.gz`, zipped(nodeLicense))
  put(`${doc}/copyright`, parts.map(([what, text]) => `${what}:\n\n${short(text.trim())}\n`).join(`\n${'-'.repeat(78)}\n\n`))
  const entry = ['  * What changed is in /usr/share/doc/enigm-dns/CHANGELOG.md.', ` -- ${maintainer}  ${dateOf(epoch)}`]
  put(`${doc}/changelog.gz`, zipped([`enigm-dns (${version}) unstable; urgency=medium`, ...entry, ''].join('\n\n')))
  const documents = documentsIn(root)
  const placeOf = (path) => (documents.includes(path) ? 'beside' : DATA.test(path) ? `/${HOME}/${path}` : undefined)
  for (const name of documents) {
    const content = readFileSync(join(root, name))
    put(`${doc}/${name}`, name.endsWith('.md') ? packagedDocument(name, content.toString(), placeOf) : content)
  }
}

/** A license that every Debian system has is named, as Debian wants it. */
function short(text) {
  return /Apache License\s+Version 2\.0, January 2004/.test(text) ? 'Apache License 2.0: /usr/share/common-licenses/Apache-2.0' : text
}

/** The licenses of what is part of dist/, which esbuild names in comments. */
function bundled() {
  const parts = join(root, 'dist/parts')
  const texts = readdirSync(parts)
    .filter((file) => file.endsWith('.js'))
    .map((file) => readFileSync(join(parts, file), 'latin1'))
  const names = new Set(
    texts.flatMap((text) => [...text.matchAll(/^\/\/ (node_modules\/(?:@[^/\n]+\/)?[^/\n]+)\//gm)].map(([, name]) => name)),
  )
  return [...names].sort().flatMap((name) =>
    readdirSync(join(root, name))
      .filter((file) => /^licen[cs]e/i.test(file))
      .slice(0, 1)
      .map((file) => `${name}/${file}`),
  )
}

function putControl(put, tree, { arch, maintainer }) {
  const files = filesBelow(tree)
  const octets = files.reduce((sum, file) => sum + lstatSync(file).size, 0)
  const sums = files.map((file) => `${createHash('md5').update(readFileSync(file)).digest('hex')}  ${relative(tree, file)}\n`)
  const control = [
    'Package: enigm-dns',
    `Version: ${version}`,
    `Architecture: ${arch}`,
    `Maintainer: ${maintainer}`,
    `Installed-Size: ${Math.ceil(octets / 1024)}`,
    'Depends: libc6 (>= 2.28), libgcc-s1 (>= 3.4), libstdc++6 (>= 9)',
    'Suggests: bash-completion',
    'Section: net',
    'Priority: optional',
    'Description: encrypted DNS for this machine, with evidence',
    ...wrapped(`${description}.`),
    ' .',
    ' Nothing is started by the installation. "enigm-dns system enable" starts the',
    ' service, has the system ask it, and proves that it does.',
  ]
  put('DEBIAN/control', `${control.join('\n')}\n`)
  put('DEBIAN/conffiles', '/etc/enigm-dns/config.json\n')
  put('DEBIAN/md5sums', sums.join(''))
  for (const name of ['postinst', 'prerm', 'postrm']) put(`DEBIAN/${name}`, readFileSync(join(root, 'packaging/debian', name)), 0o755)
}

/** Lines of a description: a space before each, 80 columns at most. */
const wrapped = (text) => text.match(/.{1,76}(?: |$)/g).map((line) => ` ${line.trim()}`)

/** As a Debian changelog has it (RFC 5322). */
const dateOf = (epoch) => new Date(epoch * 1000).toUTCString().replace('GMT', '+0000')

const filesBelow = (folder) =>
  readdirSync(folder, { recursive: true })
    .map((path) => join(folder, path))
    .filter((path) => lstatSync(path).isFile())
    .sort()

/** Without a date and a name in the header (RFC 1952). */
const zipped = (content) => gzipSync(content, { level: 9 })

function sourceDate() {
  if (process.env.SOURCE_DATE_EPOCH !== undefined) return Number(process.env.SOURCE_DATE_EPOCH)
  try {
    return Number(execFileSync('git', ['log', '-1', '--format=%ct'], { cwd: root, stdio: ['ignore', 'pipe', 'ignore'] }))
  } catch {
    return SOME_DAY
  }
}

/**
 * Who answers for this package: the person whom Debian's own tools take (debchange(1)), or else the
 * author of the commit, so that two builds of one commit stay the same. Without either it says that
 * there is no address (RFC 2606).
 */
export function maintainerOf({ DEBFULLNAME: name, DEBEMAIL: email }) {
  // Signs that mean something in the field (Debian policy 5.6.2).
  const plain = (text) =>
    text
      .replace(/[",()<>\n]/g, ' ')
      .replace(/ +/g, ' ')
      .trim()
  const person = (who, address) => `${plain(who)} <${plain(address)}>`
  if (name && email) return person(name, email)
  try {
    const said = execFileSync('git', ['log', '-1', '--format=%an%n%ae'], { cwd: root, stdio: ['ignore', 'pipe', 'ignore'] })
    const [author = '', address = ''] = said.toString().trim().split('\n')
    if (author !== '' && address.includes('@')) return person(author, address)
  } catch {
    // Not a clone: see below.
  }
  console.error('enigm-dns: the .deb names no maintainer: set DEBFULLNAME and DEBEMAIL')
  return 'nobody in particular <enigm-dns@package.invalid>'
}

/** One mode for each kind of file, and one date, whatever the umask and the clock say. */
function settle(folder, epoch) {
  for (const path of [...readdirSync(folder, { recursive: true }).map((name) => join(folder, name)), folder]) {
    const stats = lstatSync(path)
    chmodSync(path, stats.isDirectory() || (stats.mode & 0o100) !== 0 ? 0o755 : 0o644)
    utimesSync(path, epoch, epoch)
  }
}
