import { dirname } from 'node:path'
import * as v from 'valibot'
import { anyOwner, ownFile, readUnlinked } from './reading.ts'
import { makeDirectory, replaceFile } from './writing.ts'

/** Limit of one of our small files. */
export const MAX_PRIVATE_OCTETS = 1 << 20

/**
 * Reads one of our small files. Undefined: it is missing, it does not match `schema`, or another
 * user could have written it. Never throws, never blocks.
 */
export function readPrivateJson<S extends v.GenericSchema>(file: string, schema: S): v.InferOutput<S> | undefined {
  try {
    const octets = readUnlinked(file, MAX_PRIVATE_OCTETS, ownFile)
    if (octets === undefined || typeof octets === 'string') return undefined
    const parsed = v.safeParse(schema, JSON.parse(octets.toString('utf8')))
    return parsed.success ? parsed.output : undefined
  } catch {
    return undefined
  }
}

/**
 * Replaces the whole file (0600, in a directory of 0700). Returns false if this failed. Never
 * throws. `outlives`: see `replaceFile`.
 */
export function writePrivateJson(file: string, value: unknown, outlives: 'the boot' | 'the process' = 'the boot'): boolean {
  try {
    makeDirectory(dirname(file), 0o700)
    replaceFile(file, JSON.stringify(value), 0o600, outlives)
    return true
  } catch {
    return false
  }
}

/**
 * Whether a file does not match this schema. It then belongs to another program, and
 * `writePrivateJson` must not replace it.
 */
export function isForeignJson(file: string, schema: v.GenericSchema): boolean {
  try {
    const octets = readUnlinked(file, MAX_PRIVATE_OCTETS, anyOwner)
    if (octets === undefined || octets.length === 0) return false
    return typeof octets === 'string' || !v.safeParse(schema, JSON.parse(octets.toString('utf8'))).success
  } catch {
    return true
  }
}

/** Whether a JSON value is an object, and neither null nor a list. */
export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
