import { labelsOf, nameFromText } from '../dns/name.ts'
import type { Answer, Question } from '../resolve.ts'

/**
 * Where a question stands in a zone: at its apex, at another name the zone is known to have, or at
 * any other name below.
 */
export type ZonePosition = 'apex' | 'known' | 'below'

/**
 * What a zone does with a question in it: answer, or let it go upstream ('forward') where an RFC
 * asks for that.
 */
export type ZoneAction = (question: Question, place: ZonePosition) => Answer | 'forward'

/**
 * One line of the policy: everything at and below `zone` is `action`'s, unless a longer zone
 * matches.
 */
export interface ZoneRule {
  /** Text form, lower-case, with its closing dot. */
  readonly zone: string
  /**
   * Names below the apex that exist (their empty ancestors too then, RFC 8020), so that no NXDOMAIN
   * is told for them.
   */
  readonly names?: readonly string[]
  readonly action: ZoneAction
  /** The public DNS's denial does not go with it: what is answered here contradicts it. */
  readonly unprovable?: true
}

interface ZoneNode {
  readonly label: Uint8Array
  readonly children: ZoneNode[]
  rule: ZoneRule | undefined
}

/** What a question's name met in the tree. */
export interface Match {
  readonly rule: ZoneRule
  readonly place: ZonePosition
}

/** Rules by name, from the last label down. */
export interface ZoneTree {
  /**
   * The rule of the longest zone that the name is in; undefined if it is in none. Reads
   * `question.lower` in place and allocates nothing on a miss.
   */
  match(question: Question): Match | undefined
  /** Number of labels of the name that `match` was last called for. */
  readonly labelCount: number
  /** Where the last label of that name begins. */
  readonly topLabelAt: number
}

/** A name of 255 octets has at most 127 labels. */
const MAX_LABELS = 127

/** Builds the tree; two rules for one zone are a mistake of ours and the later one wins. */
export function zoneTree(rules: readonly ZoneRule[]): ZoneTree {
  const root: ZoneNode = { label: new Uint8Array(0), children: [], rule: undefined }
  const nodes = new Map([['', root]])
  for (const rule of rules) {
    insert(nodes, root, rule.zone).rule = rule
    for (const name of rule.names ?? []) insert(nodes, root, name)
  }
  const labelAt = new Uint8Array(MAX_LABELS)
  const tree = {
    labelCount: 0,
    topLabelAt: 0,
    match(question: Question): Match | undefined {
      const name = question.lower
      let count = 0
      for (let at = 0; name[at]! !== 0 && count < MAX_LABELS; at += name[at]! + 1) labelAt[count++] = at
      tree.labelCount = count
      tree.topLabelAt = count === 0 ? 0 : labelAt[count - 1]!
      let node = root
      let zone: ZoneNode | undefined
      let left = count
      while (left > 0) {
        const child = childOf(node, name, labelAt[left - 1]!)
        if (child === undefined) break
        left -= 1
        node = child
        if (node.rule !== undefined) zone = node
      }
      if (zone?.rule === undefined) return undefined
      return { rule: zone.rule, place: left > 0 ? 'below' : node === zone ? 'apex' : 'known' }
    },
  }
  return tree
}

/**
 * The node of a name, made if there is none. `nodes`: those that there are, by path from the root.
 */
function insert(nodes: Map<string, ZoneNode>, root: ZoneNode, name: string): ZoneNode {
  let node = root
  let path = ''
  for (const text of labelsOf(nameFromText(name)).toReversed()) {
    path += `${String.fromCharCode(text.length)}${text}`
    let child = nodes.get(path)
    if (child === undefined) {
      child = { label: Buffer.from(text, 'latin1'), children: [], rule: undefined }
      nodes.set(path, child)
      node.children.push(child)
    }
    node = child
  }
  return node
}

/**
 * Few children a node (64 at most) of few octets: comparing bytes in a row beats making a string to
 * look up.
 */
function childOf(node: ZoneNode, name: Uint8Array, at: number): ZoneNode | undefined {
  const length = name[at]!
  for (const child of node.children) if (child.label.length === length && sameOctets(child.label, name, at + 1)) return child
  return undefined
}

function sameOctets(label: Uint8Array, name: Uint8Array, at: number): boolean {
  for (let i = 0; i < label.length; i++) if (label[i] !== name[at + i]) return false
  return true
}
