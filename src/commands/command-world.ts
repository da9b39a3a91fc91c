import { type Clock, systemClock } from '../clock.ts'

/** The system access that every command uses; tests replace it. */
export interface CommandWorld {
  readonly out: { write(text: string): unknown }
  readonly err: { write(text: string): unknown }
  readonly clock: Clock
  /** Sets the exit code. The process ends when nothing keeps it alive. */
  readonly exit: (code: number) => void
}

/** The terminal and the clock of this process. */
export function thisCommand(): CommandWorld {
  return {
    out: process.stdout,
    err: process.stderr,
    clock: systemClock(),
    exit: (code) => {
      process.exitCode = code
    },
  }
}
