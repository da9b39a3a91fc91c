// `npm run package`: packages/enigm-dns-VERSION.tgz for `npm install -g`, and
// packages/enigm-dns_VERSION_ARCH.deb, which brings its own Node. Two builds of one commit are the
// same, octet for octet. Options: --to DIR; --compression xz (default), or zstd, which is quick.
// DEBFULLNAME and DEBEMAIL: the maintainer of the .deb; else the author of the commit.
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { ensureBuilt, ensureInstalled, root } from '../src/setup.mjs'
import { debTree } from './deb-tree.mjs'
import { documentsIn, packagedDocument } from './documents.mjs'

const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
const { values } = parseArgs({ options: { to: { type: 'string' }, compression: { type: 'string', default: 'xz' } } })
const to = resolve(values.to ?? join(root, 'packages'))
const scratch = mkdtempSync(join(tmpdir(), 'enigm-dns-package-'))

try {
  await ensureInstalled()
  await ensureBuilt()
  mkdirSync(to, { recursive: true })
  console.log(packTgz())
  console.log(await packDeb())
} catch (error) {
  console.error(`enigm-dns: ${error.message}`)
  process.exitCode = 1
} finally {
  rmSync(scratch, { recursive: true, force: true })
}

/**
 * npm writes every file with one date and one owner. It is packed twice: only the content of the
 * first package says which links of its documents lead somewhere. Returns where the package lies.
 */
function packTgz() {
  const name = `enigm-dns-${version}.tgz`
  const pack = (cwd) => {
    const args = ['pack', '--ignore-scripts', '--silent', '--pack-destination', scratch]
    execFileSync('npm', args, { cwd, stdio: ['ignore', 'ignore', 'inherit'] })
  }
  pack(root)
  const unpacked = join(scratch, 'npm')
  mkdirSync(unpacked)
  execFileSync('tar', ['-xzf', join(scratch, name), '-C', unpacked])
  const folder = join(unpacked, 'package')
  for (const path of documentsIn(folder).filter((one) => one.endsWith('.md'))) {
    const placeOf = (wanted) => (existsSync(join(folder, wanted)) ? 'beside' : undefined)
    writeFileSync(join(folder, path), packagedDocument(path, readFileSync(join(folder, path), 'utf8'), placeOf))
  }
  pack(folder)
  return place(name)
}

/** dpkg-deb takes dates that are later than SOURCE_DATE_EPOCH back to it. Returns where it lies. */
async function packDeb() {
  const { tree, arch, epoch } = await debTree(join(scratch, 'tree'), scratch)
  const name = `enigm-dns_${version}_${arch}.deb`
  // With one thread the output does not depend on how many processors there are.
  const args = [
    '--root-owner-group',
    '--uniform-compression',
    `-Z${values.compression}`,
    // Node's 99 MB become 28.1 MB in 11 s of CPU; level 3 makes 26.8 MB in 31 s.
    '-z1',
    '--threads-max=1',
    '--build',
    tree,
    join(scratch, name),
  ]
  execFileSync('dpkg-deb', args, { env: { ...process.env, SOURCE_DATE_EPOCH: String(epoch) }, stdio: ['ignore', 'ignore', 'inherit'] })
  return place(name)
}

/** Whoever installs from `to` sees the old package or the new one. */
function place(name) {
  const target = join(to, name)
  rmSync(`${target}.part`, { force: true })
  execFileSync('cp', [join(scratch, name), `${target}.part`])
  renameSync(`${target}.part`, target)
  return target
}
