import { CLIENT_ROWS } from './client-rows.ts'
import { HOST_ROWS } from './host-rows.ts'
import type { Row } from './row.ts'
import { UPSTREAM_ROWS } from './upstream-rows.ts'

/** The whole chaos table, in its order. */
export const ROWS: readonly Row[] = [...UPSTREAM_ROWS, ...HOST_ROWS, ...CLIENT_ROWS]
