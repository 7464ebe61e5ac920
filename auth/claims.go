package auth

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/miju-live/miju/peer"
	"github.com/miju-live/miju/streamkey"
)

// Claims are what a token says, under names that keep it short: it must fit
// into an encoder's stream key.
type Claims struct {
	// ID is what the token can be revoked by.
	ID      string `json:"jti,omitempty"`
	Subject string `json:"sub,omitempty"`
	Name    string `json:"name,omitempty"`
	Role    Role   `json:"role,omitempty"`
	// Actions are what the token permits, Keys where.
	Actions Actions  `json:"act,omitempty"`
	Keys    Patterns `json:"key,omitempty"`
	// Networks are from where it does; none is everywhere.
	Networks  Networks         `json:"addr,omitempty"`
	Expires   *jwt.NumericDate `json:"exp,omitempty"`
	NotBefore *jwt.NumericDate `json:"nbf,omitempty"`
	Issuer    string           `json:"iss,omitempty"`
	Audience  jwt.ClaimStrings `json:"aud,omitempty"`
}

var _ jwt.Claims = (*Claims)(nil)

// GetExpirationTime implements jwt.Claims.
func (c *Claims) GetExpirationTime() (*jwt.NumericDate, error) { return c.Expires, nil }

// GetIssuedAt implements jwt.Claims.
func (c *Claims) GetIssuedAt() (*jwt.NumericDate, error) { return nil, nil }

// GetNotBefore implements jwt.Claims.
func (c *Claims) GetNotBefore() (*jwt.NumericDate, error) { return c.NotBefore, nil }

// GetIssuer implements jwt.Claims.
func (c *Claims) GetIssuer() (string, error) { return c.Issuer, nil }

// GetSubject implements jwt.Claims.
func (c *Claims) GetSubject() (string, error) { return c.Subject, nil }

// GetAudience implements jwt.Claims.
func (c *Claims) GetAudience() (jwt.ClaimStrings, error) { return c.Audience, nil }

// skew is how much another machine's clock may be ahead of this one's.
const skew = 30 * time.Second

// expired reports whether the token is over. No leeway is given: what ends at
// the time of exp would begin anew after it.
func (c *Claims) expired(now time.Time) bool {
	return c.Expires != nil && !now.Before(c.Expires.Time)
}

// early reports whether the token is not good yet.
func (c *Claims) early(now time.Time) bool {
	return c.NotBefore != nil && now.Add(skew).Before(c.NotBefore.Time)
}

// permits returns why c does not permit what r asks.
func (c *Claims) permits(r *Request) error {
	switch {
	case !c.Actions.has(r.Action) && !(r.Action == Chat && c.Actions.has(Moderate)):
		return fmt.Errorf("%w: the token is not for %s", ErrForbidden, r.Action)
	case r.Action != Admin && !c.Keys.match(r.Key):
		return fmt.Errorf("%w: the token is not for this stream", ErrForbidden)
	case len(c.Networks) > 0 && !c.Networks.contain(addressOf(r.RemoteAddr)):
		return fmt.Errorf("%w: the token is not for this address", ErrForbidden)
	}
	return nil
}

// grant is what c's bearer is permitted.
func (c *Claims) grant(asked string) Grant {
	g := Grant{Subject: c.Subject, Name: c.Name, Role: c.Role}
	if g.Name == "" {
		g.Name = asked
	}
	if g.Role == "" && c.Actions.has(Moderate) {
		g.Role = RoleModerator
	}
	if c.Expires != nil {
		g.Expires = c.Expires.Time
	}
	return g
}

// Actions is a set of them, in JSON their names with commas, or a list of them.
// Names that are unknown are left out: they permit nothing here.
type Actions uint8

// ActionsOf returns the set of all.
func ActionsOf(all ...Action) (s Actions) {
	for _, a := range all {
		s |= 1 << a
	}
	return s
}

func (s Actions) has(a Action) bool { return s&(1<<a) != 0 }

// String returns the names with commas.
func (s Actions) String() string {
	var names []string
	for a := Publish; a <= Admin; a++ {
		if s.has(a) {
			names = append(names, a.String())
		}
	}
	return strings.Join(names, ",")
}

// MarshalJSON implements json.Marshaler.
func (s Actions) MarshalJSON() ([]byte, error) { return json.Marshal(s.String()) }

