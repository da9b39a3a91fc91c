import { dirname, join } from 'node:path'
import { Command } from 'commander'
import { systemCode } from '../errors.ts'
import { EXIT } from '../exit-codes.ts'
import { makeDirectory, replaceFile } from '../files/writing.ts'
import { describe } from './command-tree.ts'
import { completions } from './completions.ts'
import { manualPages } from './manual-pages.ts'

const HELP = `
Exit codes:
  0  written    3  cannot be written there

Examples:
  $ sudo enigm-dns manual /usr/local/share     then: man enigm-dns, and Tab after enigm-dns
`

/**
 * `enigm-dns manual`: writes man pages and completions of bash, zsh and fish below a folder such as
 * /usr/local/share. `tree` returns the program with every command. Sets the exit code.
 */
export function manualCommand(tree: () => Promise<Command>): Command {
  return new Command('manual')
    .description('write the man pages and the completions for bash, zsh and fish to a directory')
    .argument('<folder>', 'a share directory, for example /usr/local/share')
    .addHelpText('after', HELP)
    .action(async (folder: string) => {
      const described = describe(await tree())
      const files = new Map([...manualPages(described), ...completions(described)])
      try {
        for (const [path, text] of files) write(join(folder, path), text)
        process.stdout.write(`wrote ${files.size} files below ${folder}\n`)
      } catch (error) {
        process.stderr.write(
          `${folder} is not writable (${systemCode(error) ?? 'unknown error'}): name another directory, or run this as its owner.\n`,
        )
        process.exitCode = EXIT.cannotTell
      }
    })
}

function write(path: string, text: string): void {
  makeDirectory(dirname(path), 0o755)
  replaceFile(path, text, 0o644, 'the process')
}
