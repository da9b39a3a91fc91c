import type { IncomingMessage } from 'node:http'
import { asEnigmError } from '../errors.ts'
import { type ExplainInput, type Explanation, explainInput, verdictText } from '../explain.ts'
import { type Html, html } from './html-template.ts'

/** Limit of the form: a name of 255 escaped octets in form encoding, a type and an address. */
const MAX_FORM_OCTETS = 4096

/** The input of the box. */
export interface ExplainForm {
  readonly name: string
  readonly type: string
  readonly client: string
}

/** Explains a question. */
export type Explain = (input: ExplainInput) => Promise<Explanation>

const EMPTY: ExplainForm = { name: '', type: 'A', client: '127.0.0.1' }

/** Reads the fields of the form from the body of a request; undefined: the body is too large. */
export async function readForm(request: IncomingMessage): Promise<ExplainForm | undefined> {
  let body = ''
  for await (const chunk of request) {
    body += String(chunk)
    if (body.length > MAX_FORM_OCTETS) return undefined
  }
  const fields = new URLSearchParams(body)
  const field = (key: keyof ExplainForm) => (fields.get(key) ?? '').trim() || EMPTY[key]
  return { name: field('name'), type: field('type'), client: field('client') }
}

/**
 * Makes the box that explains which rule would answer, block or route a name. The form is sent with
 * POST, so that the name is not in a URL or in the history of the browser.
 */
export function explainBox(filled: ExplainForm = EMPTY, result: Html | undefined = undefined): Html {
  return html`<form method="post" action="/explain"><input name="name" required maxlength="1024" placeholder="name" aria-label="name" value="${filled.name}"> <input name="type" size="6" maxlength="16" aria-label="type" value="${filled.type}"> <input name="client" size="16" maxlength="64" aria-label="client" value="${filled.client}"> <button>Explain</button></form>${result === undefined ? '' : result}`
}

/** Makes the box with the result for a filled form. Never rejects. */
export async function explainedBox(form: ExplainForm, explain: Explain): Promise<Html> {
  try {
    return explainBox(form, explanationHtml(await explain(explainInput(form.name, form.type, form.client))))
  } catch (error) {
    return explainBox(form, html`<p>${asEnigmError(error).message}</p>`)
  }
}

function explanationHtml(found: Explanation): Html {
  const { name, type, steps } = found
  const rows = steps.map(({ stage, verdict: said, list, source = '', line, rule = '' }) => {
    const of = list === undefined ? source : `list ${list}, ${source}`
    const place = line === undefined ? of : `${of} line ${line}`
    return html`<tr><td>${stage}</td><td>${said}</td><td>${place}</td><td>${rule}</td></tr>`
  })
  return html`<p>${name} ${type}: ${verdictText(found)}. Nothing was sent.</p><table><tr><th>stage</th><th>verdict</th><th>source</th><th>rule</th></tr>${rows}</table>`
}
