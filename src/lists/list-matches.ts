import { join } from 'node:path'
import { type ListConfig, MAX_LIST_OCTETS } from '../config/lists.ts'
import { KeptCopies } from '../fetcher/kept-copies.ts'
import { anyOwner, openChecked } from '../files/reading.ts'
import { isReadable } from '../files/writing.ts'
import { AddressBlocks } from '../rules/address-blocks.ts'
import type { RuleGroup } from '../rules/list-build.ts'
import type { BlockedReply, RuleKind, Scope } from '../rules/list-kinds.ts'
import { ListParser } from '../rules/list-parser.ts'
import { isExcepted, isStronger } from '../rules/list-rules.ts'
import { appliesAt } from '../rules/list-times.ts'
import { specOf } from './list-sources.ts'

/** A rule of a list about a name or a client, and where it is written. */
export interface ListMatch {
  /** The id of the list. */
  readonly list: string
  /** The file or URL of the list in the configuration. */
  readonly source: string
  /** The number of the line, from 1. */
  readonly line: number
  /** The text of the line, at most 200 characters. */
  readonly rule: string
  readonly allows: boolean
  /** The reply that a client gets if this rule blocks the name. */
  readonly reply: BlockedReply
  /** Of a rule about the client: the length of its prefix; of one about the name: 0. */
  readonly clientBits: number
  /** Whether the list applies at this time of day. */
  readonly applies: boolean
}

/** Limit of collected rules about one name. */
const MOST_MATCHES = 64
const MOST_CHARACTERS = 200
const PART_OCTETS = 65_536

/** The settings that say where the lists are. */
interface ListSources {
  readonly lists: readonly ListConfig[]
  readonly stateDir: string
}

/** What is looked for: a name in wire form, lower-case, and the address of the client that asks. */
export interface ListQuestion {
  readonly name: Uint8Array
  /** Absent: rules about clients are passed over. */
  readonly client?: string
}

/**
 * The rules about a question, the one that decides first: it is the first that applies. Reads all
 * sources again, because the table in force has no text: two million names take a second, in parts
 * of a few milliseconds. `ids`: the lists of a view; undefined: all. A source that cannot be read
 * has no rules (`unreadLists`). Pauses are not considered.
 */
export async function listMatches(
  { lists, stateDir }: ListSources,
  question: ListQuestion,
  wallMs: number,
  ids?: readonly string[],
): Promise<readonly ListMatch[]> {
  const copies = new KeptCopies(join(stateDir, 'lists'))
  const found: (ListMatch & { readonly group: RuleGroup })[] = []
  for (const [index, list] of lists.entries()) {
    if (ids !== undefined && !ids.includes(list.id)) continue
    const applies = list.when === undefined || appliesAt(list.when, wallMs)
    const source = list.file ?? list.url ?? ''
    for (const { scope, kind, line, rule, clientBits } of await matchesIn(list, copies, question)) {
      const allows = kind.allows || list.action === 'allow'
      const group = { list: index, scope, kind: { ...kind, allows } }
      const reply = list.reply ?? kind.reply ?? 'null-address'
      if (found.length < MOST_MATCHES) found.push({ list: list.id, source, line, rule, allows, reply, clientBits, applies, group })
    }
  }
  const order = (a: (typeof found)[number], b: (typeof found)[number]) => {
    if (a.applies !== b.applies) return a.applies ? -1 : 1
    if (a.clientBits !== b.clientBits) return b.clientBits - a.clientBits
    return Number(isStronger(b.group, a.group)) - Number(isStronger(a.group, b.group))
  }
  return found.toSorted(order).map(({ group: _group, ...match }) => match)
}

/**
 * The ids of the lists whose source cannot be read now, or was never fetched. `ids`: as in
 * `listMatches`.
 */
export function unreadLists({ lists, stateDir }: ListSources, ids?: readonly string[]): readonly string[] {
  const copies = new KeptCopies(join(stateDir, 'lists'))
  const isUnread = (list: ListConfig) => {
    const spec = specOf(list, copies)
    return spec === undefined || !isReadable(spec.path)
  }
  return lists.filter((list) => (ids === undefined || ids.includes(list.id)) && isUnread(list)).map(({ id }) => id)
}

interface Line {
  readonly scope: Scope
  readonly kind: RuleKind
  readonly clientBits: number
  readonly line: number
  readonly rule: string
}

/** The rules of one list about a question. */
async function matchesIn(list: ListConfig, copies: KeptCopies, { name, client }: ListQuestion): Promise<readonly Line[]> {
  const spec = specOf(list, copies)
  const found: Line[] = []
  if (spec === undefined) return found
  const take = (scope: Scope, kind: RuleKind, clientBits: number) => {
    if (found.length < MOST_MATCHES)
      found.push({ scope, kind, clientBits, line: parser.line, rule: parser.text.trim().slice(0, MOST_CHARACTERS) })
  }
  const taker = {
    name(owner: Uint8Array, scope: Scope, kind: RuleKind) {
      if (covers(owner, scope, name) && !isExcepted(kind, name, 0)) take(scope, kind, 0)
    },
    addresses() {},
    clients(octets: Uint8Array, prefix: number, kind: RuleKind) {
      if (client === undefined) return
      const block = new AddressBlocks<true>()
      block.set(octets, prefix, true)
      if (block.first(client, (is) => is) === true) take('name', kind, prefix)
    },
    skip() {},
  }
  const parser = new ListParser(list.format, taker)
  try {
    await feed(spec.path, parser)
  } catch {
    // Ignored: the command `check` reports the faults of sources.
  }
  return found
}

/** Feeds a file to a parser in parts. Yields to other work of this thread between two parts. */
async function feed(path: string, parser: ListParser): Promise<void> {
  const handle = await openChecked(path, MAX_LIST_OCTETS, anyOwner)
  if (typeof handle === 'string') return
  try {
    const part = Buffer.allocUnsafe(PART_OCTETS)
    for (let octets = -1; octets !== 0; ) {
      octets = (await handle.read(part, 0, PART_OCTETS)).bytesRead
      parser.feed(part.subarray(0, octets))
    }
    parser.end()
  } finally {
    await handle.close()
  }
}

/**
 * Whether a rule of this scope for `owner` applies to `name`. `owner` may have more octets after
 * the name.
 */
function covers(owner: Uint8Array, scope: Scope, name: Uint8Array): boolean {
  let length = 0
  while (owner[length] !== 0) length += owner[length]! + 1
  const at = name.length - length - 1
  if (at < 0 || (at === 0 ? scope === 'below' : scope === 'name')) return false
  for (let i = 0; i < length; i++) if (name[at + i] !== owner[i]) return false
  if (name[at + length] !== 0) return false
  let label = 0
  while (label < at) label += name[label]! + 1
  return label === at
}
