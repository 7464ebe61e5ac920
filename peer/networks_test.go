package peer

import (
	"testing"
)

func TestBehind(t *testing.T) {
	proxies, err := ParseNetworks("10.0.0.0/8, 2001:db8::1,192.0.2.1")
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		peer string
		hops []string
		want string
	}{
		{"198.51.100.1:5", nil, "198.51.100.1"},
		{"198.51.100.1:5", []string{"203.0.113.1"}, "198.51.100.1"},
		{"10.1.2.3:5", []string{"203.0.113.1"}, "203.0.113.1"},
		{"10.1.2.3:5", []string{"203.0.113.9, 203.0.113.1"}, "203.0.113.1"},
		{"10.1.2.3:5", []string{"203.0.113.1, 10.9.9.9"}, "203.0.113.1"},
		{"10.1.2.3:5", []string{"203.0.113.1", "192.0.2.1"}, "203.0.113.1"},
		{"10.1.2.3:5", []string{"10.0.0.5"}, "10.0.0.5"},
		{"10.1.2.3:5", []string{"nonsense"}, "10.1.2.3"},
		{"10.1.2.3:5", []string{"203.0.113.1, nonsense"}, "10.1.2.3"},
		{"10.1.2.3:5", []string{"203.0.113.1,"}, "10.1.2.3"},
		{"10.1.2.3:5", []string{""}, "10.1.2.3"},
		{"10.1.2.3:5", []string{"203.0.113.1:4711"}, "203.0.113.1"},
		{"10.1.2.3:5", []string{"[2001:db8:5::7]:4711"}, "2001:db8:5::7"},
		{"[::ffff:10.1.2.3]:5", []string{"::ffff:203.0.113.1"}, "203.0.113.1"},
		{"[2001:db8::1]:5", []string{"2001:db8:5::7"}, "2001:db8:5::7"},
		{"pipe", nil, "invalid IP"},
		{"pipe", []string{"203.0.113.1"}, "invalid IP"},
	} {
		if got := proxies.Behind(Address(x.peer), x.hops).String(); got != x.want {
			t.Errorf("%s %q: %s, want %s", x.peer, x.hops, got, x.want)
		}
	}
}

// FuzzBehind: whatever a header says, the answer is the peer or an address that is
// written in it, and never one that only somebody untrusted wrote.
func FuzzBehind(f *testing.F) {
	for _, s := range []string{"203.0.113.1", "203.0.113.9, 203.0.113.1", "nonsense", ",,", "[2001:db8::7]:4711", "10.0.0.1,10.0.0.2", " , 1.2.3.4:x"} {
		f.Add("10.1.2.3:5", s)
		f.Add("192.0.2.7:5", s)
	}
	proxies, _ := ParseNetworks("10.0.0.0/8")
	f.Fuzz(func(t *testing.T, peer, header string) {
		from := Address(peer)
		got := proxies.Behind(from, []string{header})
		if !proxies.Contain(from) && got != from {
			t.Errorf("%s is %s by %q", from, got, header)
		}
		if got.Zone() != "" || got.Is4In6() {
			t.Errorf("%s", got)
		}
	})
}

func TestParseNetworks(t *testing.T) {
	for s, want := range map[string]string{
		"192.0.2.7": "192.0.2.7/32", "10.1.2.3/8": "10.0.0.0/8", "::ffff:192.0.2.7": "192.0.2.7/32", "::ffff:10.1.2.3/104": "10.0.0.0/8",
		"2001:db8::/32": "2001:db8::/32",
	} {
		if got, err := ParseNetworks(" " + s + " ,"); err != nil || len(got) != 1 || got[0].String() != want {
			t.Errorf("%s: %v, %v", s, got, err)
		}
	}
	for _, s := range []string{"here", "10.0.0.0/33", "a/8", "::ffff:1.2.3.4/80", "fe80::1%eth0", "10.0.0.0-10.0.0.9"} {
		if got, err := ParseNetworks(s); err == nil {
			t.Errorf("%q is %v", s, got)
		}
		if (Config{Trusted: s}).Check() == nil {
			t.Errorf("%q is taken", s)
		}
	}
	if got, err := ParseNetworks(""); err != nil || got != nil {
		t.Error(got, err)
	}
}

func TestCustomer(t *testing.T) {
	for a, want := range map[string]string{"192.0.2.7": "192.0.2.7/32", "2001:db8:1:2:3::4": "2001:db8:1:2::/64", "pipe": "invalid Prefix"} {
		if got := Customer(Address(a)).String(); got != want {
			t.Errorf("%s: %s", a, got)
		}
	}
}
