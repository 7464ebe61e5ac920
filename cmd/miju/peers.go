package main

import (
	"context"

	"github.com/miju-live/miju/admin"
	"github.com/miju-live/miju/auth"
	"github.com/miju-live/miju/peer"
)

// adminDoors decides who may use the admin listener; nil is everybody, as on a
// loopback address that no proxy brings others to.
func (s *server) adminDoors() auth.Authorizer {
	switch {
	case !admin.Loopback(s.config.Admin.Listen):
		return s.auth
	case s.config.proxied():
		return localOperators{s.auth}
	}
	return nil
}

// localOperators lets operators on this machine in, and asks the doors about who
// comes from elsewhere.
type localOperators struct{ auth.Authorizer }

// Authorize implements auth.Authorizer.
func (o localOperators) Authorize(ctx context.Context, r auth.Request) (auth.Grant, error) {
	if peer.Address(r.RemoteAddr).IsLoopback() {
		return auth.Grant{}, nil
	}
	return o.Authorizer.Authorize(ctx, r)
}
