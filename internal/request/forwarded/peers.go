package forwarded

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// Peers is a set of trusted peers. The zero Peers is empty.
type Peers struct {
	everybody bool
	networks  []netip.Prefix
	unix      bool     // every socket
	sockets   []string // or those with these paths
}

// Everybody returns the set of all peers, for a server that only proxies can reach.
func Everybody() Peers { return Peers{everybody: true} }

// ParsePeers parses a list of IP addresses, networks such as "10.0.0.0/8", "unix" for every unix
// socket that the server listens on, and "unix:" with the path of one. Commas at the end of a word
// are ignored. It continues after a fault.
func ParsePeers(words []string) (p Peers, faults []error) {
	for _, word := range words {
		word = strings.Trim(word, ",")
		if word == "unix" {
			p.unix = true
			continue
		}
		if socket, ok := strings.CutPrefix(word, "unix:"); ok {
			p.sockets = append(p.sockets, socket)
			continue
		}
		network, err := parseNetwork(word)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		p.networks = append(p.networks, network)
	}
	return p, faults
}

// parseNetwork parses a network, or an address as a network of one address.
func parseNetwork(word string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(strings.Trim(word, "[]")); err == nil && addr.Zone() == "" {
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	network, err := netip.ParsePrefix(word)
	switch {
	case err != nil:
		return network, fmt.Errorf("%q is no proxy: want an address such as 127.0.0.1, a network "+
			"such as 10.0.0.0/8, or unix", word)
	case network.Masked() != network:
		return network, fmt.Errorf("%q is no network: do you mean %s, or the address %s alone?",
			word, network.Masked(), network.Addr())
	case network.Addr().Is4In6():
		return network, fmt.Errorf("%q is an IPv4 network written as IPv6: write it as IPv4", word)
	}
	return network, nil
}

// Contains reports whether addr belongs to p.
func (p *Peers) Contains(addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	return p.everybody || slices.ContainsFunc(p.networks,
		func(n netip.Prefix) bool { return n.Contains(addr) })
}

// Trust reports whether the connection of r comes from a peer in p.
func (p *Peers) Trust(r *http.Request) bool {
	if p.everybody {
		return true
	}
	if addr, ok := Addr(r.RemoteAddr); ok {
		return p.Contains(addr)
	}
	if !p.unix && len(p.sockets) == 0 {
		return false
	}
	// The client's end of a unix socket has no address, so the server's end identifies it.
	local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	return ok && local.Network() == "unix" && (p.unix || slices.Contains(p.sockets, local.String()))
}
