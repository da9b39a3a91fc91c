/** A piece of HTML. Only `html` and `trusted` make one, so a text cannot be taken for it. */
export class Html {
  readonly text: string
  /** `text` is HTML already, and no part of it is from elsewhere. */
  constructor(text: string) {
    this.text = text
  }
}

/**
 * What may stand between the braces: texts and numbers are escaped, pieces of HTML stay, lists are
 * joined.
 */
export type Shown = string | number | Html | readonly Shown[]

/**
 * A template of HTML: html`<b>${text}</b>`. Every value that is not HTML is escaped, for a place
 * between tags or inside a quoted attribute. No value belongs in a tag's name, in an unquoted
 * attribute, in a script or in a style.
 */
export function html(parts: TemplateStringsArray, ...values: readonly Shown[]): Html {
  return new Html(parts.map((part, index) => part + (index < values.length ? shown(values[index] ?? '') : '')).join(''))
}

/** `text` as HTML, as it is. For constants of this program only. */
export function trusted(text: string): Html {
  return new Html(text)
}

function shown(value: Shown): string {
  if (value instanceof Html) return value.text
  if (typeof value === 'object') return value.map(shown).join('')
  return String(value).replace(/[&<>"']/g, (char) => ENTITY[char] ?? '')
}

const ENTITY: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' }
