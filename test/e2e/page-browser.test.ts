import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { createAuthority } from '../../src/demo/authority.ts'
import { startDot } from '../support/dot-server.ts'
import { query } from '../support/messages.ts'
import { RESOLVER_NAME, startDaemon } from '../support/real/daemon.ts'
import { udpClient } from '../support/real/dns-client.ts'
import { insideNamespace } from '../support/real/namespace.ts'
import { freePort } from '../support/real/server-process.ts'
import { requireTool } from '../support/real/tools.ts'
import { replyTo } from '../support/replies.ts'

/** Keeps the picture where the documentation shows it: PAGE_PICTURE=docs/page.png. */
const PICTURE = process.env.PAGE_PICTURE

const run = promisify(execFile)

/**
 * A browser without rights to script, in a namespace without a way out: it asks its maker for
 * updates by itself.
 */
function browse(profile: string, ...args: readonly string[]) {
  const flags = ['--headless', '--no-sandbox', '--disable-gpu', '--no-first-run', `--user-data-dir=${profile}`, '--window-size=1000,1150']
  return run('chromium', [...flags, ...args], { timeout: 60_000, maxBuffer: 1 << 24 })
}

if (requireTool(t, 'chromium', 'ip', 'unshare') && insideNamespace(t, import.meta.url)) {
  t.test(
    'the page in a browser: readable without a script, a cookie in exchange for the token, a picture',
    { timeout: 110_000 },
    async (t) => {
      const authority = await createAuthority()
      const dot = await startDot({ identity: await authority.issue({ name: RESOLVER_NAME }), answer: (q) => replyTo(q) })
      const resolver = {
        id: 'mine',
        authenticationDomainName: RESOLVER_NAME,
        addresses: ['127.0.0.1'],
        transports: { dot: { port: dot.port } },
        caFile: 'ca.pem',
      }
      const port = await freePort()
      const daemon = await startDaemon({
        resolvers: [resolver],
        ca: authority.certificate,
        config: { page: { listen: `127.0.0.1:${port}` } },
      })
      const profile = mkdtempSync(join(tmpdir(), 'enigm-browser-'))
      t.teardown(async () => {
        await daemon.stop()
        await dot.close()
        rmSync(profile, { recursive: true, force: true })
      })
      const client = await udpClient(daemon.port)
      for (let i = 0; i < 20; i++) await client.ask(query({ name: `secret${i}.example.com` }))
      client.close()
      await daemon.until('protected')
      const token = readFileSync(join(daemon.dir, 'state/page.token'), 'utf8').trim()
      const { stdout } = await browse(profile, '--dump-dom', `http://127.0.0.1:${port}/?token=${token}`)
      t.match(stdout, /<h1>enigm-dns: <span class="protected">protected<\/span>/)
      t.match(stdout, /Secure name resolution/)
      t.match(stdout, />mine</)
      t.notMatch(stdout, /secret|example\.com/, 'no name of a query is on it')
      const picture = PICTURE ?? join(profile, 'page.png')
      await browse(profile, `--screenshot=${picture}`, `http://127.0.0.1:${port}/?token=${token}`)
      t.same(readFileSync(picture).subarray(1, 4).toString(), 'PNG')
      t.ok(readFileSync(picture).length > 10_000, 'something is on it')
    },
  )
}
