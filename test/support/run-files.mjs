import { spawn } from 'node:child_process'
import { readTap } from './tap-report.mjs'

/** After which tap ends a test file that does not say otherwise; the longest takes 110 s. */
const TIMEOUT_S = 300

const running = new Set()
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

/**
 * Runs compiled test files, `jobs` at a time, each by Node itself, and prints of each what
 * tap-report.mjs makes of it. What does not come back within `hungS` is killed. Resolves to a
 * result for each file: { file, pass, fail, skip, problem }, in assertions; `problem` is a line, or
 * undefined where the file passed.
 *
 * Not by `tap run`: what that preloads, for coverage and mocks, goes on to every thread and Node
 * process that a test starts and costs each up to 1 s (lists/lists took 60 s with it and takes 6).
 */
export async function runFiles(files, { jobs, hungS, root }) {
  const waiting = [...files]
  const results = []
  const worker = async () => {
    for (let file = waiting.shift(); file !== undefined; file = waiting.shift()) results.push(await runFile(file, hungS, root))
  }
  await Promise.all(Array.from({ length: jobs }, worker))
  return results
}

async function runFile(file, hungS, root) {
  const beganMs = performance.now()
  const env = { ...process.env, TAP: '1', TAP_TIMEOUT: String(TIMEOUT_S) }
  const child = spawn(process.execPath, ['--enable-source-maps', file], { cwd: root, env, stdio: ['ignore', 'pipe', 2] })
  running.add(child)
  const hung = setTimeout(() => child.kill('SIGKILL'), hungS * 1000)
  const closed = new Promise((resolve) => {
    child.on('error', (error) => resolve(error.message))
    child.on('close', (code, signal) => resolve(signal ?? code))
    // What it left running may hold its output open.
    child.on('exit', (code, signal) => setTimeout(() => resolve(signal ?? code), 5000).unref())
  })
  const text = []
  child.stdout.setEncoding('utf8').on('data', (part) => text.push(part))
  const end = await closed
  clearTimeout(hung)
  running.delete(child)
  const { lines, ...result } = readTap(file, text.join(''), end, (performance.now() - beganMs) / 1000)
  for (const line of lines) console.log(line)
  return result
}
