/**
 * Prints a line for a test file that ended, its comments (measurements), every skip, and every
 * failure with its diagnosis: tap's own reporters redraw the screen or print every assertion.
 * `text` is its TAP, `end` its exit code, or the signal or error that ended it. Returns
 * { file, pass, fail, skip, problem }, in assertions.
 */
export function readTap(file, text, end, seconds) {
  const lines = text.split('\n')
  const totals = { pass: 0, fail: 0, skip: 0, todo: 0 }
  // The last one, at the margin, is about the whole file.
  const counted = lines.findLast((line) => line.startsWith('# {')) ?? ''
  for (const [, name, number] of counted.matchAll(/(\w+): (\d+)/g)) if (name in totals) totals[name] += Number(number)
  const failed = lines.flatMap((line) => /^\s*not ok \d+ - (.*?)(?: # time=.*)?$/.exec(line)?.[1] ?? [])
  if (counted === '') failed.push('it did not come to its end')
  if (end !== 0 && failed.length === 0) failed.push(`it ended with ${end}`)
  const broken = failed.length > 0
  printFile(nameOf(file), broken, seconds, lines)
  return {
    file,
    pass: totals.pass,
    fail: broken ? Math.max(totals.fail, 1) : 0,
    skip: totals.skip + totals.todo,
    // At most three: a log may be cut to its end.
    problem: broken ? `${nameOf(file)}: ${failed.slice(0, 3).join('; ')}` : undefined,
  }
}

const nameOf = (file) => file.replace(/^build\/test\//, '').replace(/\.js$/, '')

function printFile(name, broken, seconds, lines) {
  console.log(`${broken ? 'FAIL' : 'ok  '} ${name} (${seconds.toFixed(1)} s)`)
  for (const line of lines) {
    const skip = /^\s*(?:ok \d+ - (.*?) ?# SKIP ?(.*)|1\.\.0 # (.*))$/.exec(line)
    const note = /^\s*# (?!Subtest|time=|\{)(.*)$/.exec(line)
    if (note) console.log(`     ${note[1]}`)
    else if (skip) console.log(`     skipped: ${[skip[1], skip[2], skip[3]].filter(Boolean).join(': ')}`)
    else if (broken && !/^\s*(ok |#|TAP version|\d+\.\.|$)/.test(line)) console.log(`   | ${line}`)
  }
}
