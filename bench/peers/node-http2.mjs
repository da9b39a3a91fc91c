// Bundles the program into the directory named first, with the oracle on node:http2 in place of its
// own HTTP/2 client: the row "by node:http2" shows what that client would cost.
import { bundle } from '../../src/bundle.mjs'
import { root } from '../../src/setup.mjs'

await bundle(root, process.argv[2], { 'src/link/carriers/h2/connection.ts': 'test/support/doh-h2.ts' })
