// `node dist/compile.cjs`: writes V8's code beside each bundle of dist/parts, for the Node that runs
// this. A start then takes a fifth of the time. The code differs by build and by processor, so a
// package does not hold it: it is made where it is used.
'use strict'
const { readFileSync, readdirSync, renameSync, writeFileSync } = require('node:fs')
const { join } = require('node:path')
const v8 = require('node:v8')
const vm = require('node:vm')

/**
 * The code is of all functions, since those that a start needs are known only at a start. The text
 * is what entry.cjs compiles; stack traces name `place`.
 */
function writeCode(path, place = path) {
  const text = `(function (exports, require, module, __filename, __dirname) {${readFileSync(path, 'latin1')}\n})`
  v8.setFlagsFromString('--no-lazy')
  try {
    const script = new vm.Script(text, { filename: place })
    // The flags are part of the code's stamp, and must be those that it will be loaded with.
    v8.setFlagsFromString('--lazy')
    const fresh = `${path}.code.${process.pid}`
    writeFileSync(fresh, script.createCachedData(), { mode: 0o644 })
    renameSync(fresh, `${path}.code`)
  } finally {
    v8.setFlagsFromString('--lazy')
  }
}

/** For every bundle in `parts`, which will lie in `place`. */
function writeAll(parts, place = parts) {
  for (const file of readdirSync(parts)) if (file.endsWith('.js')) writeCode(join(parts, file), join(place, file))
}

if (require.main === module) writeAll(join(__dirname, 'parts'))
else module.exports = { writeAll }
