import type * as v from 'valibot'
import { isRecord } from '../files/json.ts'
import { statusDocument } from './document.ts'
import { isReasonCode } from './reasons.ts'

/** The name and version of the document that may be handed to others. */
export const REDACTED_SCHEMA = 'enigm-dns/status-redacted/1'

/** What a field's mark in the schema says of it; a field without one is left out. */
export type Share = 'keep' | 'count-by-state' | 'code'

/**
 * What may be told to others: exactly what the schema of the document marks (see document.ts, `x-share` in schema/status.schema.json), whatever else a file
 * holds. A field that somebody adds is left out until somebody marks it.
 */
export function redacted(value: unknown): Readonly<Record<string, unknown>> {
  const kept = pick(statusDocument, value)
  return { ...(isRecord(kept) ? kept : {}), schema: REDACTED_SCHEMA }
}

/** The loose shape of a valibot schema, as far as marks need it. */
interface Node {
  readonly type?: unknown
  readonly entries?: Readonly<Record<string, Node>>
  readonly item?: Node
  readonly wrapped?: Node
  readonly pipe?: readonly Node[]
  readonly metadata?: { readonly 'x-share'?: Share }
  readonly options?: readonly unknown[]
}

function pick(schema: v.GenericSchema, value: unknown): unknown {
  return walk(schema as Node, value)
}

function walk(node: Node, value: unknown): unknown {
  const bare = node.wrapped ?? node
  const share = shareOf(node) ?? shareOf(bare)
  if (share === 'count-by-state') return countByState(bare, value)
  if (share === 'code') return typeof value === 'string' && isReasonCode(value) ? value : 'other'
  if (share === 'keep') return wordOf(bare, value)
  const entries = bare.entries
  if (entries !== undefined) {
    if (!isRecord(value)) return undefined
    const kept = Object.entries(entries).flatMap(([key, child]) => {
      const found = Object.hasOwn(value, key) ? walk(child, value[key]) : undefined
      return found === undefined ? [] : [[key, found] as const]
    })
    return kept.length === 0 ? undefined : Object.fromEntries(kept)
  }
  const { item } = bare
  if (item === undefined || !Array.isArray(value)) return undefined
  const items = value.map((one) => walk(item, one)).filter((one) => one !== undefined)
  return items.length === 0 && (value.length > 0 || item.entries === undefined) ? undefined : items
}

/** Only words of a closed list pass: a text that anybody could have written is not kept, whatever its mark. */
function wordOf(node: Node, value: unknown): unknown {
  return optionsOf(node)?.includes(value) === true ? value : undefined
}

function countByState(node: Node, value: unknown): unknown {
  const states = optionsOf((node.item?.entries ?? node.item?.pipe?.[0]?.entries)?.state ?? {}) ?? []
  if (!Array.isArray(value)) return undefined
  return Object.fromEntries(states.map((state) => [state, value.filter((one) => isRecord(one) && one.state === state).length]))
}

function optionsOf(node: Node): readonly unknown[] | undefined {
  return node.options ?? node.pipe?.[0]?.options
}

function shareOf(node: Node): Share | undefined {
  return node.pipe?.map((step) => step.metadata?.['x-share']).find((share) => share !== undefined)
}
