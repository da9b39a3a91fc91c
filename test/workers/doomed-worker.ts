import { parentPort } from 'node:worker_threads'
import type { Order } from '../../src/workers/protocol.ts'
import '../../src/workers/worker.ts'

/** A worker that dies of an uncaught error when settings with this timeout arrive. */
export const DOOM_MS = 666

parentPort?.on('message', (message: Uint8Array | Order) => {
  if (!(message instanceof Uint8Array) && message.type === 'adopt' && message.settings.timeoutMs === DOOM_MS) throw new RangeError('doomed')
})
