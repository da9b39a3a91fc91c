// `npm test`: install and build if need be, lint, type check, every test, one closing line. Exits
// 1 on any failure. `npm test -- e2e/demo` runs only the test files whose path holds one of the
// words, without the lint.
import { accessSync, constants, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { ensureBuilt, ensureInstalled, root, sh, tsc } from '../src/setup.mjs'
import { runFiles } from './support/run-files.mjs'

/** As many files may be judged by a second run; more than that is a fault of ours. */
const MOST_AGAIN = 4
/** After which a test file is killed: any that tap did not end, and one that may take hours. */
const HUNG_S = { usual: 1200, long: 20_000 }

const words = process.argv.slice(2)
const startedMs = performance.now()
const packages = JSON.parse(readFileSync(join(root, 'test/support/real/tools.json'), 'utf8'))
const absent = Object.keys(packages).filter((tool) => !isInstalled(tool))
const problems = []
let passed = 0
let failed = 0
let skipped = 0

keepLabImage()
warnOfMissingTools()
try {
  await step('install', ensureInstalled)
  // Compiled before any test: tap's own TypeScript support costs 1 s a file and does not check
  // types.
  await step('types and build/', () => {
    rmSync(join(root, 'build'), { recursive: true, force: true })
    if (tsc('-p', 'tsconfig.test.json') !== 0) problem('the type check failed')
  })
  await step('dist/', async () => {
    try {
      await ensureBuilt()
    } catch (error) {
      problem(error.message)
    }
  })
  if (words.length === 0)
    await step(
      'lint',
      () => sh(join(root, 'node_modules/.bin/biome'), ['check', '--error-on-warnings', '.']) !== 0 && problem('lint failed'),
    )
  await runTests()
} catch (error) {
  problem(error.message)
}
warnOfMissingTools()
for (const text of problems) console.log(`FAILED: ${text}`)
const seconds = ((performance.now() - startedMs) / 1000).toFixed(0)
console.log(`assertions in ${seconds} s, ${skipped} skipped:`)
console.log(`${passed} passed, ${failed} failed`)
process.exitCode = failed === 0 ? 0 : 1

/**
 * A step that is not a test (lint, types, build) counts as one failure, so that the closing line
 * cannot look clean.
 */
function problem(text) {
  problems.push(text)
  failed++
}

async function step(name, fn) {
  const beganMs = performance.now()
  await fn()
  console.log(`-- ${name}: ${((performance.now() - beganMs) / 1000).toFixed(1)} s`)
}

/**
 * What test/support/lab boots is built once a run, by the first test file that needs it, and is
 * gone afterwards. Without root it is root's, made and removed by each file.
 */
function keepLabImage() {
  if (process.env.ENIGM_DNS_LAB !== undefined || process.getuid?.() !== 0) return
  const folder = mkdtempSync(join(tmpdir(), 'enigm-dns-lab-'))
  process.env.ENIGM_DNS_LAB = folder
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }))
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1))
}

function isInstalled(tool) {
  const directories = [...process.env.PATH.split(delimiter), '/usr/local/sbin', '/usr/sbin', '/sbin']
  return directories.some((directory) => {
    try {
      accessSync(join(directory, tool), constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}

function warnOfMissingTools() {
  if (absent.length === 0) return
  const what = process.env.CI ? 'the tests that need them FAIL (CI is set)' : 'the tests that need them are SKIPPED'
  const line = '!'.repeat(78)
  console.log(
    `${line}\nMissing: ${absent.join(' ')}: ${what}. On Debian:\n  apt-get install --no-install-recommends ${[...new Set(absent.map((tool) => packages[tool]))].join(' ')}\n${line}`,
  )
}

/**
 * Runs the compiled tests and adds their totals to ours. Three at a time, on any machine: most wait
 * more than they compute, and a test that passes only alone is found here, and named. If it depends
 * on time, it does not fail the run: a neighbour that takes the processor for a second is no fault
 * of what is tested.
 */
async function runTests() {
  const files = readdirSync(join(root, 'build/test'), { recursive: true })
    .filter(
      (path) => path.endsWith('.test.js') && (words.length === 0 ? !path.startsWith('long') : words.some((word) => path.includes(word))),
    )
    .map((path) => join('build/test', path))
    .sort()
  if (files.length === 0) throw new Error(`no test file matches ${words.join(' ')}`)
  const results = await runFiles(files, { jobs: 3, hungS: words.length === 0 ? HUNG_S.usual : HUNG_S.long, root })
  const late = results.filter(({ problem }) => problem !== undefined)
  const again = late.length > 0 && late.length <= MOST_AGAIN && files.length > 1 && late.every(({ file }) => dependsOnTime(file))
  if (!again) return add(results)
  console.log(`-- again, alone, since a neighbour can make them late: ${late.map(({ file }) => file).join(' ')}`)
  const alone = await runFiles(
    late.map(({ file }) => file),
    { jobs: 1, hungS: HUNG_S.long, root },
  )
  for (const { file, problem } of late)
    console.log(`${alone.some((one) => one.file === file && one.problem) ? 'FAILED TWICE' : 'PASSES ONLY ALONE'}: ${problem}`)
  add([...results.filter(({ problem }) => problem === undefined), ...alone])
}

function add(results) {
  for (const { pass, fail, skip, problem } of results) {
    passed += pass
    failed += fail
    skipped += skip
    if (problem !== undefined) problems.push(problem)
  }
}

/** Whether a compiled test file has limits of time or of CPU, its own or those of a process. */
function dependsOnTime(file) {
  return /performance\.now|cpuUsage|sleep\(|until\(|inside(?:Lab|Namespace)\(|startDaemon/.test(readFileSync(join(root, file), 'utf8'))
}
