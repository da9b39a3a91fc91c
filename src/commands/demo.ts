import { Command } from 'commander'
import { systemClock, systemRandom } from '../clock.ts'
import { startDemo } from '../demo/demo-setup.ts'
import { sayNext, show } from '../demo/show.ts'
import { EXIT } from '../exit-codes.ts'

const HELP = `
Needs no network and no root, and changes nothing on this host.

Exit codes:
  0  it ended as expected    1  a result differs from what the screen says, or the demo could not start    2  bad usage

Examples:
  $ enigm-dns demo
  $ enigm-dns demo --once
`

/**
 * `demo [--once]`: the daemon with an embedded trusted resolver, on loopback only. Exits with 1 if
 * a result differs from what the screen says.
 */
export function demoCommand(): Command {
  return new Command('demo')
    .description('show everything on loopback: the daemon, an embedded trusted resolver, and what an observer of the link sees')
    .option('--once', 'end after the first screen')
    .addHelpText('after', HELP)
    .action(async (options: { once?: boolean }) => {
      process.exitCode = await demo(options.once === true, (line) => console.log(line))
    })
}

/** Runs the demo until it ends or gets SIGINT or SIGTERM, cleans up, and returns the exit code. */
async function demo(once: boolean, say: (line: string) => void): Promise<number> {
  const time = systemClock()
  const told = signalled()
  try {
    const setting = startDemo(time)
    const stage = await Promise.race([setting, told])
    if (stage === 'told') {
      const late = await setting.catch(() => undefined)
      await late?.takeDown()
      return EXIT.good
    }
    try {
      const faults = await Promise.race([show(stage, say, time, systemRandom), stage.daemonEnded, told])
      if (faults === 'told') return EXIT.good
      for (const fault of faults) say(`WRONG: ${fault}`)
      if (faults.length > 0) return EXIT.notAsWished
      if (once) return EXIT.good
      sayNext(stage, say)
      say('Ctrl-C ends the demo.')
      await Promise.race([told, stage.daemonEnded])
      return EXIT.good
    } finally {
      await stage.takeDown()
    }
  } catch (error) {
    console.error(`demo: ${error instanceof Error ? error.message : String(error)}`)
    return EXIT.notAsWished
  }
}

/**
 * Resolves at the first signal, or when the reader of the output is gone (`demo | head`). Later
 * signals are ignored, so that an impatient second Ctrl-C leaves no daemon and no files behind.
 */
function signalled(): Promise<'told'> {
  return new Promise((resolve) => {
    process.stdout.on('error', () => resolve('told'))
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => resolve('told'))
  })
}
