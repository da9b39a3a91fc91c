import type { Koffi } from './koffi.ts'

/** A C pointer in the form of koffi. null: the null pointer. */
export type Pointer = object | bigint | null

/**
 * Makes the functions of OpenSSL 3.5 that Node's own binary exports. Throws if it has no QUIC. Each
 * is named after what it does; its declaration has the name of OpenSSL.
 */
export function bindOpenSsl({ call, address }: Koffi) {
  return {
    address,
    method: call('void* OSSL_QUIC_client_method()'),
    contextNew: call('void* SSL_CTX_new(void*)'),
    contextFree: call('void SSL_CTX_free(void*)'),
    setVerify: call('void SSL_CTX_set_verify(void*, int, void*)'),
    setSuites: call('int SSL_CTX_set_ciphersuites(void*, str)'),
    contextControl: call('long SSL_CTX_ctrl(void*, int, long, str)'),
    storeNew: call('void* X509_STORE_new()'),
    storeFree: call('void X509_STORE_free(void*)'),
    setStore: call('void SSL_CTX_set1_cert_store(void*, void*)'),
    storeAdd: call('int X509_STORE_add_cert(void*, void*)'),
    memoryBio: call('void* BIO_new_mem_buf(void*, int)'),
    memory: call('void* BIO_s_mem()'),
    bioNew: call('void* BIO_new(void*)'),
    readPem: call('void* PEM_read_bio_X509(void*, void*, void*, void*)'),
    writeDer: call('int i2d_X509_bio(void*, void*)'),
    certificateFree: call('void X509_free(void*)'),
    bioFree: call('int BIO_free(void*)'),
    clearErrors: call('void ERR_clear_error()'),
    sslNew: call('void* SSL_new(void*)'),
    sslFree: call('void SSL_free(void*)'),
    control: call('long SSL_ctrl(void*, int, long, str)'),
    alpn: call('int SSL_set_alpn_protos(void*, void*, uint32_t)'),
    blocking: call('int SSL_set_blocking_mode(void*, int)'),
    peer: call('int SSL_set1_initial_peer_addr(void*, void*)'),
    addressNew: call('void* BIO_ADDR_new()'),
    addressMake: call('int BIO_ADDR_rawmake(void*, int, void*, size_t, uint16_t)'),
    addressFree: call('void BIO_ADDR_free(void*)'),
    pair: call('int BIO_new_bio_dgram_pair(_Out_ void**, size_t, _Out_ void**, size_t)'),
    setBio: call('void SSL_set_bio(void*, void*, void*)'),
    bioControl: call('long BIO_ctrl(void*, int, long, void*)'),
    bioRead: call('int BIO_read(void*, void*, int)'),
    bioWrite: call('int BIO_write(void*, void*, int)'),
    connect: call('int SSL_connect(void*)'),
    error: call('int SSL_get_error(void*, int)'),
    handle: call('int SSL_handle_events(void*)'),
    setValue: call('int SSL_set_value_uint(void*, uint32_t, uint32_t, uint64_t)'),
    timeout: call('int SSL_get_event_timeout(void*, void*, _Out_ int*)'),
    streamMode: call('int SSL_set_default_stream_mode(void*, uint32_t)'),
    newStream: call('void* SSL_new_stream(void*, uint64_t)'),
    write: call('int SSL_write_ex2(void*, void*, size_t, uint64_t, _Out_ size_t*)'),
    read: call('int SSL_read_ex(void*, void*, size_t, _Out_ size_t*)'),
    poll: call('int SSL_poll(void*, size_t, size_t, void*, uint64_t, _Out_ size_t*)'),
    readState: call('int SSL_get_stream_read_state(void*)'),
    readCode: call('int SSL_get_stream_read_error_code(void*, _Out_ uint64_t*)'),
    reset: call('int SSL_stream_reset(void*, void*, size_t)'),
    shutdown: call('int SSL_shutdown_ex(void*, uint64_t, void*, size_t)'),
    closeInfo: call('int SSL_get_conn_close_info(void*, void*, size_t)'),
    verifyResult: call('long SSL_get_verify_result(void*)'),
    certificate: call('void* SSL_get1_peer_certificate(void*)'),
    verifiedChain: call('void* SSL_get0_verified_chain(void*)'),
    stackSize: call('int OPENSSL_sk_num(void*)'),
    stackItem: call('void* OPENSSL_sk_value(void*, int)'),
    cipher: call('void* SSL_get_current_cipher(void*)'),
    cipherName: call('str SSL_CIPHER_get_name(void*)'),
    group: call('str SSL_get0_group_name(void*)'),
  }
}

/** These functions. */
export type OpenSsl = ReturnType<typeof bindOpenSsl>

/* Results of `SSL_get_error` (ssl.h). */
const ERROR_WANT_READ = 2
const ERROR_WANT_WRITE = 3

/** Whether a call has to wait for the network: this is its result of `SSL_get_error`. */
export function wouldBlock(error: number): boolean {
  return error === ERROR_WANT_READ || error === ERROR_WANT_WRITE
}
