import dnsPacket from 'dns-packet'
import { expandedName, labelsOf, nameFromText, nameLength, textFromName } from '../../../src/dns/name.ts'
import { EnigmError } from '../../../src/errors.ts'
import { must, type Target } from '../target.ts'
import { sameOctets } from './same-octets.ts'

/** Exported, but the types leave it out. */
const oracle = dnsPacket as unknown as { readonly name: { decode(octets: Buffer, at: number): string } }

const bytes = (...octets: number[]) => Uint8Array.from(octets)
const text = (value: string) => Uint8Array.from(Buffer.from(`\0\0${value}`, 'latin1'))

/**
 * The name reader: names on the wire, compressed or not, and names as people write them. Input: two
 * octets say where in the rest the name begins.
 */
export const nameTarget: Target = {
  name: 'name',
  maxOctets: 65_535,
  seeds: [
    bytes(0, 0, 3, 119, 119, 119, 7, 101, 120, 97, 109, 112, 108, 101, 0),
    bytes(0, 5, 3, 97, 98, 99, 0, 1, 100, 0xc0, 0),
    bytes(0, 3, 1, 97, 0, 0xc0, 0, 0xc0, 3),
    bytes(0, 0, 0xc0, 0),
    bytes(0, 0, 63, ...new Array<number>(63).fill(0x61), 0),
    text('www.example.com'),
    text('a\\.b\\000\\255.\\@.'),
    text('.'),
  ],
  timed(input) {
    expandedName(input, input.length >>> 1)
  },
  run(input) {
    if (input.length < 2) return
    const message = input.subarray(2)
    const at = (((input[0] ?? 0) << 8) | (input[1] ?? 0)) % (message.length + 1)
    onWire(message, at)
    asText(Buffer.from(message.subarray(0, 2000)).toString('latin1'))
  },
}

function onWire(message: Uint8Array, at: number): void {
  const length = nameLength(message, at)
  const name = expandedName(message, at)
  must((length === 0) === (name === undefined), 'a length if and only if a name')
  if (name === undefined) return
  must(at + length <= message.length, 'the name lies in the message')
  must(name.length <= 255 && name.at(-1) === 0, 'a name of at most 255 octets that ends')
  must(nameLength(name, 0) === name.length, 'what was expanded is a name by itself')
  must(sameOctets(nameFromText(textFromName(name)), name), 'text and back')
  must(/^[\x21-\x7e]+$/.test(textFromName(name)), 'the text is printable')
  const labels = labelsOf(name)
  must(labels.reduce((sum, label) => sum + 1 + label.length, 1) === name.length, 'every label is there')
  if (!labels.every((label) => /^[\w-]+$/.test(label))) return
  must(oracle.name.decode(Buffer.from(message), at) === (labels.join('.') || '.'), 'dns-packet reads the same name')
}

function asText(text: string): void {
  let name: Uint8Array
  try {
    name = nameFromText(text)
  } catch (error) {
    must(error instanceof EnigmError && error.code === 'config', 'a text that is no name is a config error')
    must(!error.message.includes(text) || text.length < 20, 'the text is not repeated')
    return
  }
  must(nameLength(name, 0) === name.length, 'what was written is a name')
  must(sameOctets(nameFromText(textFromName(name)), name), 'wire and back')
}
