import type { Option } from 'commander'
import type { Described } from './command-tree.ts'

/** The completions by their paths below a share directory, where bash, zsh and fish search them. */
export function completions(program: Described): ReadonlyMap<string, string> {
  return new Map([
    ['bash-completion/completions/enigm-dns', bash(program)],
    ['zsh/site-functions/_enigm-dns', zsh(program)],
    ['fish/vendor_completions.d/enigm-dns.fish', fish(program)],
  ])
}

/** A command and all its subcommands. */
const flat = (command: Described): readonly Described[] => [command, ...command.inner.flatMap(flat)]
const wordsOf = ({ path }: Described) => path.slice(1).join(' ')
const namesOf = ({ short, long }: Option) => [short, long].filter((name) => name !== undefined)
/** The kind of value of an option, if a shell can complete it. */
const takesFile = ({ flags }: Option) => /<(file|folder|dir|path|socket|key)/i.test(flags)
/** The words that an option accepts, if it has a list of them. */
const choicesOf = ({ argChoices }: Option): readonly string[] => argChoices ?? []
const takesWord = ({ required, optional }: Option) => required || optional
/** Every command has this option, and commander does not list it. */
const HELP = ['-h', '--help']

function bash(program: Described): string {
  const cases = flat(program).map((command) => {
    const options = [...command.options.flatMap(namesOf), ...HELP]
    const inner = command.inner.map(({ path }) => path.at(-1))
    return `    '${wordsOf(command)}') words='${[...inner, ...options].join(' ')}' ;;\n`
  })
  const all = flat(program).flatMap(({ options }) => options)
  const files = [...new Set(all.filter(takesFile).flatMap(namesOf))]
  const others = [...new Set(all.filter((option) => takesWord(option) && !takesFile(option)).flatMap(namesOf))].filter(
    (name) => !files.includes(name),
  )
  const chosen = all
    .filter((option) => choicesOf(option).length > 0)
    .map(
      (option) => `    ${namesOf(option).join('|')}) COMPREPLY=($(compgen -W '${choicesOf(option).join(' ')}' -- "$current")); return ;;\n`,
    )
  return `# bash completion of enigm-dns. Made from its commands.
_enigm_dns() {
  local current=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD-1]} command='' word words='' i
  case $previous in
    ${files.join('|')}) COMPREPLY=($(compgen -f -- "$current")); return ;;
${[...new Set(chosen)].join('')}    ${others.join('|')}) return ;;
  esac
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=\${COMP_WORDS[i]}
    case "$command $word" in
${flat(program)
  .slice(1)
  .map(
    (command) =>
      `      '${wordsOf({ ...command, path: command.path.slice(0, -1) })} ${command.path.at(-1)}') command='${wordsOf(command)}' ;;\n`,
  )
  .join('')}    esac
  done
  case $command in
${cases.join('')}  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -o default -F _enigm_dns enigm-dns
`
}

function zsh(program: Described): string {
  const functions = flat(program).map((command) => {
    const name = `_${command.path.join('_').replaceAll('-', '_')}`
    const specs = [...command.options.flatMap(zshOption), "'(- *)'{-h,--help}'[show help]'"]
    if (command.inner.length === 0) return `${name}() {\n  _arguments ${[...specs, "'*: :_default'"].join(' \\\n    ')}\n}\n`
    const list = command.inner.map(({ path, description }) => `    '${path.at(-1)}:${quoted(description).replaceAll(':', '\\:')}'\n`)
    const calls = command.inner.map(({ path }) => `        ${path.at(-1)}) _${path.join('_').replaceAll('-', '_')} ;;\n`)
    return `${name}() {
  local state line context
  typeset -A opt_args
  local -a commands=(
${list.join('')}  )
  _arguments -C ${[...specs, "'1: :->command'", "'*:: :->rest'"].join(' \\\n    ')}
  case $state in
    command) _describe command commands ;;
    rest)
      case $line[1] in
${calls.join('')}      esac ;;
  esac
}
`
  })
  return `#compdef enigm-dns\n# zsh completion of enigm-dns. Made from its commands.\n${functions.join('\n')}\n_enigm_dns "$@"\n`
}

function zshOption(option: Option): readonly string[] {
  const names = namesOf(option)
  const text = `[${quoted(option.description).replaceAll('[', '\\[').replaceAll(']', '\\]').replaceAll(':', '\\:')}]`
  const words = choicesOf(option).join(' ')
  const value = takesFile(option) ? ':file:_files' : words !== '' ? `:value:(${words})` : takesWord(option) ? ':value: ' : ''
  return names.map((name) => `'(${names.join(' ')})${name}${text}${value}'`)
}

function fish(program: Described): string {
  const lines = ['# fish completion of enigm-dns. Made from its commands.', 'complete -c enigm-dns -f']
  for (const command of flat(program)) {
    const when = condition(command)
    for (const { path, description } of command.inner)
      lines.push(`complete -c enigm-dns -n '${when}' -a ${path.at(-1)} -d '${quoted(description)}'`)
    for (const option of command.options) {
      const names = [option.short && `-s ${option.short.slice(1)}`, option.long && `-l ${option.long.slice(2)}`].filter(Boolean).join(' ')
      const words = choicesOf(option).join(' ')
      const value = takesFile(option) ? ' -r -F' : words !== '' ? ` -x -a '${words}'` : takesWord(option) ? ' -x' : ''
      lines.push(`complete -c enigm-dns -n '${when}' ${names}${value} -d '${quoted(option.description)}'`)
    }
  }
  return `${lines.join('\n')}\n`
}

/**
 * The condition for fish to offer entries of a command: its names were typed, and none of its
 * subcommands.
 */
function condition({ path, inner }: Described): string {
  const names = path.slice(1)
  const below = inner.map((one) => one.path.at(-1)).join(' ')
  const seen = names.map((name) => `__fish_seen_subcommand_from ${name}`)
  return [...seen, ...(below === '' ? [] : [`not __fish_seen_subcommand_from ${below}`])].join('; and ') || 'true'
}

/** Quotes a text with single quotes, valid in every shell. */
const quoted = (text: string) => text.replaceAll('\\', '').replaceAll("'", '’').replaceAll('\n', ' ')
