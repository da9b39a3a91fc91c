import * as v from 'valibot'
import { described } from './fields.ts'

/**
 * When a changed setting takes effect. `reload`: when the files are read again. `start`: at the
 * next start of the service. `stop-at-start`: switching it on takes effect at a reload; switching
 * it off takes effect at the next start.
 */
export type Effect = 'reload' | 'start' | 'stop-at-start'

/** One key of the configuration: its schema with the default, and when a change takes effect. */
export interface Setting<Schema extends v.GenericSchema = v.GenericSchema> {
  readonly schema: Schema
  readonly effect: Effect
  /** Parts of the value that take effect at another time. */
  readonly parts?: Readonly<Record<string, Effect>>
}

/** An object of settings, each of which takes effect independently. */
export interface Group<Schema extends v.GenericSchema = v.GenericSchema, Inner extends Settings = Settings> {
  readonly schema: Schema
  readonly settings: Inner
}

/** Settings by their keys. */
export type Settings = Readonly<Record<string, Setting>>
type WithSchemas = Readonly<Record<string, { readonly schema: v.GenericSchema }>>
type Schemas<Table extends WithSchemas> = { readonly [Key in keyof Table]: Table[Key]['schema'] }

/** The schemas of a table of settings. */
export const schemasOf = <Table extends WithSchemas>(table: Table) =>
  Object.fromEntries(Object.entries(table).map(([key, { schema }]) => [key, schema])) as Schemas<Table>

/**
 * A setting with a default. `says`: its purpose in one sentence. The reference and editors show it.
 */
export function setting<const Schema extends v.GenericSchema, const Default extends v.InferInput<Schema>>(
  effect: Effect,
  says: string,
  schema: Schema,
  fallback: Default,
) {
  return { effect, schema: v.optional(described(says, schema), fallback) }
}

/** A setting without a default. It may be absent. */
export function absent<const Schema extends v.GenericSchema>(effect: Effect, says: string, schema: Schema) {
  return { effect, schema: v.exactOptional(described(says, schema)) }
}
