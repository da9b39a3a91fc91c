// `npm run sim:compare -- COMMIT`: plays seeds in the daemon of that commit and in the one of this
// tree, and compares what came of them. Exits 0: equal, 1: not, 2: usage.
import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { build } from 'esbuild'
import { PROJECT_ROOT as root } from '../support/readme.ts'
import { differences } from './differences.ts'

const USAGE = `npm run sim:compare -- COMMIT [--from SEED] [--seeds COUNT] [--ignore STREAM,STREAM] [--own]
  --ignore  streams that a step changes and says why: answer, event, status, wire, log, trace, audit, saved, saved-order, files, note
  --own     the old tree is played by its own recorder, for a change of what the recorder needs of src/`
const RECORDER = 'test/sim/record'
const SHOWN = 3

const { values, positionals } = arguments_()
const [commit = ''] = positionals
const first = Number(values.from ?? 1)
const count = Number(values.seeds ?? 50)
if (commit === '' || !(first > 0 && count > 0)) usage()
const hash = git('rev-parse', '--verify', `${commit}^{commit}`)
const ignored = new Set(values.ignore?.split(',') ?? [])

const work = mkdtempSync(join(tmpdir(), 'enigm-compare-'))
const oldTree = join(work, 'old')
let differing = 0
try {
  git('worktree', 'add', '--detach', '--force', oldTree, hash)
  symlinkSync(join(root, 'node_modules'), join(oldTree, 'node_modules'))
  if (!values.own) {
    rmSync(join(oldTree, RECORDER), { recursive: true, force: true })
    cpSync(join(root, RECORDER), join(oldTree, RECORDER), { recursive: true })
  }
  const kept = join(root, 'build-record', `${hash.slice(0, 12)}-${recorderHash()}`)
  const fresh = join(work, 'new')
  for (const one of await Promise.allSettled([recorded(oldTree, kept), recorded(root, fresh)]))
    if (one.status === 'rejected') throw one.reason
  for (let seed = first; seed < first + count; seed++) {
    const textIn = (from: string) => readFileSync(join(from, `${seed}.txt`), 'utf8')
    const [before, after] = [textIn(kept), textIn(fresh)]
    const found = differences(before, after).filter(({ stream }) => !ignored.has(stream))
    const order = before !== after && found.length === 0 && ignored.size === 0
    console.log(`seed ${seed}: ${found.length > 0 ? 'DIFFERENT' : `equal${order ? ', in another order within a moment' : ''}`}`)
    if (found.length > 0) differing++
    for (const { stream, lines, at, showing } of found) {
      console.log(`  ${stream}: ${lines} lines differ, the first at ${at} ms`)
      for (const line of showing.slice(0, SHOWN)) console.log(`    ${line}`)
    }
  }
} finally {
  spawnSync('git', ['worktree', 'remove', '--force', oldTree], { cwd: root })
  rmSync(work, { recursive: true, force: true })
}
console.log(`${count - differing} of ${count} seeds are equal to those of ${hash.slice(0, 12)}`)
process.exitCode = differing === 0 ? 0 : 1

function arguments_() {
  const options = { from: { type: 'string' }, seeds: { type: 'string' }, ignore: { type: 'string' }, own: { type: 'boolean' } } as const
  try {
    return parseArgs({ options, allowPositionals: true })
  } catch {
    return usage()
  }
}

function usage(): never {
  console.error(USAGE)
  process.exit(2)
}

function git(...args: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync('git', args, { cwd: root, encoding: 'utf8' })
  if (status !== 0) {
    console.error(stderr.trim())
    process.exit(2)
  }
  return stdout.trim()
}

/** What another recorder wrote of a commit is not compared with. */
function recorderHash(): string {
  const sum = createHash('sha256').update(String(values.own === true))
  const files = readdirSync(join(root, RECORDER)).toSorted()
  for (const file of files) sum.update(readFileSync(join(root, RECORDER, file)))
  return sum.digest('hex').slice(0, 12)
}

/**
 * Plays the seeds that are not in `out` yet. One bundle and no type check: a tree is built in a
 * second.
 */
async function recorded(tree: string, out: string): Promise<void> {
  mkdirSync(out, { recursive: true })
  const seeds = Array.from({ length: count }, (_, i) => first + i).filter((seed) => !existsSync(join(out, `${seed}.txt`)))
  if (seeds.length === 0) return
  const outfile = join(tree, 'build-record/main.mjs')
  const entry = join(tree, RECORDER, 'main.ts')
  await build({ entryPoints: [entry], bundle: true, platform: 'node', format: 'esm', packages: 'external', outfile, logLevel: 'error' })
  const player = spawn(process.execPath, [outfile, '--out', out, ...seeds.map(String)], { stdio: ['ignore', 'inherit', 'inherit'] })
  const code = await new Promise<number | null>((resolve) => player.on('close', resolve))
  if (code !== 0) throw new Error(`the recorder of ${tree === root ? 'this tree' : 'the old tree'} ended with ${code}`)
}
