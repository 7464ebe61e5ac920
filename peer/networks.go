// Package peer says who a connection comes from, also behind proxies, and bounds
// how many of theirs one address may have open.
package peer

import (
	"fmt"
	"net/netip"
	"strings"
)

// Networks are addresses and prefixes.
type Networks []netip.Prefix

// ParseNetworks reads "192.0.2.7, 2001:db8::/32"; an empty text has none.
func ParseNetworks(s string) (Networks, error) {
	var all Networks
	for part := range strings.SplitSeq(s, ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		p, err := ParseNetwork(part)
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, nil
}

// ParseNetwork reads an address, which is a prefix of all its bits, or a prefix.
// What is IPv4 within IPv6 becomes IPv4.
func ParseNetwork(s string) (netip.Prefix, error) {
	if !strings.Contains(s, "/") {
		a, err := netip.ParseAddr(s)
		if err != nil || a.Zone() != "" {
			return netip.Prefix{}, fmt.Errorf("%.50q is neither an address nor a network like 10.0.0.0/8", s)
		}
		return netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil || p.Addr().Is4In6() && p.Bits() < 96 {
		return netip.Prefix{}, fmt.Errorf("%.50q is neither an address nor a network like 10.0.0.0/8", s)
	}
	if p.Addr().Is4In6() {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked(), nil
}

// Contain reports whether a is in one of n. The zero address is in none.
func (n Networks) Contain(a netip.Addr) bool {
	for _, p := range n {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// Address returns the address of host:port, or of a host alone; the zero one if
// that is no address.
func Address(remote string) netip.Addr {
	if ap, err := netip.ParseAddrPort(remote); err == nil {
		return plain(ap.Addr())
	}
	a, _ := netip.ParseAddr(remote)
	return plain(a)
}

func plain(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }

// Customer returns what stands for one customer of a network: an IPv4 address or
// an IPv6 /64; the zero prefix if a is no address.
func Customer(a netip.Addr) netip.Prefix {
	bits := a.BitLen()
	if a.Is6() {
		bits = 64
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}

// Behind returns who a request comes from that peer has sent with these values of
// X-Forwarded-For: the last address that is not of n, or peer if that is not.
// What a client wrote there itself does not count.
func (n Networks) Behind(peer netip.Addr, hops []string) netip.Addr {
	for i := len(hops) - 1; i >= 0; i-- {
		for list := hops[i]; list != ""; {
			var last string
			if comma := strings.LastIndexByte(list, ','); comma >= 0 {
				list, last = list[:comma], list[comma+1:]
			} else {
				list, last = "", list
			}
			if !n.Contain(peer) {
				return peer
			}
			behind := Address(strings.TrimSpace(last)) // some add the port
			if !behind.IsValid() {
				return peer
			}
			peer = behind
		}
	}
	return peer
}
