import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'
import { requireThat } from './tools.ts'

/** For all the tests of one file, unless it names another limit. */
const LIMIT_MS = 600_000
const MARK = 'ENIGM_DNS_INSIDE_NAMESPACE'

/**
 * Runs the calling test file again in a mount and network namespace of its own, where port 53 is
 * free, /etc/resolv.conf may be replaced, and every packet is ours. Returns true in the inner run:
 * go on with the tests. False in the outer one: nothing more to do. Works without root where user
 * namespaces are allowed.
 */
export function insideNamespace(t: Test, fileUrl: string, limitMs = LIMIT_MS): boolean {
  if (process.env[MARK] !== undefined) {
    execFileSync('ip', ['link', 'set', 'lo', 'up'])
    return true
  }
  const flags = process.getuid?.() === 0 ? ['-mn'] : ['-rmn']
  const possible = tries('unshare', [...flags, 'ip', 'link', 'set', 'lo', 'up'])
  if (!requireThat(t, possible ? undefined : 'needs network namespaces (root, or user namespaces)')) return false
  t.spawn(
    'unshare',
    [...flags, process.execPath, fileURLToPath(fileUrl)],
    { env: { ...process.env, [MARK]: '1' }, timeout: limitMs },
    'in a namespace of its own',
  )
  return false
}

function tries(command: string, args: readonly string[]): boolean {
  try {
    execFileSync(command, args, { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

/**
 * In this mount namespace only: /etc/resolv.conf names `address`, as a system that uses the stub
 * does.
 */
export function useNameserver(t: Test, address: string): void {
  const dir = mkdtempSync(join(tmpdir(), 'enigm-dns-resolv-'))
  const file = join(dir, 'resolv.conf')
  writeFileSync(file, `nameserver ${address}\noptions timeout:5 attempts:1\n`)
  execFileSync('mount', ['--bind', file, '/etc/resolv.conf'])
  t.teardown(() => {
    execFileSync('umount', ['/etc/resolv.conf'])
    rmSync(dir, { recursive: true, force: true })
  })
}
