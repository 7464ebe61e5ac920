// Package certs holds the certificates that TLS listeners show, and renews them
// while they listen.
package certs

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// Config says where certificates come from: two files that somebody else
// renews, or a certificate authority that speaks ACME (RFC 8555).
type Config struct {
	Cert    string `flag:"tls-cert" group:"network" help:"PEM file of the server's certificate and those that issued it, for --rtmps and --https; it is read again when it changes"`
	Key     string `flag:"tls-key" group:"network" help:"PEM file of the certificate's private key; it is read again when it changes"`
	Domains string `flag:"acme-domain" group:"network" help:"get certificates for these host names, with commas, from --acme-ca, which must reach --http by port 80 or --https by port 443; to use it is to agree to the authority's terms"`
	Email   string `flag:"acme-email" group:"network" help:"where the authority may write to about these certificates"`
	CA      string `flag:"acme-ca" group:"network" help:"URL of the ACME directory that certificates come from"`
	CARoot  string `flag:"acme-ca-root" group:"network" help:"PEM file of the certificates that --acme-ca is trusted by; the machine's if empty"`
}

// DefaultConfig has no certificate, and would ask Let's Encrypt for one.
func DefaultConfig() Config { return Config{CA: letsEncrypt} }

var (
	errNone = errors.New("it needs a certificate: set --tls-cert and --tls-key, or --acme-domain")
	errBoth = errors.New("--acme-domain and --tls-cert are two ways to the same: set one of them")
)

// Given reports whether anything says where certificates come from.
func (c Config) Given() bool { return c.Cert != "" || c.Key != "" || c.Domains != "" }

// Check reports what is wrong with c, and with the files that it names.
func (c Config) Check() error {
	switch {
	case c.Domains != "" && (c.Cert != "" || c.Key != ""):
		return errBoth
	case c.Domains != "":
		return c.checkACME()
	}
	_, err := c.load()
	return err
}

// Source gives listeners the certificate that is good now.
type Source struct {
	config Config
	dir    string
	log    *slog.Logger

	files *files // nil if there is ACME
	acme  atomic.Pointer[authority]
	// domains are those of ACME.
	domains []string
	// renewCheck is how often ACME's are looked at, renewWindow how much of their
	// time is left when they are renewed; the library's if zero.
	renewCheck  time.Duration
	renewWindow float64

	renewed, failed atomic.Uint64
}

// Open reads the certificate of c, which must have one and be as Check wants it.
// What ACME gives is kept under dir. Before Run, ACME gives none.
func Open(c Config, dir string, log *slog.Logger) (*Source, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	s := &Source{config: c, dir: dir, log: log, domains: c.domains()}
	if len(s.domains) > 0 {
		return s, nil
	}
	var err error
	s.files, err = openFiles(s)
	return s, err
}

// TLS returns the settings of a listener: TLS 1.2 and up, with the protocols of
// RFC 7301 that are named, or without any.
func (s *Source) TLS(protocols ...string) *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: protocols, GetCertificate: s.certificate}
}

// WebTLS is TLS for the listener that ACME's authority may connect to.
func (s *Source) WebTLS() *tls.Config {
	if s.files != nil {
		return s.TLS()
	}
	return s.TLS("h2", "http/1.1", challengeProtocol)
}

var errNotYet = errors.New("there is no certificate yet")

func (s *Source) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if s.files != nil {
		return s.files.current.Load(), nil
	}
	if a := s.acme.Load(); a != nil {
		return a.config.GetCertificate(hello)
	}
	return nil, errNotYet
}

// warnBefore is how long before a certificate's end the log speaks of it, once
// every warnEvery. Whoever renews has done so by then.
const (
	warnBefore = 7 * 24 * time.Hour
	warnEvery  = 24 * time.Hour
)

// Run renews certificates until ctx ends. An authority's challenges are answered
// by the listeners with these addresses; one that is not there is nil.
func (s *Source) Run(ctx context.Context, web, webTLS net.Addr) {
	if s.files == nil {
		a := s.manage(ctx, web, webTLS)
		defer a.stop()
	}
	t := time.NewTicker(time.Second)
	defer t.Stop()
	var warned time.Time
	for {
		if s.files != nil {
			s.files.look()
		}
		now := time.Now()
		if end := s.Stats().Expires; !end.IsZero() && end.Sub(now) < warnBefore && now.Sub(warned) >= warnEvery {
			warned = now
			s.log.Warn("the certificate of TLS ends soon, or has ended", "at", end.UTC())
		}
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

// Reload reads the files now, whether they seem to have changed or not. It does
// nothing for ACME.
func (s *Source) Reload() {
	if s.files != nil {
		s.files.reload()
	}
}

// Challenge answers an authority that asks by HTTP whether a name is this
// server's (RFC 8555, 8.3). It is false if the request is something else.
func (s *Source) Challenge(w http.ResponseWriter, r *http.Request) bool {
	a := s.acme.Load()
	return a != nil && a.challenge(w, r)
}

// Stats are the figures of a Source.
type Stats struct {
	// Expires is when the first of the certificates ends; zero if there is none.
	Expires time.Time
	// Renewed counts certificates that took the place of others, or of none;
	// Failed the times that this went wrong, once for what is wrong with the
	// same files.
	Renewed, Failed uint64
}

// Stats returns the figures of this moment.
func (s *Source) Stats() Stats {
	st := Stats{Renewed: s.renewed.Load(), Failed: s.failed.Load()}
	if s.files != nil {
		st.Expires = s.files.current.Load().Leaf.NotAfter
	} else if a := s.acme.Load(); a != nil {
		st.Expires = a.expires(s.domains)
	}
	return st
}
