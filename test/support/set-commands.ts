import { systemClock, systemRandom } from '../../src/clock.ts'
import { type ListUpdates, type ListWorld, listUpdates } from '../../src/commands/list-updates.ts'
import { resolversCommand } from '../../src/commands/resolvers.ts'
import type { SetWorld } from '../../src/commands/set-choice.ts'
import { loadConfig } from '../../src/config/load.ts'
import type { Event } from '../../src/events.ts'
import { FakeClock } from './fake-clock.ts'

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

/**
 * The lists of a configuration as a running service updates them, after its first look at them.
 * `events`: what it has reported.
 */
export async function listsOfService(
  configFile: string,
  unfit?: ListWorld['unfit'],
): Promise<{ readonly events: readonly Event[]; readonly updates: ListUpdates }> {
  const clock = new FakeClock()
  const events: Event[] = []
  const world = { clock, random: systemRandom, lookup: async () => [], report: (event: Event) => void events.push(event) }
  const updates = listUpdates(unfit === undefined ? world : { ...world, unfit })
  updates.adopt(await loadConfig(configFile))
  clock.advance(1100)
  await new Promise((resolve) => setTimeout(resolve, 100))
  return { events, updates }
}
