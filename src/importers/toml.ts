import { EnigmError } from '../errors.ts'

/** A value of TOML 1.0; dates are strings. */
export type TomlValue = string | number | boolean | readonly TomlValue[] | { readonly [key: string]: TomlValue }

/** One `key = value` with its table, and its first and last line, from 1. */
export interface TomlEntry {
  readonly table: readonly string[]
  readonly key: string
  readonly value: TomlValue
  readonly from: number
  readonly to: number
}

/** A table header: `[table]` or `[[table]]`. */
export interface TomlHeader {
  readonly table: readonly string[]
  readonly line: number
}

/** Limit of nested values. */
const MAX_DEPTH = 20

/**
 * Parses TOML and keeps the lines of each entry. Throws an EnigmError `config` with the line of the
 * first fault.
 */
export function readToml(text: string): { readonly entries: readonly TomlEntry[]; readonly headers: readonly TomlHeader[] } {
  const reader = new TomlReader(text)
  const entries: TomlEntry[] = []
  const headers: TomlHeader[] = []
  let table: readonly string[] = []
  for (reader.skip(); !reader.atEnd; reader.skip()) {
    const from = reader.line
    if (reader.take('[')) {
      const many = reader.take('[')
      table = reader.keys()
      if (!reader.take(']') || (many && !reader.take(']'))) throw reader.fault('the header of a table does not end with ]')
      headers.push({ table, line: from })
    } else {
      const keys = reader.keys()
      reader.spaces()
      if (!reader.take('=')) throw reader.fault('there is no = after the key')
      const value = reader.value(0)
      const [key = '', ...outer] = keys.toReversed()
      entries.push({ table: [...table, ...outer.toReversed()], key, value, from, to: reader.line })
    }
    reader.endOfLine()
  }
  return { entries, headers }
}

class TomlReader {
  readonly #text: string
  #at = 0
  #line = 1

  constructor(text: string) {
    this.#text = text.replace(/^\uFEFF/, '').replace(/\r\n/g, '\n')
  }

  get atEnd(): boolean {
    return this.#at >= this.#text.length
  }
  get line(): number {
    return this.#line
  }

  fault(why: string): EnigmError {
    return new EnigmError('config', `line ${this.#line} is not TOML: ${why}`)
  }

  take(wanted: string): boolean {
    if (!this.#text.startsWith(wanted, this.#at)) return false
    this.#at += wanted.length
    return true
  }

  spaces(): void {
    while (this.#text[this.#at] === ' ' || this.#text[this.#at] === '\t') this.#at++
  }

  /** Skips spaces, comments and line ends. */
  skip(): void {
    for (;;) {
      this.spaces()
      if (this.#text[this.#at] === '#') while (!this.atEnd && this.#text[this.#at] !== '\n') this.#at++
      if (this.#text[this.#at] !== '\n') return
      this.#at++
      this.#line++
    }
  }

  endOfLine(): void {
    this.spaces()
    if (this.atEnd || this.#text[this.#at] === '\n' || this.#text[this.#at] === '#') return
    throw this.fault('there is something after the value')
  }

  keys(): readonly string[] {
    const keys: string[] = []
    do {
      this.spaces()
      const bare = /^[A-Za-z0-9_-]+/.exec(this.#text.slice(this.#at, this.#at + 256))?.[0]
      if (bare !== undefined) this.#at += bare.length
      keys.push(bare ?? this.#string())
      this.spaces()
    } while (this.take('.'))
    return keys
  }

  value(depth: number): TomlValue {
    this.spaces()
    if (depth > MAX_DEPTH) throw this.fault('values are nested too deeply')
    const first = this.#text[this.#at]
    if (first === '"' || first === "'") return this.#string()
    if (this.take('[')) return this.#array(depth)
    if (this.take('{')) return this.#inlineTable(depth)
    const word = /^[^\s,\]}#]+/.exec(this.#text.slice(this.#at, this.#at + 256))?.[0] ?? ''
    if (word === '') throw this.fault('there is no value')
    this.#at += word.length
    if (word === 'true' || word === 'false') return word === 'true'
    const plain = word.replaceAll('_', '')
    return /^[+-]?(\d+(\.\d+)?([eE][+-]?\d+)?|0x[0-9a-fA-F]+|0o[0-7]+|0b[01]+)$/.test(plain) ? Number(plain) : word
  }

  #array(depth: number): readonly TomlValue[] {
    const values: TomlValue[] = []
    for (this.skip(); !this.take(']'); this.skip()) {
      if (this.atEnd) throw this.fault('a list does not end with ]')
      values.push(this.value(depth + 1))
      this.skip()
      if (!this.take(',') && !this.atEnd && this.#text[this.#at] !== ']') throw this.fault('items of a list are separated by commas')
    }
    return values
  }

  #inlineTable(depth: number): { readonly [key: string]: TomlValue } {
    const entries: [string, TomlValue][] = []
    for (this.skip(); !this.take('}'); this.skip()) {
      const keys = this.keys()
      if (!this.take('=')) throw this.fault('there is no = after the key')
      entries.push([keys.join('.'), this.value(depth + 1)])
      this.skip()
      if (!this.take(',') && this.#text[this.#at] !== '}') throw this.fault('keys of a table are separated by commas')
    }
    return Object.fromEntries(entries)
  }

  #string(): string {
    for (const quote of ['"""', "'''", '"', "'"]) if (this.take(quote)) return this.#until(quote)
    throw this.fault('there is no key or text')
  }

  #until(quote: string): string {
    const literal = quote.startsWith("'")
    let text = ''
    if (quote.length === 3 && this.take('\n')) this.#line++
    for (; !this.take(quote); this.#at++) {
      const character = this.#text[this.#at]
      if (character === undefined || (character === '\n' && quote.length === 1)) throw this.fault('a quote is not closed')
      if (character === '\n') this.#line++
      if (character !== '\\' || literal) {
        text += character
        continue
      }
      this.#at++
      text += this.#escape()
    }
    return text
  }

  #escape(): string {
    const letter = this.#text[this.#at] ?? ''
    const [, hex] = /^(?:u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8}))/.exec(this.#text.slice(this.#at, this.#at + 9)) ?? []
    if (hex !== undefined) {
      this.#at += hex.length
      return String.fromCodePoint(Number.parseInt(hex, 16))
    }
    const simple = { b: '\b', t: '\t', n: '\n', f: '\f', r: '\r', '"': '"', '\\': '\\' }[letter]
    if (simple === undefined) throw this.fault('an escape is not known')
    return simple
  }
}
