import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import t from 'tap'
import { html, trusted } from '../../src/page/html-template.ts'
import { PROJECT_ROOT } from '../support/readme.ts'

t.test('every value is escaped, between tags and in attributes', async (t) => {
  t.equal(html`<a title="${'"><script>'}">${"<b>'&"}</a>`.text, '<a title="&quot;&gt;&lt;script&gt;">&lt;b&gt;&#39;&amp;</a>')
  t.equal(html`${1}${['a', html`<br>`, ['<', 2]]}`.text, '1a<br>&lt;2')
  t.equal(html`<p>${html`<b>${'<'}</b>`}</p>`.text, '<p><b>&lt;</b></p>', 'once, and not twice')
  t.equal(html`<style>${trusted('a>b{}')}</style>`.text, '<style>a>b{}</style>')
  t.equal(html`${''}`.text, '')
})

t.test('no text opens a tag or leaves its attribute', async (t) => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      const made = html`<p class="${text}">${text}</p>`.text
      const inside = made.slice('<p class="'.length, -'</p>'.length)
      return inside.split('"').length === 2 && !inside.includes('<') && inside.split('>').length === 2
    }),
  )
  t.pass('held for all')
})

t.test('the page is written only with it', async (t) => {
  const source = readFileSync(join(PROJECT_ROOT, 'src/page/html.ts'), 'utf8')
  t.notMatch(source.replaceAll('html`', ''), /(?<!\w)`\s*</, 'no plain template begins with a tag')
  t.equal(source.split('trusted(').length - 1, 1, 'one constant is trusted: the style')
})
