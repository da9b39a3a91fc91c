// node trusted.js FOLDER ADDRESS: a trusted resolver over DoT on port 853 that answers every A with
// 10.99.99.99; key.pem and cert.pem lie in FOLDER.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { questionEnd } from '../../../src/dns/name.ts'
import { startDot } from '../dot-server.ts'
import { replyTo } from '../replies.ts'

const [folder = '', host = ''] = process.argv.slice(2)
const pem = (name: string) => readFileSync(join(folder, name), 'utf8')
const answer = Uint8Array.of(0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 5, 0, 4, 10, 99, 99, 99)

await startDot({
  identity: { key: pem('key.pem'), cert: pem('cert.pem') },
  host,
  port: 853,
  answer: (query) => replyTo(query, isAddress(query) ? [answer] : []),
})

function isAddress(query: Uint8Array): boolean {
  const end = questionEnd(query)
  return query[end - 4] === 0 && query[end - 3] === 1
}
