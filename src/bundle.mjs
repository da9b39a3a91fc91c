// Makes of src/ what dist/ holds: a bundle for each command, one for the worker threads, one for
// each heavy package, and V8's code for all of them. Two hundred and fifty module files took 350 ms
// to load; a bundle and its code take 20.
import { execFileSync } from 'node:child_process'
import { chmodSync, copyFileSync, mkdirSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { build } from 'esbuild'
import { writeAll } from './compile.cjs'

/**
 * Loaded only where they are used; commander, because `addCommand` wants every command to come from
 * one copy of it.
 */
const APART = /^(commander|pino|prom-client|undici|tldts|@peculiar\/x509)$/
const COMMAND = /^\.\/commands\/([a-z-]+)\.ts$/

/**
 * Bundles `root`/src into the directory `out`. Rejects with what esbuild says. Types are not
 * checked. `instead`: files that take the place of others, all by their paths below `root`; for the
 * bench.
 */
export async function bundle(root, out, instead = {}) {
  const parts = new Map([
    ['program', 'src/main.ts'],
    ['worker', 'src/workers/worker.ts'],
    ['build-worker', 'src/lists/build-worker.ts'],
  ])
  // A bundle may name further ones while it is made: a Map's iteration sees them.
  for (const [name, entry] of parts) await makePart(root, join(out, 'parts'), name, entry, parts, instead)
  copyFileSync(join(root, 'src', 'entry.cjs'), join(out, 'main.js'))
  chmodSync(join(out, 'main.js'), 0o755)
  writeFileSync(join(out, 'package.json'), '{ "type": "commonjs" }\n')
  copyFileSync(join(root, 'src', 'compile.cjs'), join(out, 'compile.cjs'))
  writeAll(join(out, 'parts'), join(root, 'dist', 'parts'))
  // Man pages and completions, from the commands themselves.
  execFileSync(process.execPath, [join(out, 'main.js'), 'manual', join(out, 'share')], { stdio: ['ignore', 'ignore', 'inherit'] })
}

function makePart(root, out, name, entry, parts, instead) {
  const apart = (part, of) => {
    if (!parts.has(part)) parts.set(part, of)
    return { path: `./${part}.js`, external: true }
  }
  const split = {
    name: 'split',
    setup(build) {
      build.onResolve({ filter: COMMAND }, ({ path, kind }) => {
        if (kind === 'dynamic-import') return apart(COMMAND.exec(path)[1], join('src', path))
      })
      build.onResolve({ filter: /\.ts$/ }, ({ path, resolveDir }) => {
        const other = instead[relative(root, join(resolveDir, path))]
        if (other !== undefined) return { path: join(root, other) }
      })
      build.onResolve({ filter: APART }, ({ path, kind }) => {
        if (kind !== 'entry-point') return apart(path.replace(/^@.*\//, ''), path)
      })
    },
  }
  mkdirSync(out, { recursive: true })
  return build({
    absWorkingDir: root,
    entryPoints: { [name]: entry },
    outdir: out,
    bundle: true,
    format: 'cjs',
    platform: 'node',
    target: 'node20.20',
    mainFields: ['module', 'main'],
    plugins: [split],
    // import() of a bundle becomes require(), which goes through the loader of main.js.
    supported: { 'dynamic-import': false },
    define: { 'import.meta.url': 'moduleUrl' },
    banner: { js: "const moduleUrl = require('node:url').pathToFileURL(__filename).href;" },
    charset: 'ascii', // read as Latin-1, which takes half the memory of what else a string may hold
    minifySyntax: true, // inlines constants; names and lines stay, for whoever reads a stack trace
    sourcemap: 'linked', // read by `node --enable-source-maps` alone
    logLevel: 'warning',
  })
}