// UnmarshalJSON implements json.Unmarshaler.
func (s *Actions) UnmarshalJSON(b []byte) error {
	names, err := oneOrMore(b)
	*s = 0
	for _, name := range names {
		for a := Publish; a <= Admin; a++ {
			if name == a.String() {
				*s |= 1 << a
			}
		}
	}
	return err
}

// ParseActions reads names with commas, all of which must be known.
func ParseActions(names string) (s Actions, err error) {
	for name := range strings.SplitSeq(names, ",") {
		var one Actions
		b, err := json.Marshal(strings.TrimSpace(name))
		if err == nil {
			err = one.UnmarshalJSON(b)
		}
		if err != nil || one == 0 {
			return 0, fmt.Errorf("%q is no action, there are publish, play, chat, moderate and admin", name)
		}
		s |= one
	}
	return s, nil
}

// Patterns are keys, or what they begin with: "live/alice", "live/*",
// "live/alice-*", "*". A * is at the end of a segment only.
type Patterns []string

func (p Patterns) match(k streamkey.Key) bool {
	for _, pattern := range p {
		app, name, two := strings.Cut(pattern, "/")
		if !two && app == "*" && !k.IsZero() || two && matchSegment(app, k.App()) && matchSegment(name, k.Name()) {
			return true
		}
	}
	return false
}

func matchSegment(pattern, s string) bool {
	if prefix, open := strings.CutSuffix(pattern, "*"); open {
		return s != "" && strings.HasPrefix(s, prefix)
	}
	return s != "" && s == pattern
}

// Check returns what is wrong with patterns that somebody typed.
func (p Patterns) Check() error {
	for _, pattern := range p {
		if pattern == "*" {
			continue
		}
		app, name, _ := strings.Cut(pattern, "/")
		stand := func(s string) string { // what a * stands for may be any letter
			if prefix, open := strings.CutSuffix(s, "*"); open {
				return prefix + "0"
			}
			return s
		}
		if _, err := streamkey.Join(stand(app), stand(name)); err != nil {
			return fmt.Errorf("%q is no pattern like live/alice or live/*: %w", pattern, err)
		}
	}
	return nil
}

// MarshalJSON implements json.Marshaler.
func (p Patterns) MarshalJSON() ([]byte, error) { return json.Marshal(strings.Join(p, ",")) }

// UnmarshalJSON implements json.Unmarshaler.
func (p *Patterns) UnmarshalJSON(b []byte) (err error) {
	*p, err = oneOrMore(b)
	return err
}

// Networks are addresses and prefixes.
type Networks []netip.Prefix

// ParseNetworks reads "192.0.2.7,2001:db8::/32".
func ParseNetworks(s string) (Networks, error) {
	var all Networks
	for part := range strings.SplitSeq(s, ",") {
		p, err := peer.ParseNetwork(strings.TrimSpace(part))
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, nil
}

func (n Networks) contain(a netip.Addr) bool { return peer.Networks(n).Contain(a) }

// MarshalJSON implements json.Marshaler.
func (n Networks) MarshalJSON() ([]byte, error) {
	var all []string
	for _, p := range n {
		if p.IsSingleIP() {
			all = append(all, p.Addr().String())
		} else {
			all = append(all, p.String())
		}
	}
	return json.Marshal(strings.Join(all, ","))
}

// UnmarshalJSON implements json.Unmarshaler. What is no network is an error: to
// leave it out would permit more.
func (n *Networks) UnmarshalJSON(b []byte) error {
	all, err := oneOrMore(b)
	if err != nil {
		return err
	}
	if len(all) == 0 {
		return errors.New("addr is empty")
	}
	*n, err = ParseNetworks(strings.Join(all, ","))
	return err
}

// maxListed bounds the values of one claim.
const maxListed = 32

// oneOrMore reads values with commas, or a list of values.
func oneOrMore(b []byte) (all []string, err error) {
	var one string
	if err := json.Unmarshal(b, &one); err != nil {
		if err := json.Unmarshal(b, &all); err != nil {
			return nil, errors.New("a claim is neither a text nor a list of texts")
		}
	} else {
		for s := range strings.SplitSeq(one, ",") {
			if s = strings.TrimSpace(s); s != "" {
				all = append(all, s)
			}
		}
	}
	if len(all) > maxListed {
		return nil, fmt.Errorf("a claim has %d values, %d are allowed", len(all), maxListed)
	}
	return all, nil
}

// addressOf returns the address of host:port; the zero one is in no network.
func addressOf(remote string) netip.Addr { return peer.Address(remote) }
