/** The zone that the embedded resolver of `enigm-dns demo` serves. Addresses are documentation ones (RFC 5737, RFC 3849). */
export const DEMO_ZONE = `
$ORIGIN demo.example.
$TTL 300
@        IN SOA   ns.demo.example. hostmaster.demo.example. 2026010101 7200 3600 1209600 60
@        IN NS    ns
@        IN A     192.0.2.10
@        IN AAAA  2001:db8::10
@        IN MX    10 mail
@        IN TXT   "hello"
ns       IN A     192.0.2.1
ns       IN AAAA  2001:db8::1
www      IN A     192.0.2.80
www      IN AAAA  2001:db8::80
www      IN TXT   "nobody on the link could read this question"
mail     IN A     192.0.2.25
blog     IN CNAME www
; what every resolver has in its cache: the daemon asks for it to see whether a link works
.        IN NS    ns
; HTTPS (RFC 9460) in the generic form of RFC 3597: priority 1, target ".", alpn "h2"
www 3600 IN TYPE65 \\# 10 0001 00 0001 0003 02 6832
a-rather-long-name-that-pads-to-the-same-size IN A 192.0.2.60
`
