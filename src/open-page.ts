import type { HeldAnswer } from './cache/memory.ts'
import type { Clock } from './clock.ts'
import type { Loaded } from './config/load.ts'
import type { Evidence } from './evidence.ts'
import type { ExplainInput } from './explain.ts'
import type { Page } from './page/page.ts'

/** What the page shows, and reads of the running service. */
export interface PageSources {
  /** The configuration in force. */
  readonly loaded: () => Loaded
  readonly evidence: Evidence
  /** What is kept for a question. */
  readonly held: (input: ExplainInput) => HeldAnswer | undefined
  readonly clock: Clock
}

/**
 * Serves the page, if one is configured; its code is loaded only then: the page and its metrics
 * cost 4 MB. Rejects if it cannot listen, which is only a warning: names must resolve without it.
 */
export async function openPage({ loaded, evidence, held, clock }: PageSources): Promise<Page | undefined> {
  const { page, stateDir } = loaded().config
  if (page === undefined) return undefined
  const [{ servePage }, { cacheStep, explain }] = await Promise.all([import('./page/page.ts'), import('./explain.ts')])
  const { document, violations } = evidence
  const explained = (input: ExplainInput) => explain(loaded(), input, cacheStep(held(input) ?? {}))
  return servePage({ listen: page.listen, stateDir, document, violations, clock, explain: explained })
}
