package certs

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/miju-live/miju/certs/acmetest"
)

// site is a web server with certificates from an authority.
type site struct {
	*Source
	log  book
	web  net.Listener
	safe net.Listener
	stop func()
}

// serve runs a site; one of the listeners may be left out.
func serve(t *testing.T, dir string, a *acmetest.Authority, web, safe net.Listener, change func(*Source)) *site {
	t.Helper()
	s := &site{web: web, safe: safe}
	c := Config{Domains: "live.example", Email: "ops@example.com", CA: a.URL, CARoot: a.RootFile}
	var err error
	if s.Source, err = Open(c, dir, s.log.logger()); err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(s.Source)
	}
	var addrs [2]net.Addr
	server := &http.Server{TLSConfig: s.WebTLS(), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.Challenge(w, r) {
			http.Error(w, "not found", http.StatusNotFound)
		}
	})}
	served := make(chan error, 2)
	if web != nil {
		addrs[0] = web.Addr()
		go func() { served <- server.Serve(web) }()
	}
	if safe != nil {
		addrs[1] = safe.Addr()
		go func() { served <- server.ServeTLS(safe, "", "") }()
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Run(ctx, addrs[0], addrs[1])
	}()
	s.stop = func() {
		cancel()
		<-done
		server.Close()
		for range addrs {
			if l := addrs[0]; l != nil {
				<-served
			}
			addrs[0] = addrs[1]
		}
	}
	return s
}

func local(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// gets waits for a certificate that the authority's roots are good for.
func (s *site) gets(t *testing.T, a *acmetest.Authority) {
	t.Helper()
	defer func() {
		if t.Failed() {
			t.Logf("the log:\n%s", &s.log)
		}
	}()
	waitFor(t, func() bool {
		_, err := shown(s.TLS(), &tls.Config{RootCAs: a.Roots, ServerName: "live.example"})
		return err == nil
	})
}

// Each of the two challenges alone is enough.
func TestACME(t *testing.T) {
	t.Run("by HTTP", func(t *testing.T) {
		web := local(t)
		a := acmetest.Start(t, port(web.Addr()), 1, 0)
		s := serve(t, t.TempDir(), a, web, nil, nil)
		defer s.stop()
		s.gets(t, a)
	})
	t.Run("by TLS", func(t *testing.T) {
		safe := local(t)
		a := acmetest.Start(t, 1, port(safe.Addr()), 0)
		dir := t.TempDir()
		s := serve(t, dir, a, nil, safe, nil)
		s.gets(t, a)

		// A client that names no host gets one, too, and web protocols go on.
		for _, protocol := range []string{"h2", "http/1.1"} {
			conn, err := tls.Dial("tcp", safe.Addr().String(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{protocol}})
			if err != nil {
				t.Fatal(err)
			}
			if got := conn.ConnectionState().NegotiatedProtocol; got != protocol {
				t.Errorf("%q instead of %s", got, protocol)
			}
			conn.Close()
		}
		if st := s.Stats(); st.Renewed != 1 || st.Failed != 0 || st.Expires.IsZero() {
			t.Errorf("%+v", st)
		}
		s.stop()
		private(t, filepath.Join(dir, "acme"))

		// After a start anew there it is, though nobody gives another.
		a.Stop()
		again := local(t)
		s = serve(t, dir, a, nil, again, nil)
		defer s.stop()
		s.gets(t, a)
		if st := s.Stats(); st.Renewed != 0 {
			t.Errorf("%+v", st)
		}
	})
}

// private holds what is kept to be readable by nobody else.
func private(t *testing.T, dir string) {
	t.Helper()
	keys := 0
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: %v", path, info.Mode())
		}
		if strings.HasSuffix(path, ".key") {
			keys++
		}
		return err
	})
	if err != nil || keys != 2 {
		t.Errorf("%d keys, %v", keys, err)
	}
}

// A certificate is renewed before it ends, while the old one is in use.
func TestACMERenewal(t *testing.T) {
	safe := local(t)
	a := acmetest.Start(t, 1, port(safe.Addr()), 12)
	s := serve(t, t.TempDir(), a, nil, safe, func(s *Source) { s.renewCheck, s.renewWindow = 1e8, 0.9 })
	defer s.stop()
	s.gets(t, a)
	first := s.Stats().Expires
	waitFor(t, func() bool {
		if _, err := shown(s.TLS(), &tls.Config{RootCAs: a.Roots, ServerName: "live.example"}); err != nil {
			t.Fatalf("meanwhile: %v\n%s", err, &s.log)
		}
		st := s.Stats()
		return st.Renewed >= 2 && st.Expires.After(first)
	})
}

// Nobody who asks is told anything that no authority has asked for.
func TestChallengesOfNobody(t *testing.T) {
	a := acmetest.Start(t, 1, 1, 0)
	safe := local(t)
	s := serve(t, t.TempDir(), a, nil, safe, nil)
	waitFor(t, func() bool { return s.acme.Load() != nil })
	for _, path := range []string{"/", "/.well-known/acme-challenge/", "/.well-known/acme-challenge/abc", "/.well-known/acme-challenge/../x", "/live/x"} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodGet, "http://live.example"+path, nil)
		if s.Challenge(w, r) {
			b, _ := io.ReadAll(w.Body)
			t.Errorf("%s: %s", path, b)
		}
	}
	// That it does not work is counted and then said.
	waitFor(t, func() bool { return strings.Contains(s.log.String(), "there is no new certificate") })
	if s.Stats().Failed == 0 {
		t.Error("it is not counted")
	}
	s.stop()
}
