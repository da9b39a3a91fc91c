import { createDecipheriv, hkdfSync } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { hex, type Transcript } from './transcript.ts'

const MAGIC = 'enigm-dns sealed 1\n'
const SALT_OCTETS = 32
const TAG_OCTETS = 16
const FIXED_OCTETS = 28

/**
 * The chunks of a sealed file. On its own, and not by the code of the tree: what a released version
 * wrote must stay readable.
 */
function unsealed(file: Buffer, secret: Buffer): readonly Buffer[] {
  const headerEnd = MAGIC.length + SALT_OCTETS
  if (file.subarray(0, MAGIC.length).toString() !== MAGIC) throw new Error('the saved cache begins otherwise')
  const key = Buffer.from(hkdfSync('sha256', secret, file.subarray(MAGIC.length, headerEnd), 'enigm-dns saved cache 1', 32))
  const chunks: Buffer[] = []
  for (let at = headerEnd, index = 0; at < file.length; index++) {
    const end = at + 4 + file.readUInt32BE(at)
    const nonce = Buffer.alloc(12)
    nonce[0] = end === file.length ? 1 : 0
    nonce.writeUInt32BE(index, 8)
    const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG_OCTETS })
    decipher.setAAD(file.subarray(0, headerEnd)).setAuthTag(file.subarray(end - TAG_OCTETS, end))
    chunks.push(Buffer.concat([decipher.update(file.subarray(at + 4, end - TAG_OCTETS)), decipher.final()]))
    at = end
  }
  return chunks
}

const rounded = (ms: number) => Math.round(ms * 1000) / 1000

/**
 * What the saved cache holds, if there is one. Of its label the boot is masked; of its entries the
 * order is told apart.
 */
export function noteSaved(path: string, stateDir: string, transcript: Transcript): void {
  if (!existsSync(path)) return void transcript.add('saved', 'none')
  const [label, ...chunks] = unsealed(readFileSync(path), readFileSync(join(stateDir, 'cache.key')))
  transcript.add('saved', `label ${String(label).replace(/"boot":"[^"]*"/, '"boot":"<boot>"')}`)
  const entries: string[] = []
  for (const chunk of chunks)
    for (let at = 0; at < chunk.length; ) {
      const keyAt = at + FIXED_OCTETS
      const wireAt = keyAt + chunk.readUInt16BE(at)
      const end = wireAt + chunk.readUInt32BE(at + 8)
      const [rcode, ede] = [chunk.readUInt16BE(at + 2), chunk.readUInt32BE(at + 4)]
      const times = `age ${rounded(chunk.readDoubleBE(at + 12))} left ${rounded(chunk.readDoubleBE(at + 20))}`
      entries.push(`${hex(chunk.subarray(keyAt, wireAt))} rcode ${rcode} ede ${ede} ${times} ${hex(chunk.subarray(wireAt, end))}`)
      at = end
    }
  for (const entry of entries.toSorted()) transcript.add('saved', entry)
  for (const entry of entries) transcript.add('saved-order', entry.split(' ')[0] ?? '')
}
