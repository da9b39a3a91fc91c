import type { View } from '../resolve.ts'

/** Everybody's answers. */
export const EVERYBODYS = 0 as View

/**
 * Which answers the client at `address` is entitled to. The one place that makes a view: every listener of every thread asks here, once a packet or connection, and
 * the view goes with the client (`Client.view`) from then on. So an answer cannot be kept under one view and looked for under another.
 */
export function viewFor(_address: string): View {
  return EVERYBODYS
}
