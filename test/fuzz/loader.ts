import type { LoadHook } from 'node:module'
import type { MessagePort } from 'node:worker_threads'
import { instrument } from './instrument.ts'

/**
 * Module hooks (node:module register): everything of ours below build/src/ is instrumented as it is
 * loaded, in `parts` of the tree.
 */
let parts: readonly string[] = []
let port: MessagePort | undefined

/** What the main thread hands over. */
export interface LoaderSetup {
  readonly parts: readonly string[]
  /** Takes the literals of each module: arrays of latin1 strings. */
  readonly port: MessagePort
}

export function initialize(setup: LoaderSetup): void {
  parts = setup.parts
  port = setup.port
}

export const load: LoadHook = async (url, context, nextLoad) => {
  const loaded = await nextLoad(url, context)
  const file = /\/build\/src\/(.*)\.js$/.exec(url)?.[1]
  if (file === undefined || loaded.source === undefined || !parts.some((part) => file.startsWith(part))) return loaded
  const text = typeof loaded.source === 'string' ? loaded.source : Buffer.from(loaded.source as Uint8Array).toString()
  const { code, words } = instrument(text, url)
  port?.postMessage(words)
  return { ...loaded, source: code }
}
