import { chmodSync, copyFileSync, existsSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import t from 'tap'
import { type FileSeal, MAX_CHUNK_OCTETS, readSealed, writeSealed } from '../../src/system/sealed-file.ts'

const seal: FileSeal = { secret: Buffer.alloc(32, 7), purpose: 'a test' }
const LIMIT = 1 << 20

async function read(path: string, with_: FileSeal = seal): Promise<Buffer[] | string> {
  const chunks: Buffer[] = []
  try {
    for await (const chunk of readSealed(path, with_, LIMIT)) chunks.push(chunk)
    return chunks
  } catch (error) {
    return error instanceof Error ? error.message : 'no error'
  }
}

t.test('a sealed file can be read, chunk by chunk, and contains no plain text', async (t) => {
  const path = join(t.testdir(), 'f')
  const chunks = [Buffer.from('secret.example'), Buffer.alloc(MAX_CHUNK_OCTETS, 1), Buffer.from('end')]
  await writeSealed(path, seal, chunks)
  t.strictSame(await read(path), chunks)
  t.notOk(readFileSync(path).includes('secret.example'))
  t.equal(statSync(path).mode & 0o777, 0o600)
  await writeSealed(path, seal, [])
  t.strictSame(await read(path), [], 'replaced, by nothing')
  t.strictSame(readdirSync(join(path, '..')), ['f'], 'no temporary file is left')
})

t.test('two files of the same content have nothing in common', async (t) => {
  const dir = t.testdir()
  for (const name of ['a', 'b']) await writeSealed(join(dir, name), seal, [Buffer.alloc(64)])
  const [a, b] = ['a', 'b'].map((name) => readFileSync(join(dir, name)).subarray(60).toString('hex'))
  t.not(a, b)
})

t.test('a missing file has no chunks', async (t) => t.strictSame(await read(join(t.testdir(), 'none')), []))

t.test('any change, any cut, any addition is detected, and no false chunk is yielded', async (t) => {
  const dir = t.testdir()
  const chunks = [Buffer.from('first'), Buffer.from('second'), Buffer.from('third')]
  await writeSealed(join(dir, 'f'), seal, chunks)
  const whole = readFileSync(join(dir, 'f'))
  const damages = fc.oneof(
    fc.tuple(fc.nat(whole.length - 1), fc.integer({ min: 1, max: 255 })).map(([at, by]) => {
      const copy = Buffer.from(whole)
      copy[at] = (copy[at] ?? 0) ^ by
      return copy
    }),
    fc.nat(whole.length - 1).map((length) => whole.subarray(0, length)),
    fc.uint8Array({ minLength: 1, maxLength: 40 }).map((more) => Buffer.concat([whole, more])),
  )
  await fc.assert(
    fc.asyncProperty(damages, async (octets) => {
      writeFileSync(join(dir, 'g'), octets, { mode: 0o600 })
      const got: Buffer[] = []
      await t.rejects(
        (async () => {
          for await (const chunk of readSealed(join(dir, 'g'), seal, LIMIT)) got.push(chunk)
        })(),
        { code: 'state' },
      )
      return got.every((chunk, i) => chunks[i]?.equals(chunk))
    }),
    { numRuns: 200 },
  )
})

t.test('reordered chunks, or a missing last one, are detected', async (t) => {
  const path = join(t.testdir(), 'f')
  await writeSealed(path, seal, [Buffer.alloc(10, 1), Buffer.alloc(10, 2)])
  const whole = readFileSync(path)
  const chunkOctets = 4 + 10 + 16
  const header = whole.subarray(0, whole.length - 2 * chunkOctets)
  const [one, two] = [whole.subarray(header.length, header.length + chunkOctets), whole.subarray(-chunkOctets)]
  for (const parts of [[two, one], [one], [two]]) {
    writeFileSync(path, Buffer.concat([header, ...parts]))
    t.match(await read(path), /damaged/)
  }
})

t.test('another key or purpose reads nothing', async (t) => {
  const path = join(t.testdir(), 'f')
  await writeSealed(path, seal, [Buffer.from('x')])
  t.match(await read(path, { ...seal, secret: Buffer.alloc(32, 8) }), /another key/)
  t.match(await read(path, { ...seal, purpose: 'other' }), /another key/)
})

t.test('a link, a directory, a file that others can write, one that is too large: none is read', async (t) => {
  const dir = t.testdir({ directory: {} })
  const path = join(dir, 'f')
  await writeSealed(path, seal, [Buffer.from('x')])
  symlinkSync(path, join(dir, 'link'))
  t.match(await read(join(dir, 'link')), /ELOOP/)
  t.match(await read(join(dir, 'directory')), /not a file of ours/)
  copyFileSync(path, join(dir, 'open'))
  chmodSync(join(dir, 'open'), 0o666)
  t.match(await read(join(dir, 'open')), /not a file of ours/)
  writeFileSync(join(dir, 'large'), Buffer.alloc(LIMIT + 1), { mode: 0o600 })
  t.match(await read(join(dir, 'large')), /larger than/)
})

t.test('a failing source leaves the old file', async (t) => {
  const path = join(t.testdir(), 'f')
  await writeSealed(path, seal, [Buffer.from('old')])
  async function* broken() {
    yield Buffer.from('new')
    yield Buffer.from('new')
    throw new Error('broken')
  }
  await t.rejects(writeSealed(path, seal, broken()), { code: 'state' })
  t.strictSame(await read(path), [Buffer.from('old')])
  t.notOk(existsSync(`${path}.${process.pid}.tmp`))
})
