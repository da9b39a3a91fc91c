import t from 'tap'
import { unsafeEnvironment } from '../../src/system/hardening.ts'

t.test('an ordinary environment is safe', async (t) => {
  t.strictSame(unsafeEnvironment({}, []), [])
  t.strictSame(
    unsafeEnvironment({ PATH: '/bin', NODE_OPTIONS: '--max-old-space-size=200 --enable-source-maps', NODE_TLS_REJECT_UNAUTHORIZED: '1' }, [
      '--no-warnings',
    ]),
    [],
  )
  t.strictSame(unsafeEnvironment({ SSLKEYLOGFILE: '', NODE_EXTRA_CA_CERTS: '/etc/ca.pem', NODE_OPTIONS: '' }, []), [])
  t.strictSame(unsafeEnvironment({ OPENSSL_CONF: '' }, []), [])
  t.strictSame(unsafeEnvironment({ OPENSSL_CONF: '/dev/null' }, []), [])
  // Whom to trust is named at every dial (see link/dial/handshake.ts), and so are the versions:
  // these move nothing.
  const roots = { SSL_CERT_FILE: '/etc/ca.pem', SSL_CERT_DIR: '/etc/ssl', NODE_OPTIONS: '--use-openssl-ca --tls-min-v1.3 --tls-max-v1.3' }
  t.strictSame(unsafeEnvironment(roots, ['--use-system-ca', '--use-bundled-ca']), [])
})

t.test('each unsafe variable is one sentence with its fix, and its value is not repeated', async (t) => {
  for (const [name, value] of [
    ['NODE_TLS_REJECT_UNAUTHORIZED', '0'],
    ['SSLKEYLOGFILE', '/secret/keys'],
    ['OPENSSL_CONF', '/secret/openssl.cnf'],
  ] as const) {
    const problems = unsafeEnvironment({ [name]: value }, [])
    t.equal(problems.length, 1, name)
    t.match(problems[0], new RegExp(`^${name} is set: .+; unset it\\.$`))
    t.notMatch(problems[0], /secret/)
  }
})

t.test('each unsafe flag, on the command line and in NODE_OPTIONS, in any spelling', async (t) => {
  for (const flag of [
    '--tls-keylog=/secret/k',
    '--tls-keylog',
    '--tls_keylog=/secret/k',
    '--trace-tls',
    '--inspect',
    '--inspect=0.0.0.0:9229',
    '--inspect-brk',
    '--inspect_brk',
    '--inspect-wait',
    '--inspect-port=1',
    '--openssl-legacy-provider',
    '--openssl-shared-config',
    '--tls-min-v1.0',
    '--tls-min-v1.1',
    '--tls-max-v1.2',
    '--tls-cipher-list=/secret/',
    '--tls-cipher-list',
    '--tls_cipher_list=/secret/',
    '--openssl-config=/secret/f',
    '--heapsnapshot-signal=SIGUSR2',
    '--heapsnapshot-near-heap-limit=1',
    '--heap-prof',
    '--openssl_config=/secret/f',
    '--insecure-http-parser',
    '--security-revert=CVE-2023-46809',
    '--experimental-config-file=/secret/f',
    '--experimental-default-config-file',
  ]) {
    const onLine = unsafeEnvironment({}, ['--no-warnings', flag])
    t.equal(onLine.length, 1, flag)
    t.match(onLine[0], /^Node was started with --\S+: .+; start it without\.$/)
    t.notMatch(onLine[0], /secret/)
    for (const options of [flag, `--no-warnings  ${flag}`, `"${flag}"`, `--title="a b" ${flag}`, `--${'"'}${flag.slice(2)}"`]) {
      t.match(unsafeEnvironment({ NODE_OPTIONS: options }, []), [/^NODE_OPTIONS holds --\S+: .+; take it out\.$/], options)
    }
  }
})

t.test('harmless text that looks like a flag is ignored', async (t) => {
  t.strictSame(unsafeEnvironment({ NODE_OPTIONS: '--title="x --inspect"' }, []), [])
  t.strictSame(unsafeEnvironment({ NODE_OPTIONS: '--require ./inspect.js' }, ['inspect']), [])
})

t.test('everything at once', async (t) => {
  const env = { NODE_TLS_REJECT_UNAUTHORIZED: '0', SSLKEYLOGFILE: 'k', NODE_OPTIONS: '--inspect --tls-keylog=x' }
  t.equal(unsafeEnvironment(env, ['--trace-tls']).length, 5)
})
