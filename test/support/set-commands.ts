import { systemClock, systemRandom } from '../../src/clock.ts'
import { resolversCommand } from '../../src/commands/resolvers.ts'
import type { SetWorld } from '../../src/commands/set-choice.ts'

/** What a run of `enigm-dns resolvers` printed, and its exit code. */
export interface SetRun {
  readonly out: string
  readonly err: string
  readonly code: number
}

/**
 * Runs `enigm-dns resolvers WORDS` in this process, with its terminal and `more` replaced.
 * `isTTY`: whether the error output is a terminal, which gets a progress line.
 */
export async function resolversRun(
  words: readonly string[],
  { isTTY = false, ...more }: Partial<Pick<SetWorld, 'places' | 'host' | 'source'>> & { readonly isTTY?: boolean },
): Promise<SetRun> {
  let [out, err, code] = ['', '', -1]
  const world = {
    out: { write: (text: string) => (out += text) },
    err: { write: (text: string) => (err += text), isTTY },
    clock: systemClock(),
    random: systemRandom,
    places: undefined,
    exit: (given: number) => {
      code = given
    },
    ...more,
  }
  await resolversCommand(world).parseAsync([...words], { from: 'user' })
  return { out, err, code }
}
