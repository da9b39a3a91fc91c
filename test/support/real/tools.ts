import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import type { Test } from 'tap'
import packages from './tools.json' with { type: 'json' }

/**
 * A program of the system that a test runs beside ours. test/run.mjs names the missing ones, from
 * the same list.
 */
export type Tool = keyof typeof packages

/**
 * Absolute path of `tool`, or undefined. The sbin directories are looked into whatever PATH says:
 * servers live there.
 */
export function pathOf(tool: Tool): string | undefined {
  const directories = [...(process.env.PATH ?? '').split(delimiter), '/usr/local/sbin', '/usr/sbin', '/sbin']
  return directories.map((directory) => join(directory, tool)).find(isExecutable)
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

/**
 * Whether every one of `tools` is here. If not, says so in `t`: a visible skip on a developer's
 * machine, a failure where CI is set.
 */
export function requireTool(t: Test, ...tools: readonly Tool[]): boolean {
  return requireThat(t, missing(tools))
}

function missing(tools: readonly Tool[]): string | undefined {
  const absent = tools.filter((tool) => pathOf(tool) === undefined)
  if (absent.length === 0) return undefined
  return `needs ${absent.join(', ')}: apt-get install ${absent.map((tool) => packages[tool]).join(' ')}`
}

/** Whether `fault` is undefined. If not, says it in `t`: a skip, or a failure where CI is set. */
export function requireThat(t: Test, fault: string | undefined): boolean {
  if (fault === undefined) return true
  if (process.env.CI) t.fail(fault)
  else t.pass('left out', { skip: fault })
  return false
}
