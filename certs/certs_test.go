package certs

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/miju-live/miju/certs/acmetest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, acmetest.Leaks()...)
}

// patience is how long what happens soon may take on a busy machine.
const patience = 60 * time.Second

// pair makes a certificate with a number, good until end.
func pair(t testing.TB, number int64, end time.Time) (certPEM, keyPEM []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(number), NotBefore: end.Add(-48 * time.Hour), NotAfter: end, DNSNames: []string{"miju.example"},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
}

func write(t testing.TB, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// book is a log that tests read.
type book struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *book) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func (b *book) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.String()
}

func (b *book) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(b, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// shown is the number of the certificate that a handshake with c ends with, or
// what it fails with.
func shown(c, client *tls.Config) (int64, error) {
	near, far := net.Pipe()
	defer near.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer far.Close()
		tls.Server(far, c).Handshake()
	}()
	defer func() { <-done }()
	defer near.Close()
	conn := tls.Client(near, client)
	near.SetDeadline(time.Now().Add(patience))
	if err := conn.Handshake(); err != nil {
		return 0, err
	}
	return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64(), nil
}

func lenient() *tls.Config { return &tls.Config{InsecureSkipVerify: true} }

// Whatever happens to the files, handshakes get the newest pair that was good.
func TestFilesThatChange(t *testing.T) {
	dir, later := t.TempDir(), time.Now().Add(24*time.Hour)
	c := Config{Cert: filepath.Join(dir, "live", "tls.crt"), Key: filepath.Join(dir, "live", "tls.key")}
	// put has the link "live" lead to another directory, as Kubernetes does.
	put := func(version string, cert, key []byte) {
		at := filepath.Join(dir, version)
		if err := os.Mkdir(at, 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(at, "tls.crt"), cert)
		write(t, filepath.Join(at, "tls.key"), key)
		if err := os.Symlink(version, filepath.Join(dir, "next")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "next"), filepath.Join(dir, "live")); err != nil {
			t.Fatal(err)
		}
	}
	cert1, key1 := pair(t, 1, later)
	put("v1", cert1, key1)
	var log book
	s, err := Open(c, "", log.logger())
	if err != nil {
		t.Fatal(err)
	}
	settings := s.TLS()
	cert2, key2 := pair(t, 2, later)
	cert3, key3 := pair(t, 3, later)
	old, oldKey := pair(t, 4, time.Now().Add(-time.Hour))
	future, futureKey := pair(t, 5, time.Now().Add(72*time.Hour))
	for _, step := range []struct {
		name     string
		do       func()
		want     int64
		failures uint64
	}{
		{"nothing", func() {}, 1, 0},
		{"both by a link", func() { put("v2", cert2, key2) }, 2, 0},
		{"half written", func() { write(t, c.Cert, cert3[:len(cert3)/2]) }, 2, 1},
		{"still half written", func() {}, 2, 1},
		{"whole, with the other's key", func() { write(t, c.Cert, cert3) }, 2, 2},
		{"and its own key", func() { write(t, c.Key, key3) }, 3, 2},
		{"gone", func() { os.Remove(c.Cert) }, 3, 3},
		{"back", func() { write(t, c.Cert, cert3) }, 3, 3},
		{"expired", func() { put("v4", old, oldKey) }, 3, 4},
		{"not good yet", func() { put("v5", future, futureKey) }, 3, 5},
		{"no certificate", func() { put("v6", []byte("x"), key3) }, 3, 6},
		{"the key twice", func() { put("v7", key3, key3) }, 3, 7},
		{"too large", func() { put("v8", bytes.Repeat([]byte("\n"), maxFile+1), key3) }, 3, 8},
		{"the first again", func() { put("v9", cert1, key1) }, 1, 8},
	} {
		step.do()
		s.files.look()
		got, err := shown(settings, lenient())
		if err != nil || got != step.want || s.Stats().Failed != step.failures {
			t.Errorf("%s: certificate %d, %v, %d failures", step.name, got, err, s.Stats().Failed)
		}
	}
	if st := s.Stats(); st.Renewed != 3 || !st.Expires.Equal(later.Truncate(time.Second)) {
		t.Errorf("%+v", st)
	}
	if n := strings.Count(log.String(), "the old one stays"); n != 8 {
		t.Errorf("the log speaks %d times of bad pairs:\n%s", n, &log)
	}
	if strings.Contains(log.String(), "PRIVATE KEY") {
		t.Error("the log holds a key")
	}

	// Who asks is told, whether anything changed or not.
	write(t, c.Key, key2)
	s.files.look()
	s.Reload()
	if n := strings.Count(log.String(), "the old one stays"); n != 10 {
		t.Errorf("a reload that was asked for is not answered: %d", n)
	}
}

