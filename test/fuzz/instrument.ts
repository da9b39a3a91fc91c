import ts from 'typescript'

/**
 * A module that counts what runs in it. `edges` is how many counters it uses; `words` are the
 * literals that it compares with, as octets.
 */
export interface Instrumented {
  readonly code: string
  readonly edges: number
  readonly words: readonly string[]
}

/** Name under which instrumented code finds its counters and its comparisons (see coverage.ts). */
export const GLOBAL = '__enigmFuzz'
const COUNTERS = '__fuzzHits'
const EQUALS = '__fuzzEquals'
const { factory: f, SyntaxKind: Kind } = ts

/**
 * Puts a counter on every arm of a compiled module: functions, if and else, loops, case clauses,
 * catch, both arms of `?:`, and the right side of `&&`, `||` and `??`. Equalities tell their
 * operands, so that a magic number is found by looking and not by luck. What the module does stays
 * as it was.
 */
export function instrument(code: string, file: string): Instrumented {
  const source = ts.createSourceFile(file, code, ts.ScriptTarget.ES2023, true, ts.ScriptKind.JS)
  let edges = 0
  const words = new Set<string>()
  const count = () => f.createPostfixIncrement(f.createElementAccessExpression(f.createIdentifier(COUNTERS), edges++))
  const tick = () => f.createExpressionStatement(count())
  const counted = (e: ts.Expression) => f.createParenthesizedExpression(f.createComma(count(), e))
  const ticking = (s: ts.Statement) => f.createBlock(ts.isBlock(s) ? [tick(), ...s.statements] : [tick(), s], true)

  const { transformed, dispose } = ts.transform(source, [
    (context) => (root) => {
      const visit = (node: ts.Node): ts.Node => {
        collectWord(node, words)
        const inner = ts.visitEachChild(node, visit, context)
        return armed(inner, node)
      }
      return ts.visitNode(root, visit, ts.isSourceFile)
    },
  ])
  const [result] = transformed
  const body = result === undefined ? code : ts.createPrinter().printFile(result)
  dispose()
  const head = `const ${COUNTERS} = globalThis.${GLOBAL}.counters(${edges}), ${EQUALS} = globalThis.${GLOBAL}.equals;`
  return { code: `${head}\n${body}`, edges, words: [...words] }

  /** `inner` with its arms counted; `node` is as it was before, with its place in the tree. */
  function armed(inner: ts.Node, node: ts.Node): ts.Node {
    if (ts.isBlock(inner) && isFunctionBody(node)) return ticking(inner)
    if (ts.isArrowFunction(inner) && !ts.isBlock(inner.body)) {
      return f.updateArrowFunction(
        inner,
        inner.modifiers,
        undefined,
        inner.parameters,
        undefined,
        inner.equalsGreaterThanToken,
        counted(inner.body),
      )
    }
    if (ts.isIfStatement(inner)) {
      const no = inner.elseStatement === undefined ? f.createBlock([tick()]) : ticking(inner.elseStatement)
      return f.updateIfStatement(inner, inner.expression, ticking(inner.thenStatement), no)
    }
    if (ts.isForStatement(inner))
      return f.updateForStatement(inner, inner.initializer, inner.condition, inner.incrementor, ticking(inner.statement))
    if (ts.isForOfStatement(inner))
      return f.updateForOfStatement(inner, inner.awaitModifier, inner.initializer, inner.expression, ticking(inner.statement))
    if (ts.isWhileStatement(inner)) return f.updateWhileStatement(inner, inner.expression, ticking(inner.statement))
    if (ts.isCaseClause(inner)) return f.updateCaseClause(inner, inner.expression, [tick(), ...inner.statements])
    if (ts.isDefaultClause(inner)) return f.updateDefaultClause(inner, [tick(), ...inner.statements])
    if (ts.isCatchClause(inner)) return f.updateCatchClause(inner, inner.variableDeclaration, ticking(inner.block))
    if (ts.isConditionalExpression(inner)) {
      const { condition, questionToken, whenTrue, colonToken, whenFalse } = inner
      return f.updateConditionalExpression(inner, condition, questionToken, counted(whenTrue), colonToken, counted(whenFalse))
    }
    return ts.isBinaryExpression(inner) ? binary(inner) : inner
  }

  function binary(e: ts.BinaryExpression): ts.Node {
    const kind = e.operatorToken.kind
    if (kind === Kind.AmpersandAmpersandToken || kind === Kind.BarBarToken || kind === Kind.QuestionQuestionToken) {
      return f.updateBinaryExpression(e, e.left, e.operatorToken, counted(e.right))
    }
    if (kind !== Kind.EqualsEqualsEqualsToken && kind !== Kind.ExclamationEqualsEqualsToken) return e
    const equal = f.createCallExpression(f.createIdentifier(EQUALS), undefined, [e.left, e.right])
    return kind === Kind.EqualsEqualsEqualsToken ? equal : f.createLogicalNot(equal)
  }
}

function isFunctionBody(node: ts.Node): boolean {
  return node.parent !== undefined && ts.isFunctionLike(node.parent)
}

const MAX_WORD_OCTETS = 64

/** Literals of a parser are what its input is made of. */
function collectWord(node: ts.Node, words: Set<string>): void {
  if (ts.isStringLiteral(node) && !ts.isImportDeclaration(node.parent) && node.text.length > 1 && node.text.length <= MAX_WORD_OCTETS) {
    words.add(Buffer.from(node.text).toString('latin1'))
  }
  if (ts.isNumericLiteral(node)) for (const word of wordsOfNumber(Number(node.text))) words.add(word)
}

/** A number as it may stand on the wire: in one, two and four octets, the high one first. */
export function wordsOfNumber(value: number): readonly string[] {
  if (!Number.isSafeInteger(value) || value < 2 || value > 0xffffffff) return []
  const four = [value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255]
  const shortest = value < 256 ? [3, 2] : value < 65_536 ? [2] : [0]
  return shortest.map((from) => String.fromCharCode(...four.slice(from)))
}
