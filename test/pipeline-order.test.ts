import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t from 'tap'

/** What the documents call the stage that this expression in src/resolver.ts makes. */
const WORDS: Readonly<Record<string, string>> = {
  'parts.canary.stage': 'test name',
  'parts.portal.stage': 'portal',
  chooseSide: 'side',
  serveStale: 'stale',
  admit: 'admit',
  coalesce: 'coalesce',
  remember: 'remember',
  'parts.own': 'own answers',
  judgeByLists: 'lists',
  specialNames: 'special names',
  gateStage: 'policy',
  refuseRebinding: 'rebinding',
  askSide: 'ask',
}

let root: string = import.meta.dirname
while (!existsSync(join(root, 'package.json'))) root = dirname(root)
const read = (file: string) => readFileSync(join(root, file), 'utf8')

/** The stages of the list that `pipeline` returns, as expressions, in its order. */
function stagesInCode(): readonly string[] {
  const list = /\n {2}return \[\n([\s\S]*?)\n {2}\]\n/.exec(read('src/resolver.ts'))?.[1] ?? ''
  return list.split('\n').flatMap((line) => {
    const code = line.replace(/\/\/.*/, '').trim()
    const optional = /^\.\.\.\(parts\.\w+ === undefined \? \[\] : \[(.*)\]\),$/.exec(code)?.[1] ?? code
    const depth0 = optional.replace(/\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)/g, '')
    return depth0
      .split(',')
      .map((one) => one.trim())
      .filter((one) => one !== '')
  })
}

const stages = stagesInCode().map((stage) => WORDS[stage] ?? `${stage} (add its word to this test, and to the documents)`)

for (const file of ['README.md', 'docs/how-it-works.md'])
  t.test(`${file} shows the stages of src/resolver.ts in their order`, async (t) => {
    const shown = /^miss .*\[ (.*) \]/m.exec(read(file))?.[1]?.split(' -> ')
    t.ok(stages.length >= Object.keys(WORDS).length)
    t.strictSame(shown, stages)
  })

t.test('docs/how-it-works.md says what each stage does', async (t) => {
  const rows = [...read('docs/how-it-works.md').matchAll(/^\| ([a-z ]+) \| (?!how \|)/gm)].map(([, stage = '']) => stage)
  t.strictSame(
    rows.filter((row) => row !== 'stage'),
    [...new Set(stages)],
  )
})
