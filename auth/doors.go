package auth

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miju-live/miju/peer"
)

// Doors decides by tokens, stream keys and signed URLs.
type Doors struct {
	config Config
	// proxied says that peers may seem to be on this machine that are not.
	proxied bool
	secret  []byte
	tokens  *tokens
	keySet  *keySet
	keys    Keys
	signer  *signer
	users   *Users
	edges   *edges
	known   knownKeys
	revoked revoked
	log     *slog.Logger
	now     func() time.Time

	access   access
	attempts *Attempts

	decided [Admin + 1][outcomes]atomic.Uint64
}

var _ Authorizer = (*Doors)(nil)

// What became of a request.
const (
	granted = iota
	denied
	undecided
	outcomes
)

// Options are what Doors need besides the settings.
type Options struct {
	// Secret signs tokens; nil if there is none. Keys is nil if no stream keys
	// can be given out.
	Secret []byte
	Keys   Keys
	// Dir is where a signing key is looked for; empty if nowhere.
	Dir string
	// Proxied says that a proxy is trusted: any peer may then seem to be on
	// this machine.
	Proxied bool
	// Proxies may send for others: what is wrong with that is nobody's own fault.
	Proxies peer.Networks
	Log     *slog.Logger
}

// New returns doors by settings that c.Check finds nothing wrong with.
func New(c Config, o Options) (*Doors, error) {
	d := &Doors{config: c, proxied: o.Proxied, secret: o.Secret, keys: o.Keys, log: o.Log, now: time.Now}
	if c.JWKS != "" {
		d.keySet = newKeySet(c.JWKS)
	}
	var (
		local *signingKeys
		err   error
	)
	if o.Dir != "" {
		if local, err = openSigningKeys(o.Dir); err != nil {
			return nil, err
		}
	}
	d.tokens = newTokens(o.Secret, local, d.keySet, c)
	d.attempts = NewAttempts(c.WrongTries, o.Proxies)
	if d.access, err = newAccess(c.Allow, c.Deny); err != nil {
		return nil, err
	}
	if c.Users != "" {
		if d.users, err = ReadUsers(c.Users); err != nil {
			return nil, fmt.Errorf("--rtmp-users: %w", err)
		}
		d.users.attempts = d.attempts
	}
	if d.edges, err = newEdges(c.EdgeSecrets); err != nil {
		return nil, err
	}
	d.signer, err = newSigner(c)
	return d, err
}

// CanVerify reports whether there is anything that a token can be signed by.
func (d *Doors) CanVerify() bool { return d.secret != nil || d.keySet != nil }

// Run keeps the key set and the secrets of edges fresh until ctx ends.
func (d *Doors) Run(ctx context.Context) {
	var running sync.WaitGroup
	defer running.Wait()
	running.Go(func() {
		d.edges.run(ctx, func(err error) { d.log.Error("cannot read the secrets of edges again", "err", err) })
	})
	running.Go(func() {
		tick := time.NewTicker(time.Hour)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case now := <-tick.C:
				d.forgetRevoked(now)
			}
		}
	})
	if d.keySet != nil {
		d.keySet.run(ctx, d.config.JWKSRefresh, func(err error) { d.log.Error("cannot refresh the keys of tokens", "err", err) })
	}
}

// Authorize implements Authorizer.
func (d *Doors) Authorize(ctx context.Context, r Request) (Grant, error) {
	g, err := d.decide(ctx, &r)
	g.Private = err == nil && (r.Action == Play || r.Action == Chat) && !g.Edge && (!d.open(&r) || d.config.ByHook(r.Action))
	outcome := granted
	switch {
	case errors.Is(err, ErrDenied):
		outcome = denied
	case err != nil:
		outcome = undecided
	}
	if r.Action <= Admin {
		d.decided[r.Action][outcome].Add(1)
	}
	return g, err
}

// Checked returns how many tokens' signatures were looked at; those that are
// remembered are not.
func (d *Doors) Checked() uint64 { return d.tokens.checked.Load() }

// Decided returns how many requests were granted, denied and could not be
// decided.
func (d *Doors) Decided(a Action) (yes, no, unknown uint64) {
	c := &d.decided[a]
	return c[granted].Load(), c[denied].Load(), c[undecided].Load()
}

func (d *Doors) decide(ctx context.Context, r *Request) (Grant, error) {
	anybody := Grant{Name: r.Name}
	if r.Internal {
		return anybody, nil
	}
	if err := d.access.check(r); err != nil {
		return Grant{}, err
	}
	if d.byEdge(r) {
		return Grant{Edge: true}, nil
	}
	if d.config.ByHook(r.Action) {
		return anybody, nil
	}
	open := d.open(r)
	if open && r.Action == Play { // there is nothing to be found out
		return anybody, nil
	}
	g, found, err := d.try(ctx, r, open)
	switch {
	case !found && open:
		return anybody, nil
	case !found:
		return Grant{}, fmt.Errorf("%w: a token is needed", ErrUnauthenticated)
	case err == nil:
		return d.limit(r, g), nil
	case open && r.Action == Publish && d.config.Publish == ByNobody:
		return anybody, nil // as without one
	case open && r.Action == Chat && errors.Is(err, ErrForbidden):
		return anybody, nil // it is good for something else
	}
	return Grant{}, err
}

