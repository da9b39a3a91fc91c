#!/usr/bin/env node
// What becomes dist/main.js: loads the bundles of dist/parts, each with the code that V8 made of it when it was built (src/bundle.mjs).
// CommonJS, because there is no code cache for ES modules in Node 20 (and their loader alone costs 8 ms and 2 MB).
'use strict'
const { readFileSync } = require('node:fs')
const { createRequire, isBuiltin } = require('node:module')
const { dirname, join } = require('node:path')
const vm = require('node:vm')

const loaded = new Map()
load(join(__dirname, 'parts', 'program.js'))

/**
 * The exports of a bundle, which is run at the first call for it. What is not in a bundle is Node's own: a package would be looked for in every directory above, in
 * NODE_PATH and in $HOME/.node_modules, where others may write.
 */
function load(path) {
  const known = loaded.get(path)
  if (known !== undefined) return known.exports
  const module = { exports: {} }
  loaded.set(path, module)
  const outer = createRequire(path)
  const inner = (id) => {
    if (id.startsWith('./')) return load(join(dirname(path), id))
    if (isBuiltin(id)) return outer(id)
    throw new Error(`${id} is not part of this program`)
  }
  compiled(path).runInThisContext()(module.exports, inner, module, path, dirname(path))
  return module.exports
}

/** V8 takes its code only in the version and with the flags that it was made with; otherwise, or without it, it compiles as ever. */
function compiled(path) {
  const text = `(function (exports, require, module, __filename, __dirname) {${readFileSync(path, 'latin1')}\n})`
  return new vm.Script(text, { filename: path, cachedData: codeOf(path) })
}

function codeOf(path) {
  try {
    return readFileSync(`${path}.code`)
  } catch {
    return undefined
  }
}
