// Package forwarded knows which peers are trusted proxies, and parses the header fields in which
// they report how a request reached them. The server and the filter prefix use it to decide which
// fields to trust; each has its own rules for using them, since Waitress and PasteDeploy differ.
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
// Any client can send such fields: call Trust first. No function changes a request or keeps state;
// all are safe for concurrent use.
package forwarded
