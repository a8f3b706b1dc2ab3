// Package forwarded knows which peers are proxies to be believed, and what the header fields say in which they tell how a
// request reached them. The server and the filter prefix decide on it which requests come from whom; what they take from
// which field is theirs, since Waitress and PasteDeploy have different rules.
//
//	peers, faults := forwarded.ParsePeers([]string{"127.0.0.1", "10.0.0.0/8", "unix"})
//	…
//	if peers.Trust(r) {
//		hosts, err := forwarded.Elements(r.Header[forwarded.Host])
//		…
//		r = forwarded.View{Host: host, Scheme: "https"}.Apply(r)
//	}
//
// # Caveats
//
// Anybody can send such fields: ask Trust first. Nothing here changes a request, or keeps state; everything is safe for
// concurrent use.
package forwarded