// open reports whether r needs no credential.
func (d *Doors) open(r *Request) bool {
	switch r.Action {
	case Publish:
		return d.config.Publish == ByNobody ||
			d.config.Publish == NoneFromLoopback && !d.proxied && addressOf(r.RemoteAddr).IsLoopback()
	case Play:
		return d.config.Play == ByNobody
	case Chat:
		return d.config.Chat == ByNobody
	}
	return false
}

// limit takes the end from a grant that nobody holds to it. In a chat it is
// kept: there a role hangs on it.
func (d *Doors) limit(r *Request, g Grant) Grant {
	if !d.config.EnforceExpiry && r.Action != Chat {
		g.Expires = time.Time{}
	}
	return g
}

// credential judges the one that r brings: its token, else its signature. found
// is false if it brings none.
func (d *Doors) credential(ctx context.Context, r *Request) (g Grant, found bool, err error) {
	switch {
	case looksLikeKey(r.Token):
		g, err = d.byKey(ctx, r)
		return g, true, err
	case r.Token != "":
		g, err = d.byToken(ctx, r)
		return g, true, err
	}
	if x, found := d.signer.find(r.Query); found && r.Action <= Play {
		g, err = d.bySignature(r, x)
		return g, true, err
	}
	if r.Proved != nil {
		g, err = d.byFound(r.Proved, r)
		return g, true, err
	}
	if r.User != "" {
		g, err = d.byUser(r)
		return g, true, err
	}
	return g, false, nil
}

// try is credential for who may try, and remembers who was wrong.
func (d *Doors) try(ctx context.Context, r *Request, open bool) (g Grant, found bool, err error) {
	if open && r.Action == Publish && d.config.Publish == ByNobody { // nothing can be found out
		return d.credential(ctx, r)
	}
	if d.attempts.pause(r.Action, r.RemoteAddr) > 0 && d.brings(r) && !d.knows(r) {
		if err := d.attempts.May(r.Action, r.RemoteAddr); err != nil {
			return Grant{}, true, err
		}
	}
	g, found, err = d.credential(ctx, r)
	switch {
	case errors.Is(err, ErrWrong):
		d.attempts.Wrong(r.Action, r.RemoteAddr)
	case found && err == nil:
		d.attempts.Right(r.Action, r.RemoteAddr)
		if looksLikeKey(r.Token) && d.attempts != nil && !d.knows(r) {
			d.tokens.verdicts.put(sha256.Sum256([]byte(r.Token)), &verdict{}) // for knows
		}
	}
	return g, found, err
}

// brings reports whether r has a credential.
func (d *Doors) brings(r *Request) bool {
	_, signed := d.signer.find(r.Query)
	return r.Token != "" || signed || r.User != ""
}

// knows reports whether r's credential was found good before, so that to say so
// again helps nobody who guesses.
func (d *Doors) knows(r *Request) bool {
	if r.Token != "" {
		return d.tokens.verdicts.get(sha256.Sum256([]byte(r.Token))) != nil
	}
	x, signed := d.signer.find(r.Query)
	return signed && d.tokens.verdicts.get(x.id(r)) != nil || r.User != "" // who has proved to know a password
}

// Attempts counts the wrong credentials that protocols find by themselves, too; it
// may be nil.
func (d *Doors) Attempts() *Attempts { return d.attempts }

func (d *Doors) byToken(ctx context.Context, r *Request) (Grant, error) {
	if !looksLikeToken(r.Token) {
		return Grant{}, fmt.Errorf("%w: the token is malformed", ErrWrong)
	}
	if !d.CanVerify() {
		return Grant{}, fmt.Errorf("%w: no token can be verified here", ErrUnauthenticated)
	}
	v, err := d.tokens.verify(ctx, r.Token)
	if err == nil && d.revoked.has(v.credential) {
		err = ErrRevoked
	}
	if err == nil {
		err = v.check(r, d.now(), !d.config.EnforceExpiry)
	}
	if err != nil {
		return Grant{}, err
	}
	g := v.claims.grant(r.Name)
	g.Credential = v.credential
	return g, nil
}

// bySignature judges a signed URL. It is remembered like a token, for the files of
// a playlist that are asked for after it has expired.
func (d *Doors) bySignature(r *Request, x signature) (Grant, error) {
	until, err := d.signer.verify(x, r)
	if err != nil {
		return Grant{}, err
	}
	now := d.now()
	id := x.id(r)
	v := d.tokens.verdicts.get(id)
	switch {
	case now.Before(until) && v == nil:
		v = &verdict{}
		d.tokens.verdicts.put(id, v)
	case now.Before(until):
	case v == nil || d.config.EnforceExpiry || !r.Continues || now.Sub(time.Unix(v.played.Load(), 0)) > continueWithin:
		return Grant{}, fmt.Errorf("%w: the URL has expired", ErrUnauthenticated)
	}
	v.played.Store(now.Unix())
	return Grant{Name: r.Name, Expires: until}, nil
}

// id is what a signature of r is remembered by.
func (x signature) id(r *Request) [sha256.Size]byte {
	return sha256.Sum256([]byte(string(x.format) + "\x00" + r.Key.String() + "\x00" + x.text + "\x00" + string(x.sum)))
}
