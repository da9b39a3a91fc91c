/**
 * Judges a test file that ended. `text` is its TAP, `end` its exit code, or the signal or error that
 * ended it. Returns { file, pass, fail, skip, problem, lines }, in assertions: `problem` is a line,
 * or undefined where the file passed; `lines` are to be printed: its comments (measurements), every
 * skip, and every failure with its diagnosis. tap's own reporters redraw the screen or print every
 * assertion.
 */
export function readTap(file, text, end, seconds) {
  const tap = text.split('\n')
  const totals = { pass: 0, fail: 0, skip: 0, todo: 0 }
  // The last one, at the margin, is about the whole file.
  const counted = tap.findLast((line) => line.startsWith('# {')) ?? ''
  for (const [, name, number] of counted.matchAll(/(\w+): (\d+)/g)) if (name in totals) totals[name] += Number(number)
  const failed = tap
    .filter((line) => !line.includes('# TODO'))
    .flatMap((line) => /^\s*not ok \d+ - (.*?)(?: # time=.*)?$/.exec(line)?.[1] ?? [])
  if (counted === '') failed.push('it did not come to its end')
  if (end !== 0 && failed.length === 0) failed.push(`it ended with ${end}`)
  const broken = failed.length > 0
  return {
    file,
    pass: totals.pass,
    fail: broken ? Math.max(totals.fail, 1) : 0,
    skip: totals.skip + totals.todo,
    // At most three: a log may be cut to its end.
    problem: broken ? `${nameOf(file)}: ${failed.slice(0, 3).join('; ')}` : undefined,
    lines: [`${broken ? 'FAIL' : 'ok  '} ${nameOf(file)} (${seconds.toFixed(1)} s)`, ...tap.flatMap((line) => shown(line, broken))],
  }
}

const nameOf = (file) => file.replace(/^build\/test\//, '').replace(/\.js$/, '')

function shown(line, broken) {
  const skip = /^\s*(?:ok \d+ - (.*?) ?# SKIP ?(.*)|1\.\.0 # (.*))$/.exec(line)
  const note = /^\s*# (?!Subtest|time=|\{)(.*)$/.exec(line)
  if (note) return [`     ${note[1]}`]
  if (skip) return [`     skipped: ${[skip[1], skip[2], skip[3]].filter(Boolean).join(': ')}`]
  return broken && !/^\s*(ok |#|TAP version|\d+\.\.|$)/.test(line) ? [`   | ${line}`] : []
}
