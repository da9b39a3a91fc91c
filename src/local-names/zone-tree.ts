import { labelsOf, nameFromText } from '../dns/name.ts'
import type { Answer, Question } from '../resolve.ts'

/**
 * Position of a question in a zone: at its apex, at another name that the zone is known to have, or
 * at any other name below.
 */
export type ZonePosition = 'apex' | 'known' | 'below'

/** The action of a zone for a question in it: an answer, or 'forward' if an RFC requires it. */
export type ZoneAction = (question: Question, place: ZonePosition) => Answer | 'forward'

/**
 * One line of the policy: `action` answers everything at and below `zone`, unless a longer zone
 * matches.
 */
export interface ZoneRule {
  /** Text form, lower-case, with its closing dot. */
  readonly zone: string
  /**
   * Names below the apex that exist (then their empty ancestors exist too, RFC 8020), so that they
   * get no NXDOMAIN.
   */
  readonly names?: readonly string[]
  readonly action: ZoneAction
  /** The public DNS's denial is not added, because the local answer contradicts it. */
  readonly unprovable?: true
  /**
   * Its names mean this host or this service, for every network: a forward rule for a shorter zone
   * does not include them.
   */
  readonly ofHost?: true
}

interface ZoneNode {
  readonly label: Uint8Array
  readonly children: ZoneNode[]
  rule: ZoneRule | undefined
}

/** The match of a question's name in the tree. */
export interface Match {
  readonly rule: ZoneRule
  readonly place: ZonePosition
}

/** Rules by name, from the last label down. */
export interface ZoneTree {
  /**
   * The rule of the longest zone that contains the name; undefined if there is none. Reads
   * `question.lower` in place and does not allocate if nothing matches.
   */
  match(question: Question): Match | undefined
  /** Number of labels of the name in the last call of `match`. */
  readonly labelCount: number
  /** Offset of the last label of that name. */
  readonly topLabelAt: number
}

/** A name of 255 octets has at most 127 labels. */
const MAX_LABELS = 127

/** Builds the tree. Two rules for one zone are a bug; the later one wins. */
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
 * The node of a name; it is made if it does not exist. `nodes`: the existing nodes, by path from
 * the root.
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
 * A node has few children (64 at most) with short labels: comparing bytes is faster than making a
 * string for a lookup.
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
