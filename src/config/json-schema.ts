import { type JsonSchema, toJsonSchema } from '@valibot/to-json-schema'
import { configSchema } from './settings.ts'
import { trustedSetSchema } from './trusted-set.ts'

/**
 * Makes the JSON Schemas of both files, for editors, by their file name under schema/. Used at
 * build time and in tests only: the converter is a development dependency, so no module of the
 * daemon may import this. The loader checks more than a schema states (see CHECKED_IN_CODE_ONLY).
 */
export function jsonSchemas(): Readonly<Record<'config.schema.json' | 'resolvers.schema.json', JsonSchema>> {
  return {
    'config.schema.json': { title: 'enigm-dns configuration', ...toJsonSchema(configSchema, OPTIONS) },
    'resolvers.schema.json': { title: 'enigm-dns trusted-resolver set', ...toJsonSchema(trustedSetSchema, OPTIONS) },
  }
}

/**
 * The actions that JSON Schema cannot express. After a `transform` the converter reads nothing, not
 * even a description.
 */
const CHECKED_IN_CODE_ONLY = ['check', 'partial_check', 'raw_check', 'transform', 'to_lower_case']
const OPTIONS = { typeMode: 'input', target: 'draft-07', ignoreActions: CHECKED_IN_CODE_ONLY } as const
