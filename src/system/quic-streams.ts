import type { QuicStream } from '../quic.ts'
import { type OpenSsl, type Pointer, wouldBlock } from './openssl-calls.ts'

/* Constants of OpenSSL 3.5 (ssl.h, bio.h). */
const ERROR_ZERO_RETURN = 6
const WRITE_CONCLUDE = 1n
const STREAM_STATE_RESET_REMOTE = 5
const DESCRIPTOR_SSL = 2
/** Octets to read, or a reset. */
const POLL_READ = 0x50n
const POLL_ONLY = 1n

/* A row of `SSL_poll`: type and address of the object, wanted events, events that were found. */
const ROW_OCTETS = 32
const ROW_ADDRESS = 8
const ROW_WANTED = 16
const ROW_FOUND = 24
const FIRST_ROWS = 64
/** A `struct timeval` of zero: `SSL_poll` does not wait. */
const NO_TIME = Buffer.alloc(16)

const CHUNK_OCTETS = 16_384
/** The buffer for all reads from streams. Its content is copied before the next read. */
const CHUNK = Buffer.alloc(CHUNK_OCTETS)

/**
 * The open streams of a connection, and the same as rows for `SSL_poll`: one call says which can be
 * read, in place of a read of each. Only the connection uses it; it frees every stream before
 * itself.
 */
export class StreamTable {
  readonly #streams: OpenSslStream[] = []
  readonly #found = [0]
  #rows = Buffer.alloc(FIRST_ROWS * ROW_OCTETS)

  list(): readonly OpenSslStream[] {
    return [...this.#streams]
  }

  add(stream: OpenSslStream, address: bigint): void {
    stream.row = this.#streams.push(stream) - 1
    const at = stream.row * ROW_OCTETS
    if (at === this.#rows.length) this.#rows = Buffer.concat([this.#rows, Buffer.alloc(this.#rows.length)])
    this.#rows.writeUInt32LE(DESCRIPTOR_SSL, at)
    this.#rows.writeBigUInt64LE(address, at + ROW_ADDRESS)
    this.#rows.writeBigUInt64LE(POLL_READ, at + ROW_WANTED)
  }

  /** The last row takes the place of the deleted one. */
  delete(stream: OpenSslStream): void {
    const last = this.#streams.pop()
    if (last === undefined || last === stream) return
    const from = this.#streams.length * ROW_OCTETS
    this.#rows.copy(this.#rows, stream.row * ROW_OCTETS, from, from + ROW_OCTETS)
    this.#streams[stream.row] = last
    last.row = stream.row
  }

  readable(o: OpenSsl): readonly OpenSslStream[] {
    const size = this.#streams.length
    if (size === 0) return []
    if (o.poll(this.#rows, size, ROW_OCTETS, NO_TIME, POLL_ONLY, this.#found) === 1)
      return this.#found[0] === 0 ? [] : this.#streams.filter((_, row) => this.#rows.readUInt32LE(row * ROW_OCTETS + ROW_FOUND) !== 0)
    // Reading all of them finds out as well.
    o.clearErrors()
    return this.list()
  }
}

/** One stream of a connection. It owns its pointer, which `free` frees once. */
export class OpenSslStream implements QuicStream {
  readonly #o: OpenSsl
  readonly #table: StreamTable
  #handle: Pointer
  #over = false
  /** Its place in the table. */
  row = 0

  constructor(o: OpenSsl, handle: Pointer, table: StreamTable) {
    this.#o = o
    this.#handle = handle
    this.#table = table
  }

  /** Writes a whole request and ends our direction. False: it was not written completely. */
  write(octets: Uint8Array): boolean {
    const written = [0]
    const result = this.#o.write(this.#handle, octets, octets.length, WRITE_CONCLUDE, written)
    if (result !== 1) this.#o.clearErrors()
    return result === 1 && Number(written[0]) === octets.length
  }

  read(): Uint8Array | 'end' | 'more' | number {
    if (this.#handle === null) return 'end'
    const o = this.#o
    const length = [0]
    const result = Number(o.read(this.#handle, CHUNK, CHUNK_OCTETS, length))
    if (result === 1) return Uint8Array.from(CHUNK.subarray(0, Number(length[0])))
    const error = Number(o.error(this.#handle, result))
    o.clearErrors()
    if (wouldBlock(error)) return 'more'
    this.#over = true
    if (error === ERROR_ZERO_RETURN) return 'end'
    if (o.readState(this.#handle) !== STREAM_STATE_RESET_REMOTE) return 'more'
    const code = [0n]
    return o.readCode(this.#handle, code) === 1 ? Number(code[0]) : 0
  }

  free(code: number): void {
    const handle = this.#handle
    if (handle === null) return
    this.#handle = null
    this.#table.delete(this)
    if (!this.#over) {
      const how = Buffer.alloc(8)
      how.writeBigUInt64LE(BigInt(code))
      this.#o.reset(handle, how, how.length)
    }
    this.#o.sslFree(handle)
    this.#o.clearErrors()
  }
}
