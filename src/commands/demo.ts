import { Command } from 'commander'
import { systemClock, systemRandom } from '../clock.ts'
import { type DemoSetup, startDemo } from '../demo/demo-setup.ts'
import { sayNext, show } from '../demo/show.ts'
import { EXIT } from '../exit-codes.ts'
import { pathsLines } from './paths-screen.ts'

const HELP = `
Needs no network and no root, and changes nothing on this host.

Exit codes:
  0  it ended as expected    1  a result differs from what the screen says, or the demo could not start    2  bad usage

Examples:
  $ enigm-dns demo
  $ enigm-dns demo --once
  $ enigm-dns demo --paths     one query through a relay, with what each party saw of it
`

/**
 * `demo [--once] [--paths]`: the daemon with an embedded trusted resolver, on loopback only. Exits
 * with 1 if a result differs from what the screen says.
 */
export function demoCommand(): Command {
  return new Command('demo')
    .description('show everything on loopback: the daemon, an embedded trusted resolver, and what an observer of the link sees')
    .option('--once', 'end after the first screen')
    .option('--paths', 'show one query through a relay (ODoH), with what each party saw of it from its own log')
    .addHelpText('after', HELP)
    .action(async (options: { once?: boolean; paths?: boolean }) => {
      const say = (line: string) => console.log(line)
      process.exitCode = await (options.paths === true ? pathsDemo(say) : demo(options.once === true, say))
    })
}

/** Runs the demo until it ends or gets SIGINT or SIGTERM, cleans up, and returns the exit code. */
function demo(once: boolean, say: (line: string) => void): Promise<number> {
  const time = systemClock()
  return staged(
    () => startDemo(time),
    say,
    async (stage, signal) => {
      const faults = await show(stage, say, time, systemRandom)
      if (faults.length > 0 || once) return faults
      sayNext(stage, say)
      say('Ctrl-C ends the demo.')
      await Promise.race([signal, stage.daemonEnded])
      return []
    },
  )
}

/** Runs the demo of one query through a relay. Returns the exit code. */
async function pathsDemo(say: (line: string) => void): Promise<number> {
  const time = systemClock()
  const { showPaths, startPathsDemo } = await import('../demo/paths-demo.ts')
  return staged(
    () => startPathsDemo(time),
    say,
    (stage) => showPaths(stage, say, (document) => pathsLines(document, COLUMNS), time, systemRandom),
  )
}

const COLUMNS = 80

type Stage = Pick<DemoSetup, 'daemonEnded' | 'takeDown'>

/**
 * Starts all parts, runs `act`, and stops all parts. `act` returns the faults that it found.
 * Returns the exit code.
 */
async function staged<S extends Stage>(
  start: () => Promise<S>,
  say: (line: string) => void,
  act: (stage: S, signal: Promise<'signalled'>) => Promise<readonly string[]>,
): Promise<number> {
  const signal = signalled()
  try {
    const setting = start()
    const stage = await Promise.race([setting, signal])
    if (stage === 'signalled') {
      const late = await setting.catch(() => undefined)
      await late?.takeDown()
      return EXIT.good
    }
    try {
      const faults = await Promise.race([act(stage, signal), stage.daemonEnded, signal])
      if (faults === 'signalled') return EXIT.good
      for (const fault of faults) say(`WRONG: ${fault}`)
      return faults.length > 0 ? EXIT.notAsWished : EXIT.good
    } finally {
      await stage.takeDown()
    }
  } catch (error) {
    console.error(`demo: ${error instanceof Error ? error.message : String(error)}`)
    return EXIT.notAsWished
  }
}

/**
 * Resolves at the first signal, or when the reader of the output has exited (`demo | head`). Later
 * signals are ignored, so that a second Ctrl-C leaves no daemon and no files behind.
 */
function signalled(): Promise<'signalled'> {
  return new Promise((resolve) => {
    process.stdout.on('error', () => resolve('signalled'))
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => resolve('signalled'))
  })
}
