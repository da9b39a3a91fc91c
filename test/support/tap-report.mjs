import { createInterface } from 'node:readline'

/**
 * Reads TAP and prints a line per file, its comments (measurements), every skip, every failure with
 * its diagnosis, and what else tap says. tap's own reporters redraw the screen or print every
 * assertion. Resolves to { pass, fail, skip, todo } in assertions, and `failures`, a line for each
 * file that failed.
 */
export async function report(tap) {
  const totals = { pass: 0, fail: 0, skip: 0, todo: 0, failures: [] }
  let block // the lines of the file that is being read; undefined between files
  for await (const line of createInterface({ input: tap })) {
    const end = /^(not )?ok \d+ - (.*?)(?: # time=([\d.]+)(m?s))?$/.exec(line)
    if (line.startsWith('# Subtest: ')) block = []
    else if (end) {
      printFile(end, block ?? [])
      if (end[1]) totals.failures.push(failureOf(end[2], block ?? []))
      block = undefined
    } else if (block) block.push(line)
    else if (line.startsWith('# {')) count(line, totals)
    else if (line.includes('|')) console.log(line)
  }
  return totals
}

function count(line, totals) {
  for (const [, name, number] of line.matchAll(/(\w+): (\d+)/g)) if (Number.isInteger(totals[name])) totals[name] += Number(number)
}

/** At most three of its failed assertions: a log may be cut to its end. */
function failureOf(name, block) {
  const failed = block.flatMap((line) => /^\s*not ok \d+ - (.*?)(?: # time=.*)?$/.exec(line)?.[1] ?? [])
  return `${name}: ${failed.slice(0, 3).join('; ')}`
}

function printFile([, not, name, time, unit], block) {
  const seconds = Number(time ?? 0) / (unit === 'ms' ? 1000 : 1)
  console.log(`${not ? 'FAIL' : 'ok  '} ${name.replace(/^build\/test\//, '').replace(/\.js$/, '')} (${seconds.toFixed(1)} s)`)
  for (const line of block) {
    const skip = /^\s*ok \d+ - (.*?) ?# SKIP ?(.*)$/.exec(line)
    const note = /^\s+# (?!Subtest|time=|\{)(.*)$/.exec(line)
    if (note) console.log(`     ${note[1]}`)
    else if (skip) console.log(`     skipped: ${[skip[1], skip[2]].filter(Boolean).join(': ')}`)
    else if (not && !/^\s*(ok |#|\d+\.\.|$)/.test(line)) console.log(`   | ${line}`)
  }
}
