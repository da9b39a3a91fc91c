// `certHashes` over DoQ: a certificate anywhere in the verified chain, on a Node with QUIC.
import { execFileSync } from 'node:child_process'
import { createHash, X509Certificate } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { systemClock } from '../../../src/clock.ts'
import { tlsSessions } from '../../../src/link/dial/sessions.ts'
import { openTransport } from '../../../src/link/transports.ts'
import { nativeQuic } from '../../../src/system/quic.ts'
import { startDoq } from '../../support/doq-server.ts'
import { codeOf, endpointAt, NAME } from '../../support/link-rig.ts'
import { newerNode, runIn } from '../../support/real/newer-node.ts'
import { freePace } from '../../support/rules.ts'

/** PEM of a root, of an authority below it, and of a leaf below that with its key, by openssl. */
function threeCertificates() {
  const dir = mkdtempSync(join(tmpdir(), 'enigm-chain-'))
  const at = (name: string) => join(dir, name)
  const openssl = (...words: string[]) => execFileSync('openssl', words, { stdio: 'ignore' })
  const key = (name: string) => openssl('ecparam', '-genkey', '-name', 'prime256v1', '-noout', '-out', at(`${name}.key`))
  const signed = (name: string, by: string, extensions: string) => {
    key(name)
    openssl('req', '-new', '-key', at(`${name}.key`), '-subj', `/CN=${name}`, '-out', at(`${name}.csr`))
    writeFileSync(at('extensions'), extensions)
    const signer = ['-CA', at(`${by}.pem`), '-CAkey', at(`${by}.key`), '-CAcreateserial']
    openssl('x509', '-req', '-in', at(`${name}.csr`), ...signer, '-days', '5', '-extfile', at('extensions'), '-out', at(`${name}.pem`))
  }
  key('root')
  openssl('req', '-x509', '-new', '-key', at('root.key'), '-subj', '/CN=root', '-days', '5', '-out', at('root.pem'))
  signed('middle', 'root', 'basicConstraints=critical,CA:TRUE\n')
  signed('leaf', 'middle', `subjectAltName=DNS:${NAME}\nextendedKeyUsage=serverAuth\n`)
  const pem = (name: string) => readFileSync(at(name), 'utf8')
  const found = { root: pem('root.pem'), middle: pem('middle.pem'), leaf: pem('leaf.pem'), key: pem('leaf.key') }
  rmSync(dir, { recursive: true })
  return found
}

async function inNewerNode(): Promise<void> {
  const clock = systemClock()
  const { root, middle, leaf, key } = threeCertificates()
  const stranger = threeCertificates()
  const server = startDoq({ identity: { key, cert: `${leaf}${middle}` }, answer: () => undefined })
  const sha256 = (pem: string) => createHash('sha256').update(new X509Certificate(pem).raw).digest('base64')
  const dial = (certHashes: readonly string[], ca = root) => {
    const endpoint = { ...endpointAt(server.port, { ca, doq: { port: server.port } }), certHashes }
    const opened = openTransport(endpoint, 'doq', {
      clock,
      sessions: tlsSessions(clock),
      pace: freePace(clock),
      quic: async () => nativeQuic(),
    })
    return codeOf(opened.then((one) => one.close()))
  }
  const found = {
    none: await dial([]),
    leaf: await dial([sha256(leaf)]),
    middle: await dial([sha256(stranger.root), sha256(middle)]),
    root: await dial([sha256(root)]),
    stranger: await dial([sha256(stranger.middle)]),
    'wrong root': await dial([sha256(leaf)], stranger.root),
  }
  process.stdout.write(JSON.stringify(found))
  await server.close()
}

function tests(): void {
  for (const major of [24, 26] as const)
    t.test(`a certificate of the chain, wherever it is, on Node ${major}`, { timeout: 120_000 }, async (t) => {
      const node = newerNode(t, major)
      if (node === undefined) return
      const said = await runIn(node, fileURLToPath(import.meta.url), { IN_NEWER_NODE: 'yes' })
      t.strictSame(JSON.parse(said), {
        ...{ none: 'answered', leaf: 'answered', middle: 'answered', root: 'answered' },
        ...{ stranger: 'pin-mismatch', 'wrong root': 'certificate-untrusted' },
      })
    })
}

if (process.env.IN_NEWER_NODE === undefined) tests()
else await inNewerNode().then(() => process.exit(0))