// What has expired gives way to anything that works, and is no reason not to start.
func TestFilesThatHaveExpired(t *testing.T) {
	dir := t.TempDir()
	c := Config{Cert: filepath.Join(dir, "tls.crt"), Key: filepath.Join(dir, "tls.key")}
	put := func(number int64, end time.Time) {
		cert, key := pair(t, number, end)
		write(t, c.Cert, cert)
		write(t, c.Key, key)
	}
	put(1, time.Now().Add(-time.Hour))
	if err := os.Chmod(c.Key, 0o644); err != nil {
		t.Fatal(err)
	}
	var log book
	s, err := Open(c, "", log.logger())
	if err != nil {
		t.Fatal(err)
	}
	for _, say := range []string{"has expired", "chmod 600"} {
		if !strings.Contains(log.String(), say) {
			t.Errorf("the log does not say %q:\n%s", say, &log)
		}
	}
	put(2, time.Now().Add(-time.Minute))
	s.files.look()
	if n, err := shown(s.TLS(), lenient()); n != 2 {
		t.Error(n, err)
	}
}

// Run sees a change by itself, and speaks of an end that is near.
func TestRunWatches(t *testing.T) {
	dir := t.TempDir()
	c := Config{Cert: filepath.Join(dir, "tls.crt"), Key: filepath.Join(dir, "tls.key")}
	put := func(number int64) {
		cert, key := pair(t, number, time.Now().Add(24*time.Hour))
		write(t, c.Cert, cert)
		write(t, c.Key, key)
	}
	put(1)
	var log book
	s, err := Open(c, "", log.logger())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Run(ctx, nil, nil)
	}()
	defer func() { cancel(); <-done }()
	put(2)
	waitFor(t, func() bool { n, _ := shown(s.TLS(), lenient()); return n == 2 })
	waitFor(t, func() bool { return strings.Contains(log.String(), "ends soon") })
}

func waitFor(t *testing.T, what func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !what() {
		select {
		case <-ctx.Done():
			t.Fatal("it does not happen")
		case <-tick.C:
		}
	}
}

// What is older than TLS 1.2 is refused, and so are weak ciphers.
func TestVersions(t *testing.T) {
	s := opened(t)
	for version, want := range map[uint16]bool{tls.VersionTLS10: false, tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		client := lenient()
		client.MinVersion, client.MaxVersion = version, version
		if _, err := shown(s.TLS(), client); (err == nil) != want {
			t.Errorf("%s: %v", tls.VersionName(version), err)
		}
	}
	for _, suite := range tls.InsecureCipherSuites() {
		client := lenient()
		client.MinVersion, client.MaxVersion, client.CipherSuites = tls.VersionTLS10, tls.VersionTLS12, []uint16{suite.ID}
		if _, err := shown(s.TLS(), client); err == nil {
			t.Errorf("%s is taken", suite.Name)
		}
	}
}

func TestCheck(t *testing.T) {
	for want, c := range map[string]Config{
		"--tls-cert and --tls-key": {},
		"set one of them":          {Cert: "x", Domains: "a.example"},
		"may have 1 to":            {Domains: " , "},
		"is no host name":          {Domains: "a.example,*.example"},
		`"a.example/x"`:            {Domains: "a.example/x"},
		"--acme-ca must be":        {Domains: "a.example", CA: "http://ca.example"},
		"without a password":       {Domains: "a.example", CA: "https://u:hunter22@ca.example"},
		"--acme-email is":          {Domains: "a.example", CA: letsEncrypt, Email: "ops"},
		"--acme-ca-root":           {Domains: "a.example", CA: letsEncrypt, CARoot: "nosuch.pem"},
		"no certificate in":        {Domains: "a.example", CA: letsEncrypt, CARoot: "certs_test.go"},
	} {
		err := c.Check()
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter22") {
			t.Errorf("want %q: %v", want, err)
		}
	}
	c := DefaultConfig()
	c.Domains, c.Email = " A.example , b.example,192.0.2.7", "ops@example.com"
	if err := c.Check(); err != nil || strings.Join(c.domains(), " ") != "a.example b.example 192.0.2.7" {
		t.Error(err, c.domains())
	}
}

// A listener that speaks no web protocol takes clients that offer some, and chooses
// none.
func TestNoProtocolIsChosen(t *testing.T) {
	s := opened(t)
	client := lenient()
	client.NextProtos = []string{"h2", "http/1.1"}
	client.VerifyConnection = func(state tls.ConnectionState) error {
		if state.NegotiatedProtocol != "" {
			t.Errorf("%q is chosen", state.NegotiatedProtocol)
		}
		return nil
	}
	if n, err := shown(s.TLS(), client); n != 1 || err != nil {
		t.Error(n, err)
	}
}

// opened returns a source of a pair that is good.
func opened(t *testing.T) *Source {
	t.Helper()
	dir := t.TempDir()
	c := Config{Cert: filepath.Join(dir, "tls.crt"), Key: filepath.Join(dir, "tls.key")}
	cert, key := pair(t, 1, time.Now().Add(time.Hour))
	write(t, c.Cert, cert)
	write(t, c.Key, key)
	s, err := Open(c, "", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return s
}
