import * as v from 'valibot'
import { minisignKey } from '../files/minisign.ts'
import { checked, closed, described, distinct, text, word } from './fields.ts'
import { sourceUrlProblem } from './source-url.ts'

const keyText = v.pipe(
  text(200),
  v.check((key) => minisignKey(key) !== undefined, 'must be the public key of minisign: 56 characters that begin with RW'),
)

/** A source of a signed list of resolvers. */
const source = v.pipe(
  closed({
    id: described(
      'The id of the resolver list. Imported entries have it in `list`.',
      v.pipe(
        text(63),
        v.regex(/^[a-z0-9][a-z0-9_-]*$/, 'must consist of a-z, 0-9, hyphen and underscore, and begin with a letter or digit'),
      ),
    ),
    url: v.exactOptional(
      described(
        'Where the list is fetched, over https. Its signature is there too, with .minisig added.',
        v.pipe(text(2048), checked(sourceUrlProblem)),
      ),
    ),
    file: v.exactOptional(
      described('A file with the list, relative to this file. Its signature is beside it, with .minisig added.', text(4096)),
    ),
    minisignKey: described('The public key that signs the list.', keyText),
    format: v.exactOptional(
      described(
        'The format of the list: stamps in Markdown, or a trusted set. Absent: recognised from the beginning of the content.',
        word('stamps-md', 'json'),
      ),
    ),
  }),
  v.check(({ url, file }) => (url === undefined) !== (file === undefined), 'must name where the list is: either "url" or "file"'),
)

/** The schema of `sources`. Each source has a different id. */
export const sourcesSchema = distinct(source, 16, 1, (one) => Reflect.get(Object(one), 'id'))

/** The descriptions of the settings for signed parts. */
export const SAYS = {
  policyFrom:
    'A policy of an organisation, in a file that is signed with minisign. The rules in `policy` can only add to it: docs/policy.md.',
  sources: 'Signed lists of resolvers, which are fetched once a day by this service itself: docs/resolvers.md.',
  updates:
    'What happens to changes that a list makes to resolvers in use. `ask`: they wait for `enigm-dns resolvers accept`. `apply`: they take effect at once.',
} as const

/** A signed policy. */
export const policyFromSchema = closed({
  file: described('The file with the policy, relative to this file. Its signature is beside it, with .minisig added.', text(4096)),
  minisignKey: described('The minisign public key that must have signed the policy.', keyText),
})
