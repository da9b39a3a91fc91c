// The tables of test/e2e on Debian 13, with its systemd 257 and NetworkManager 1.52: the same files,
// run again with another image. ENIGM_DNS_LAB_SUITE names the release.
import { join } from 'node:path'
import t from 'tap'
import { PROJECT_ROOT } from '../support/readme.ts'
import { requireThat } from '../support/real/tools.ts'

const FILES = ['system-enable', 'system-networkd', 'point-the-system', 'service-lab', 'package-lab'] as const

t.setTimeout(1_500_000)
if (requireThat(t, process.getuid?.() === 0 ? undefined : 'needs root, to boot machines in namespaces'))
  for (const name of FILES) {
    const env = { ...process.env, ENIGM_DNS_LAB_SUITE: 'trixie' }
    const file = join(PROJECT_ROOT, 'build/test/e2e', `${name}.test.js`)
    t.spawn(process.execPath, [file], { env, timeout: 600_000 }, `${name} on trixie`)
  }
