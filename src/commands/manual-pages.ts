import { VERSION } from '../version.ts'
import type { Described } from './command-tree.ts'

const FILES = `.SH FILES
.TP
.I /etc/enigm\\-dns/config.json
The configuration: JSON with comments. Every key is optional.
.TP
.I /run/enigm\\-dns/status.json
The status, with the evidence. Another user's service writes it below
.I $XDG_RUNTIME_DIR
or
.IR /tmp .
.TP
.I /var/lib/enigm\\-dns
Keys, the audit log, the saved cache.
`

/** The man pages by their paths below a share directory: one for the program, one per command. */
export function manualPages(program: Described): ReadonlyMap<string, string> {
  const pages = new Map([['man/man1/enigm-dns.1', programPage(program)]])
  for (const command of program.inner) pages.set(`man/man1/${command.path.join('-')}.1`, commandPage(command))
  return pages
}

function programPage(program: Described): string {
  const groups = [...new Set(program.inner.map(({ group }) => group ?? ''))]
  const commands = groups.map((group) => {
    const own = program.inner.filter((command) => (command.group ?? '') === group)
    const lines = own.map((c) => `.TP\n.BR ${roff(c.path.join('-'))} (1)\n${roff(sentence(c.description))}\n`)
    return `.SS ${roff(group)}\n${lines.join('')}`
  })
  const also = program.inner.map(({ path }) => `.BR ${roff(path.join('-'))} (1)`).join(',\n')
  return `${head(program)}.SH SYNOPSIS\n${synopsis(program)}.SH COMMANDS\n${commands.join('')}${optionsOf(program)}${notesOf(program)}${FILES}.SH SEE ALSO\n${also}\n`
}

function commandPage(command: Described): string {
  const [program = ''] = command.path
  const own = command.inner.length === 0 ? [command] : command.inner
  const inner = command.inner.map(
    (one) => `.SS ${roff(one.path.slice(1).join(' '))}\n${roff(sentence(one.description))}\n${optionList(one)}${preformatted(one.notes)}`,
  )
  const below = inner.length === 0 ? '' : `.SH COMMANDS\n${inner.join('')}`
  return `${head(command)}.SH SYNOPSIS\n${own.map(synopsis).join('.br\n')}${optionsOf(command)}${below}${notesOf(command)}.SH SEE ALSO\n.BR ${roff(program)} (1)\n`
}

function head({ path, description }: Described): string {
  const name = path.join('-')
  // No date, so that two builds of one version are equal.
  return `.TH ${name.toUpperCase()} 1 "" "enigm-dns ${VERSION}" "enigm-dns"\n.SH NAME\n${roff(name)} \\- ${roff(description.replace(/\.$/, ''))}\n`
}

const synopsis = ({ path, usage }: Described) => `.B ${roff(path.join(' '))}\n${roff(usage)}\n`

const optionsOf = (command: Described) => (command.options.length === 0 ? '' : `.SH OPTIONS\n${optionList(command)}`)

function optionList({ options }: Described): string {
  return options.map(({ flags, description }) => `.TP\n.B ${roff(flags)}\n${roff(sentence(description))}\n`).join('')
}

/** A block that begins with "Word:" becomes a section. */
function notesOf({ notes }: Described): string {
  const [plain, sections] = [[] as string[], [] as string[]]
  for (const block of notes.split(/\n\s*\n/).filter((text) => text !== '')) {
    const [, title, body] = /^([A-Z][^\n:]*):\s*\n([\s\S]+)$/.exec(block) ?? []
    if (title === undefined || body === undefined) plain.push(block)
    else sections.push(`.SH ${roff(/^Exit codes/.test(title) ? 'EXIT STATUS' : title.toUpperCase())}\n${preformatted(body)}`)
  }
  return (plain.length === 0 ? '' : `.SH DESCRIPTION\n${plain.map((text) => `.PP\n${roff(text)}\n`).join('')}`) + sections.join('')
}

const preformatted = (text: string) => (text === '' ? '' : `.PP\n.nf\n${roff(text)}\n.fi\n`)

const sentence = (text: string) => `${text.charAt(0).toUpperCase()}${text.slice(1)}${/[.!?)]$/.test(text) ? '' : '.'}`

/**
 * groff_char(7): the hyphen of an option must stay a hyphen, and no line may begin like a request.
 */
function roff(text: string): string {
  return text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replaceAll(/^(\s*)([.'])/gm, '$1\\&$2')
}
