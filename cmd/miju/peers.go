package main

import (
	"github.com/miju-live/miju/admin"
	"github.com/miju-live/miju/auth"
)

// adminDoors decides who may use the admin listener; nil is everybody, as on a
// loopback address.
func (s *server) adminDoors() auth.Authorizer {
	if s.config.operatorsNeedToken() {
		return s.auth
	}
	return nil
}

// operatorsNeedToken reports whether others than those on this machine may come to
// the admin listener, or seem to be on this machine: a proxy need not say whom it
// brings.
func (c *config) operatorsNeedToken() bool {
	return c.Admin.Listen != "" && (!admin.Loopback(c.Admin.Listen) || c.proxied())
}
