import type { Machine } from '../machine.ts'
import type { CoverDay } from './caches.ts'
import type { Gate } from './gates.ts'
import type { Row } from './measure.ts'
import type { Knobs } from './pages.ts'
import type { Scale } from './scale.ts'
import type { ScenarioReport } from './scenarios.ts'
import type { TimingRow } from './wire/micro-timing.ts'
import type { WireRow } from './wire/wire-row.ts'

/** The page workload that the generator makes. */
export const SYNTHETIC = 'synthetic'

/** One run, as observer.json holds it. */
export interface Results {
  readonly schema: 'enigm-dns/observer-bench/1'
  readonly date: string
  readonly seconds: number
  readonly seed: string
  readonly scale: Scale
  readonly knobs: Knobs
  readonly machine: Machine
  /** The page workload: synthetic, or the name of a trace file's source. */
  readonly pages: string
  readonly rows: readonly Row[]
  readonly many: readonly Row[]
  readonly sweep: readonly Row[]
  readonly scenarios: readonly ScenarioReport[]
  readonly days: readonly Omit<CoverDay, 'tape'>[]
  readonly wire: readonly WireRow[]
  readonly timing: readonly TimingRow[]
  readonly gates: readonly Gate[]
}
