/**
 * A piece of HTML. Only `html` and `trusted` make one, so a plain text cannot be used as HTML by
 * mistake.
 */
export class Html {
  readonly text: string
  /** `text` must be HTML without any text from outside. */
  constructor(text: string) {
    this.text = text
  }
}

/**
 * The types of inserted values: texts and numbers are escaped, pieces of HTML are inserted as they
 * are, lists are joined.
 */
export type Shown = string | number | Html | readonly Shown[]

/**
 * A template of HTML: html`<b>${text}</b>`. Every value that is not HTML is escaped for a place
 * between tags or inside a quoted attribute. Values must not be inserted in a tag's name, an
 * unquoted attribute, a script or a style.
 */
export function html(parts: TemplateStringsArray, ...values: readonly Shown[]): Html {
  return new Html(parts.map((part, index) => part + (index < values.length ? shown(values[index] ?? '') : '')).join(''))
}

/** `text` as HTML, unchanged. Only for constants of this program. */
export function trusted(text: string): Html {
  return new Html(text)
}

function shown(value: Shown): string {
  if (value instanceof Html) return value.text
  if (typeof value === 'object') return value.map(shown).join('')
  return String(value).replace(/[&<>"']/g, (char) => ENTITY[char] ?? '')
}

const ENTITY: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' }
