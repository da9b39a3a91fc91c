import { parentPort } from 'node:worker_threads'
import type { Command } from '../../src/workers/protocol.ts'
import '../../src/workers/worker.ts'

/** A worker that dies of an uncaught error when settings with this timeout arrive. */
export const CRASH_TIMEOUT_MS = 666

parentPort?.on('message', (message: Uint8Array | Command) => {
  if (!(message instanceof Uint8Array) && message.type === 'adopt' && message.settings.timeoutMs === CRASH_TIMEOUT_MS)
    throw new RangeError('this worker crashes')
})
