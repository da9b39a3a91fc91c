import * as v from 'valibot'

const described = v.description
const text = (description: string) => v.pipe(v.string(), described(description))
const count = (description: string) => v.pipe(v.number(), v.integer(), v.minValue(0), described(description))
const time = (description: string) => v.pipe(v.string(), v.isoTimestamp(), described(description))

/** The part `sources` of the status document: signed lists, and the changes that they propose. */
export const sourcesPart = v.pipe(
  v.array(
    v.object({
      id: text('Its id in the configuration.'),
      state: v.pipe(
        v.picklist(['current', 'old', 'none']),
        described('current: the latest list is kept. old: the latest one was refused or could not be fetched, and an earlier one is kept.'),
      ),
      why: v.optional(v.pipe(v.string(), v.maxLength(300), described('Why there is nothing newer.'))),
      entries: v.optional(count('Number of entries in the list.')),
      signedAt: v.optional(time('When the list was signed, according to its signature.')),
      changes: v.pipe(
        v.array(
          v.object({
            resolver: text('The id of a resolver in use.'),
            what: v.pipe(v.array(v.string()), described('What changes: addresses, names, pins, transports, claims, withdrawn.')),
            from: text('The values without the change, as JSON.'),
            to: text('The values in the list, as JSON.'),
            applied: v.optional(
              v.pipe(
                v.literal(true),
                described('The change is in force (`"updates": "apply"`). Absent: it waits for `enigm-dns resolvers accept`.'),
              ),
            ),
          }),
        ),
        v.maxLength(100),
        described('What the list changes or would change in the resolvers in use.'),
      ),
    }),
  ),
  v.maxLength(16),
  described('The signed lists of resolvers. Absent: none is configured.'),
)
