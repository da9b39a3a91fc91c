import { readStatus, type Witness } from './reader.ts'

/** A service that said it ends is no rival, though its process may still be there for a moment. */
const ENDING = new Set(['stopping', 'stopped'])

/** The process that writes the status file at `path` already, if it lives and is not `self`; two of them would make it say now one thing and now the other. */
export function otherWriter(path: string, witness: Witness, self: number): number | undefined {
  const { document } = readStatus(path, witness)
  if (document === undefined || document.pid === self) return undefined
  if (document.signals.service.reasons.some(({ code }) => ENDING.has(code))) return undefined
  return witness.isSame(document.pid, document.processStart) === true ? document.pid : undefined
}
