import type { Test } from 'tap'

/**
 * A directory of the test with this content, which is removed after all teardowns. By itself tap
 * removes a directory that is made before the first teardown also before it calls any, so from
 * under a program that still writes into it: ENOTEMPTY, and the teardowns are not called.
 */
export function directoryOf(t: Test, content: Parameters<Test['testdir']>[0] = {}): string {
  t.teardown(() => {})
  return t.testdir(content)
}
