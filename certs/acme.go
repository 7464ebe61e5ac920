package certs

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/mail"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3/acme"
	"go.uber.org/zap"
)

const (
	letsEncrypt = certmagic.LetsEncryptProductionCA
	// challengeProtocol is what an authority asks by TLS for (RFC 8737).
	challengeProtocol = "acme-tls/1"
	// maxDomains bounds the names that certificates are got for: each has its own.
	maxDomains = 32
)

func (c Config) domains() []string {
	var all []string
	for d := range strings.SplitSeq(c.Domains, ",") {
		if d = strings.ToLower(strings.TrimSpace(d)); d != "" {
			all = append(all, d)
		}
	}
	return all
}

// checkACME reports what is wrong with the settings of ACME.
func (c Config) checkACME() error {
	domains := c.domains()
	if len(domains) == 0 || len(domains) > maxDomains {
		return fmt.Errorf("--acme-domain has %d names, it may have 1 to %d", len(domains), maxDomains)
	}
	for _, d := range domains {
		if !certmagic.SubjectQualifiesForCert(d) || strings.ContainsAny(d, "*/:") {
			return fmt.Errorf("--acme-domain: %.100q is no host name", d)
		}
	}
	if u, err := url.Parse(c.CA); err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil {
		return errors.New("--acme-ca must be a URL with https, without a password")
	}
	if c.Email != "" {
		if a, err := mail.ParseAddress(c.Email); err != nil || a.Address != c.Email {
			return fmt.Errorf("--acme-email is %.100q, it must be like ops@example.com", c.Email)
		}
	}
	_, err := c.roots()
	return err
}

// roots are what the authority's own server is trusted by; nil are the machine's.
func (c Config) roots() (*x509.CertPool, error) {
	if c.CARoot == "" {
		return nil, nil
	}
	b, err := read(c.CARoot)
	if err != nil {
		return nil, fmt.Errorf("--acme-ca-root: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(b) {
		return nil, fmt.Errorf("--acme-ca-root: there is no certificate in %s", c.CARoot)
	}
	return pool, nil
}

// authority gets certificates by ACME.
type authority struct {
	cache  *certmagic.Cache
	config *certmagic.Config
	issuer *certmagic.ACMEIssuer
}

// manage begins to get the certificates, and to renew them, until ctx ends and
// the authority is stopped.
func (s *Source) manage(ctx context.Context, web, webTLS net.Addr) *authority {
	roots, err := s.config.roots()
	if err != nil { // it was good before
		s.log.Error("the roots of ACME's authority are not read", "err", err)
	}
	log := zap.New(core{s.log.Handler()})
	a := &authority{}
	a.cache = certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert:   func(certmagic.Certificate) (*certmagic.Config, error) { return a.config, nil },
		RenewCheckInterval: s.renewCheck, Logger: log,
	})
	a.config = certmagic.New(a.cache, certmagic.Config{
		Storage: &storage{FileStorage: certmagic.FileStorage{Path: filepath.Join(s.dir, "acme")}, busy: map[string]chan struct{}{}},
		// Encoders often name no host.
		DefaultServerName: s.domains[0], FallbackServerName: s.domains[0],
		OnEvent: s.event, Logger: log, RenewalWindowRatio: s.renewWindow,
	})
	a.issuer = certmagic.NewACMEIssuer(a.config, certmagic.ACMEIssuer{
		CA: s.config.CA, Email: s.config.Email, Agreed: true, TrustedRoots: roots,
		// The listeners are there: it tries them, and leaves them alone.
		AltHTTPPort: port(web), DisableHTTPChallenge: web == nil,
		AltTLSALPNPort: port(webTLS), DisableTLSALPNChallenge: webTLS == nil,
		DisableDistributedSolvers: true, Logger: log,
	})
	a.config.Issuers = []certmagic.Issuer{a.issuer}
	s.acme.Store(a)
	if err := a.config.ManageAsync(ctx, s.domains); err != nil {
		s.failed.Add(1)
		s.log.Error("cannot get certificates by ACME", "err", err)
	}
	return a
}

func port(a net.Addr) int {
	if a == nil {
		return 0
	}
	_, p, _ := net.SplitHostPort(a.String())
	n, _ := strconv.Atoi(p)
	return n
}

func (a *authority) stop() { a.cache.Stop() }

// event tells what came of an attempt.
func (s *Source) event(_ context.Context, event string, data map[string]any) error {
	switch event {
	case "cert_obtained":
		s.renewed.Add(1)
		s.log.Info("got a new certificate of TLS", "name", data["identifier"], "renewal", data["renewal"])
	case "cert_failed":
		s.failed.Add(1)
		s.log.Error("there is no new certificate of TLS, it is tried again", "name", data["identifier"], "renewal", data["renewal"], "err", data["error"])
	}
	return nil
}

// challenge answers what is asked of a name that a certificate is just being
// got for: nobody else finds anything here.
func (a *authority) challenge(w http.ResponseWriter, r *http.Request) bool {
	if !certmagic.LooksLikeHTTPChallenge(r) {
		return false
	}
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	c, ok := certmagic.GetACMEChallenge(host)
	if !ok || c.Type != acme.ChallengeTypeHTTP01 || r.URL.Path != c.HTTP01ResourcePath() {
		return false
	}
	w.Header().Set("Content-Type", "text/plain")
	w.Write([]byte(c.KeyAuthorization))
	return true
}

// expires is when the first of the certificates ends.
func (a *authority) expires(domains []string) (first time.Time) {
	for _, d := range domains {
		var last time.Time // of this name
		for _, c := range a.cache.AllMatchingCertificates(d) {
			if c.Leaf != nil && c.Leaf.NotAfter.After(last) {
				last = c.Leaf.NotAfter
			}
		}
		if !last.IsZero() && (first.IsZero() || last.Before(first)) {
			first = last
		}
	}
	return first
}
