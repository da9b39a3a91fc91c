import { chmodSync, existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import {
  asPublicKey,
  createSigner,
  judgeSignature,
  lastVerifiedIn,
  openSigningKey,
  parseSignature,
  type SigningKey,
  type VerifyOptions,
  verifyStatus,
} from '../../src/posture/signature.ts'
import { atomicFile } from '../../src/posture/status-file.ts'
import { FakeClock } from '../support/fake-clock.ts'

function keyIn(dir: string): SigningKey {
  const key = openSigningKey(dir)
  if (typeof key === 'string') throw new Error(key)
  return key
}

/** A status file that is written and signed as the daemon does it. */
function rig(t: Test, bootId = 'boot-1') {
  const dir = t.testdir({})
  const key = keyIn(join(dir, 'state'))
  const path = join(dir, 'status.json')
  const clock = new FakeClock()
  const beside = [
    { suffix: '.sig', text: createSigner(key, bootId, () => clock.nowMs()) },
    { suffix: '.pub', text: () => key.publicPem },
  ]
  const file = atomicFile({ path, pid: 7, clock, warn: t.fail, beside })
  const pauses: number[] = []
  const verify = (more: Partial<VerifyOptions> = {}) =>
    verifyStatus(path, {
      keyFile: join(dir, 'state', 'status.pub'),
      lastVerified: lastVerifiedIn(join(dir, 'seen.json')),
      bootId: undefined,
      pause: (ms) => void pauses.push(ms),
      text: () => readFileSync(path, 'utf8'),
      ...more,
    }).verification
  return { dir, key, path, clock, file, verify, pauses }
}

t.test('the key is made once, readable only by us; the public half is for everybody', (t) => {
  const dir = join(t.testdir({}), 'made', 'state')
  const first = keyIn(dir)
  t.equal(statSync(dir).mode & 0o777, 0o700)
  t.equal(statSync(join(dir, 'status.key')).mode & 0o777, 0o600)
  t.equal(statSync(join(dir, 'status.pub')).mode & 0o777, 0o644)
  t.equal(readFileSync(join(dir, 'status.pub'), 'utf8'), first.publicPem)
  t.equal(keyIn(dir).id, first.id, 'the same the next time')
  t.notMatch(readFileSync(join(dir, 'status.pub'), 'utf8'), /PRIVATE/)
  t.end()
})

t.test('a key that others may read, or an invalid one, is not used and not replaced', (t) => {
  const dir = t.testdir({})
  keyIn(dir)
  const file = join(dir, 'status.key')
  const before = readFileSync(file, 'utf8')
  chmodSync(file, 0o640)
  t.match(openSigningKey(dir), /by others/)
  chmodSync(file, 0o600)
  writeFileSync(file, 'nonsense')
  t.equal(typeof openSigningKey(dir), 'string')
  t.equal(readFileSync(file, 'utf8'), 'nonsense')
  t.match(before, /BEGIN PRIVATE KEY/)
  t.equal(typeof openSigningKey(join(file, 'below-a-file')), 'string', 'a directory that cannot be made')
  t.end()
})

t.test('document, signature and public key are written together, and removed together', (t) => {
  const { file, path, verify } = rig(t)
  t.ok(file.replace('one'))
  t.match(verify(), { verdict: 'valid' })
  for (const end of ['', '.sig', '.pub']) t.equal(statSync(path + end).mode & 0o777, 0o640)
  file.withdraw()
  for (const end of ['', '.sig', '.pub']) t.notOk(existsSync(path + end))
  t.end()
})

t.test('a changed document, another key, a changed signature, no signature', (t) => {
  const { file, path, verify, dir } = rig(t)
  file.replace('{"state":"offline"}')
  t.match(verify(), { verdict: 'valid' })
  writeFileSync(path, '{"state":"protected"}')
  t.match(verify(), { verdict: 'forged' })
  file.replace('{"state":"offline"}')
  const seal = readFileSync(`${path}.sig`, 'utf8')
  for (const change of [/("sequence": )\d+/, /("bootId": ")[^"]*/]) {
    writeFileSync(`${path}.sig`, seal.replace(change, '$1999'))
    t.match(verify(), { verdict: 'forged' }, `${change}`)
  }
  for (const junk of ['', '{}', 'x'.repeat(10_000), seal.slice(0, 40)]) {
    writeFileSync(`${path}.sig`, junk)
    t.match(verify(), { verdict: 'unsigned' })
  }
  const other = keyIn(join(dir, 'other'))
  writeFileSync(`${path}.sig`, createSigner(other, 'boot-1', () => 99)(readFileSync(path, 'utf8')))
  t.match(verify(), { verdict: 'wrong-key' }, 'a forger with a key of his own')
  writeFileSync(`${path}.pub`, other.publicPem)
  t.match(verify(), { verdict: 'wrong-key' }, 'who lays his public key beside it too')
  t.end()
})

t.test('without a pinned key it reports how little that proves; a named key that is missing has no fallback', (t) => {
  const { file, path, dir } = rig(t)
  file.replace('one')
  const options = {
    lastVerified: lastVerifiedIn(join(dir, 's')),
    bootId: undefined,
    pause: () => {},
    text: () => readFileSync(path, 'utf8'),
  }
  t.match(verifyStatus(path, options).verification, { verdict: 'valid', message: /can replace that key/, keyFile: `${path}.pub` })
  t.match(verifyStatus(path, { ...options, likelyKeyFile: join(dir, 'none') }).verification, { verdict: 'valid', keyFile: `${path}.pub` })
  t.match(verifyStatus(path, { ...options, keyFile: join(dir, 'none') }).verification, { verdict: 'no-key' })
  t.match(
    verifyStatus(path, { ...options, keyFile: join(dir, 'state', 'status.key') }).verification,
    { verdict: 'no-key' },
    'a private key is none',
  )
  t.end()
})

t.test('replay: an older document of this boot, of a boot that another followed, of another boot of this host', async (t) => {
  const { file, path, verify, clock, dir, key } = rig(t)
  file.replace('one')
  const old = { document: readFileSync(path, 'utf8'), seal: readFileSync(`${path}.sig`, 'utf8') }
  t.match(verify(), { verdict: 'valid' })
  t.match(verify(), { verdict: 'valid' }, 'the same twice is no replay')
  await clock.advance(1000)
  file.replace('two')
  t.match(verify(), { verdict: 'valid' })
  writeFileSync(path, old.document)
  writeFileSync(`${path}.sig`, old.seal)
  t.match(verify(), { verdict: 'replayed' })
  t.match(verify({ lastVerified: lastVerifiedIn(join(dir, 'elsewhere.json')) }), { verdict: 'valid' }, 'who has seen nothing cannot tell')
  t.match(
    verify({ lastVerified: lastVerifiedIn(join(dir, 'elsewhere2.json')), bootId: 'boot-2' }),
    { verdict: 'replayed' },
    'but a host knows its boot',
  )
  writeFileSync(`${path}.sig`, createSigner(key, 'boot-2', () => 5)(old.document))
  t.match(verify(), { verdict: 'valid' }, 'a new boot begins anew')
  writeFileSync(`${path}.sig`, createSigner(key, 'boot-1', () => 1e9)(old.document))
  t.match(verify(), { verdict: 'replayed' }, 'and the boot before it never comes back')
})

t.test('between the two renames the reader tries again, three times at most', (t) => {
  const { file, path, verify, pauses } = rig(t)
  file.replace('one')
  const seal = readFileSync(`${path}.sig`, 'utf8')
  file.replace('two')
  const later = readFileSync(`${path}.sig`, 'utf8')
  writeFileSync(`${path}.sig`, seal)
  t.match(verify({ pause: () => writeFileSync(`${path}.sig`, later) }), { verdict: 'valid' })
  writeFileSync(`${path}.sig`, seal)
  t.match(verify(), { verdict: 'forged' })
  t.same(pauses, [50, 50, 50])
  t.end()
})

t.test('the sequence rises with boot time and across restarts', (t) => {
  const key = keyIn(t.testdir({}))
  let nowMs = 5000
  const first = createSigner(key, 'b', () => nowMs)
  const numbers = [first('a'), first('b')].map((text) => parseSignature(text)?.sequence)
  nowMs = 9000
  numbers.push(parseSignature(createSigner(key, 'b', () => nowMs)('c'))?.sequence)
  t.same(numbers, [5000, 5001, 9000])
  t.end()
})

t.test('a verification without new facts writes nothing, and removes nothing that another one stored', (t) => {
  const dir = t.testdir({})
  const file = join(dir, 'seen.json')
  const seal = createSigner(keyIn(dir), 'boot-1', () => 1)
  const [first, second, third] = [1, 2, 3].map(() => parseSignature(seal('x')))
  if (first === undefined || second === undefined || third === undefined) return t.fail()
  t.ok(lastVerifiedIn(file).remember(first))
  const { ino } = statSync(file)
  for (let look = 0; look < 3; look++) t.ok(lastVerifiedIn(file).remember(first))
  t.equal(statSync(file).ino, ino, 'status --watch looks every second')
  const slow = lastVerifiedIn(file)
  t.ok(lastVerifiedIn(file).remember(third))
  t.ok(slow.remember(second))
  t.ok(lastVerifiedIn(file).isOlder(second), 'what the quicker one has seen is not forgotten')
  t.end()
})

t.test('the memory is bounded, and a damaged one is empty', (t) => {
  const dir = t.testdir({ 'seen.json': '{"x":[{}]}' })
  const key = keyIn(dir)
  const seen = lastVerifiedIn(join(dir, 'seen.json'))
  const seal = parseSignature(createSigner(key, 'b', () => 1)('x'))
  if (seal === undefined) return t.fail()
  for (let boot = 0; boot < 50; boot++) t.ok(lastVerifiedIn(join(dir, 'seen.json')).remember({ ...seal, bootId: `b${boot}` }))
  for (let k = 0; k < 80; k++) lastVerifiedIn(join(dir, 'seen.json')).remember({ ...seal, key: `k${k}` })
  const kept = JSON.parse(readFileSync(join(dir, 'seen.json'), 'utf8'))
  t.ok(Object.keys(kept).length <= 64)
  t.equal(seen.isOlder(seal), false)
  t.equal(lastVerifiedIn(join(dir, 'seen.json', 'below')).remember(seal), false)
  t.end()
})

t.test('signatures and keys of any origin', (t) => {
  t.equal(asPublicKey('junk'), undefined)
  const key = keyIn(t.testdir({}))
  const publicKey = asPublicKey(key.publicPem)
  const seal = parseSignature(createSigner(key, 'b', () => 1)('x'))
  if (publicKey === undefined || seal === undefined) return t.fail()
  t.equal(judgeSignature(seal, 'x', publicKey), 'valid')
  t.equal(judgeSignature({ ...seal, signature: 'AAAA' }, 'x', publicKey), 'forged')
  t.equal(judgeSignature({ ...seal, signature: '' }, 'x', publicKey), 'forged')
  t.end()
})
