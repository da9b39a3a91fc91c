import t from 'tap'
import {
  clientView,
  EnigmError,
  type ErrorCode,
  inDoubt,
  isAround,
  isAuthenticationFailure,
  isBug,
  isCounted,
  isErrorCode,
  isOurs,
  isPolicyRefusal,
  looksBlocked,
  mayBeTheName,
  mayServeStale,
  provesAlive,
  reachedPeer,
  speaksAgainst,
  wasAsked,
} from '../src/errors.ts'

/**
 * Every code with the extended error that clients are told: both are contracts (metrics, EDE texts,
 * docs). Written out here, for a row that is changed by mistake must not change the test with it.
 */
const EDE: Readonly<Record<ErrorCode, number>> = {
  deadline: 22,
  'no-upstream': 22,
  'clock-suspect': 14,
  'portal-suspected': 23,
  'connect-refused': 23,
  'connect-timeout': 23,
  'connect-failed': 23,
  'connection-lost': 23,
  'tls-failed': 23,
  'alpn-missing': 23,
  'certificate-expired': 23,
  'certificate-not-yet-valid': 23,
  'certificate-name': 23,
  'certificate-untrusted': 23,
  'pin-mismatch': 23,
  'http-status': 23,
  'http-type': 23,
  'http-size': 23,
  'http-encoding': 23,
  'reply-mismatch': 22,
  'reply-malformed': 22,
  'reply-rcode': 23,
  'target-key': 23,
  'hop-unreachable': 23,
  'hop-refused': 23,
  'hop-credentials': 23,
  'hop-untrusted': 23,
  'hop-failed': 23,
  'vpn-required': 15,
  'audit-required': 15,
  'separation-required': 15,
  'policy-pending': 15,
  overloaded: 0,
  'forward-loop': 22,
  closed: 14,
  config: 14,
  listen: 14,
  state: 14,
  source: 14,
  internal: 0,
}
const CODES = Object.keys(EDE) as ErrorCode[]
const POLICY = ['audit-required', 'policy-pending', 'separation-required', 'vpn-required']
const IDENTITY = ['certificate-expired', 'certificate-name', 'certificate-not-yet-valid', 'certificate-untrusted', 'pin-mismatch']

/** Every question but `speaksAgainst`, and for which codes the answer is yes. */
const QUESTIONS: readonly (readonly [name: string, asked: (code: ErrorCode) => boolean, yes: readonly string[]])[] = [
  ['isPolicyRefusal', isPolicyRefusal, POLICY],
  ['isAuthenticationFailure', isAuthenticationFailure, IDENTITY],
  ['isAround', isAround, ['clock-suspect', 'portal-suspected']],
  [
    'isOurs',
    isOurs,
    [
      ...POLICY,
      'clock-suspect',
      'portal-suspected',
      'overloaded',
      'forward-loop',
      'closed',
      'config',
      'listen',
      'state',
      'source',
      'internal',
    ],
  ],
  ['isBug', isBug, ['internal']],
  ['isCounted', isCounted, CODES.filter((code) => code !== 'closed')],
  [
    'wasAsked',
    wasAsked,
    [
      'deadline',
      'connection-lost',
      'reply-mismatch',
      'reply-malformed',
      'reply-rcode',
      'target-key',
      'http-status',
      'http-type',
      'http-size',
      'http-encoding',
    ],
  ],
  ['reachedPeer', reachedPeer, [...IDENTITY, 'tls-failed', 'alpn-missing']],
  ['mayServeStale', mayServeStale, CODES.filter((code) => ![...POLICY, 'closed', 'config', 'listen'].includes(code))],
  ['mayBeTheName', (code) => mayBeTheName(new EnigmError(code, '')), ['deadline', 'http-status']],
  ['provesAlive', provesAlive, ['reply-rcode', 'target-key']],
  ['looksBlocked', looksBlocked, ['connect-timeout', 'connect-refused', 'deadline']],
  ['dates in doubt', (code) => inDoubt(code) === 'dates', ['certificate-expired']],
  ['the clock in doubt', (code) => inDoubt(code) === 'clock', ['certificate-not-yet-valid']],
  ['a stranger', (code) => inDoubt(code) === 'stranger', ['certificate-name', 'certificate-untrusted']],
  ['the key in doubt', (code) => inDoubt(code) === 'key', ['pin-mismatch']],
]

t.test('the properties of every code', (t) => {
  for (const [name, asked, yes] of QUESTIONS)
    t.strictSame(
      CODES.filter(asked),
      CODES.filter((code) => yes.includes(code)),
      name,
    )
  t.end()
})

t.test('the answer that a client gets', (t) => {
  for (const code of CODES) t.strictSame(clientView(code), { rcode: 2, ede: { code: EDE[code], text: code } }, code)
  t.strictSame(clientView('hop-unreachable', 'tor'), { rcode: 2, ede: { code: 23, text: 'hop-unreachable: tor' } }, 'the hop is named')
  t.end()
})

t.test('when a failed exchange is evidence against its path', (t) => {
  for (const code of CODES)
    for (const silent of [false, true])
      for (const hadTime of [false, true])
        for (const probe of [false, true]) {
          const expected =
            code === 'deadline'
              ? probe && silent && hadTime
              : code === 'http-status'
                ? probe
                : code === 'connect-timeout'
                  ? silent && hadTime
                  : code === 'connection-lost'
                    ? silent
                    : !isOurs(code)
          t.equal(speaksAgainst(new EnigmError(code, ''), { silent, hadTime, probe }), expected, `${code} ${silent} ${hadTime} ${probe}`)
        }
  for (const probe of [false, true]) {
    const convicted = new EnigmError('connection-lost', '', { ofTheName: true })
    t.equal(speaksAgainst(convicted, { silent: true, hadTime: true, probe }), probe, 'the question alone is to blame')
    t.ok(mayBeTheName(convicted))
  }
  t.end()
})

t.test('isErrorCode accepts only codes', (t) => {
  for (const code of CODES) t.ok(isErrorCode(code))
  for (const text of ['', 'SERVFAIL', 'Deadline', 'toString', '__proto__', 'constructor']) t.notOk(isErrorCode(text), text)
  t.end()
})
