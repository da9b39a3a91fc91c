import type { Target } from './target.ts'

/**
 * A target to be loaded, and the paths below src/ that its coverage is counted in: known before any
 * of them is loaded.
 */
export interface TargetEntry {
  readonly parts: readonly string[]
  readonly load: () => Promise<Target>
}

/** Every target by name. */
export const TARGETS: Readonly<Record<string, TargetEntry>> = {
  query: {
    parts: ['dns/query-scan', 'dns/message', 'dns/reply', 'dns/records', 'dns/name', 'cache/key', 'responder'],
    load: async () => (await import('./targets/query.ts')).queryTarget,
  },
  name: { parts: ['dns/name'], load: async () => (await import('./targets/name.ts')).nameTarget },
  opt: { parts: ['dns/edns', 'dns/query-scan', 'dns/records'], load: async () => (await import('./targets/opt.ts')).optTarget },
  reply: {
    parts: [
      'dns/re',
      'dns/denial',
      'dns/ttl',
      'dns/name',
      'dns/edns',
      'dns/message',
      'dns/people',
      'dns/rdata-text',
      'dns/printable',
      'dns/svc-params',
    ],
    load: async () => (await import('./targets/reply.ts')).replyTarget,
  },
  dot: {
    parts: ['dns/framing', 'link/carriers/dot', 'link/carriers/carrier', 'dns/message', 'dns/edns', 'dns/records'],
    load: async () => (await import('./targets/dot.ts')).dotTarget,
  },
  h1: {
    parts: ['link/carriers/h1-response', 'link/carriers/doh-message'],
    load: async () => (await import('./targets/h1.ts')).h1Target,
  },
  h2: {
    parts: ['link/carriers/h2/', 'link/carriers/doh-message', 'link/carriers/carrier', 'dns/message'],
    load: async () => (await import('./targets/h2.ts')).h2Target,
  },
  doq: {
    parts: ['link/doq/carrier', 'link/carriers/carrier', 'dns/message', 'dns/response'],
    load: async () => (await import('./targets/doq.ts')).doqTarget,
  },
  dnscrypt: {
    parts: ['link/dnscrypt/', 'dns/records', 'dns/message'],
    load: async () => (await import('./targets/dnscrypt.ts')).dnscryptTarget,
  },
  config: { parts: ['config/'], load: async () => (await import('./targets/config.ts')).configTarget },
  lists: { parts: ['rules/list-', 'rules/rpz'], load: async () => (await import('./targets/lists.ts')).listsTarget },
  signatures: { parts: ['files/minisign'], load: async () => (await import('./targets/signatures.ts')).signaturesTarget },
  discovery: {
    parts: ['dns/svcb', 'config/stamps', 'config/stamp-list'],
    load: async () => (await import('./targets/discovery.ts')).discoveryTarget,
  },
  saved: {
    parts: ['cache/saved-records', 'retention/saved-cache', 'retention/down-time'],
    load: async () => (await import('./targets/saved.ts')).savedTarget,
  },
  status: {
    parts: ['posture/reader', 'posture/document', 'commands/status-screen'],
    load: async () => (await import('./targets/status.ts')).statusTarget,
  },
}
