// Package acmetest runs a certificate authority for tests: Pebble, which Let's
// Encrypt makes for those who write clients.
package acmetest

import (
	"crypto/x509"
	"encoding/pem"
	"io"
	"log"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
	"github.com/miekg/dns"
	"go.uber.org/goleak"
)

// Leaks are goroutines of the libraries, which run for as long as the process.
func Leaks() []goleak.Option {
	return []goleak.Option{
		goleak.IgnoreAnyFunction("github.com/letsencrypt/pebble/v2/va.VAImpl.processTasks"),
		goleak.IgnoreAnyFunction("github.com/caddyserver/certmagic.(*RingBufferRateLimiter).loop"),
	}
}

// Authority is one that runs.
type Authority struct {
	// URL is its directory, RootFile what that URL is trusted by.
	URL, RootFile string
	// Roots are what its certificates are trusted by.
	Roots *x509.CertPool

	server *httptest.Server
}

// quick has Pebble wait for nothing; it reads the environment for that.
var quick = sync.OnceFunc(func() {
	os.Setenv("PEBBLE_VA_NOSLEEP", "1")
	os.Setenv("PEBBLE_WFE_NONCEREJECT", "0") // it refuses some requests by chance otherwise
})

// Start runs an authority whose certificates are good for so many seconds (0 is
// 90 days). It believes that every name is this machine's, and asks at these
// ports, which are 80 and 443 elsewhere.
func Start(t testing.TB, httpPort, tlsPort, seconds int) *Authority {
	t.Helper()
	quick()
	quiet := log.New(io.Discard, "", 0)
	store := db.NewMemoryStore()
	issuer := ca.New(quiet, store, "", "ecdsa", 0, 1, map[string]ca.Profile{"default": {ValidityPeriod: uint64(seconds)}})
	asks := va.New(quiet, httpPort, tlsPort, true, resolver(t), store)
	front := wfe.New(quiet, store, asks, issuer, []string{"pebble.example"}, true, false, 1, 1)
	a := &Authority{server: httptest.NewTLSServer(front.Handler()), Roots: x509.NewCertPool()}
	t.Cleanup(a.Stop)
	a.URL = a.server.URL + wfe.DirectoryPath
	a.Roots.AppendCertsFromPEM(issuer.GetRootCert(0).PEM())
	a.RootFile = filepath.Join(t.TempDir(), "root.pem")
	b := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.server.Certificate().Raw})
	if err := os.WriteFile(a.RootFile, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return a
}

// Stop ends the authority. A test does so by itself.
func (a *Authority) Stop() {
	a.server.CloseClientConnections()
	a.server.Close()
}

// resolver answers that every name is at 127.0.0.1, until the test ends.
func resolver(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &dns.Server{Listener: l, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		if len(q.Question) == 1 && q.Question[0].Qtype == dns.TypeA {
			m.Answer = append(m.Answer, &dns.A{
				Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 60},
				A:   net.IPv4(127, 0, 0, 1),
			})
		}
		w.WriteMsg(m)
	})}
	served := make(chan error, 1)
	go func() { served <- s.ActivateAndServe() }()
	t.Cleanup(func() {
		s.Shutdown()
		<-served
	})
	return l.Addr().String()
}
