package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miju-live/miju/ingest/rtmp/client"
	"github.com/miju-live/miju/media/mediatest"
	"github.com/miju-live/miju/remux/flv"
)

// certificateFiles makes a certificate for 127.0.0.1.
func certificateFiles(t *testing.T) (tlsConfig, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	c := tlsConfig{Cert: filepath.Join(t.TempDir(), "cert.pem"), Key: filepath.Join(t.TempDir(), "key.pem")}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	for path, b := range map[string][]byte{c.Cert: certPEM, c.Key: pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER})} {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(certPEM)
	return c, pool
}

func TestRTMPS(t *testing.T) {
	t.Parallel()
	files, pool := certificateFiles(t)
	s := start(t, func(c *config) { c.RTMP.ListenTLS, c.TLS = "127.0.0.1:0", files })
	if at := "rtmps://" + s.rtmps.Addr().String() + "/live"; !strings.Contains(s.banner(), at) {
		t.Errorf("no %s in the banner:\n%s", at, s.banner())
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	dialer := client.Dialer{TLS: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}
	url := "rtmps://" + s.rtmps.Addr().String() + "/live/x"
	publisher, err := dialer.Dial(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer publisher.Close()
	if err := publisher.Publish(ctx, flv.Enhanced); err != nil {
		t.Fatal(err)
	}
	source := mediatest.Source{Video: mediatest.H264Track(1), Audio: mediatest.AACTrack(2)}
	for range 10 {
		f := source.Next()
		if err := publisher.WriteFrame(ctx, &f); err != nil {
			t.Fatal(err)
		}
	}
	s.waitLive(t, "x")
	player, err := dialer.Dial(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer player.Close()
	if err := player.Play(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := player.ReadFrame(ctx); err != nil {
		t.Error(err)
	}
	if s.log.count("protocol=rtmps", "stream=live/x") == 0 {
		t.Error("the log does not speak of rtmps")
	}
	if s.metric(t, `miju_egress_bytes_total{protocol="rtmp"}`) == 0 {
		t.Error("the metrics know nothing of what was played")
	}
}

// What is wrong with a certificate is said before anything is started.
func TestCertificatesThatAreWrong(t *testing.T) {
	good, _ := certificateFiles(t)
	other, _ := certificateFiles(t)
	for _, c := range []struct {
		name, want string
		tlsConfig
	}{
		{"none", "--tls-cert and --tls-key", tlsConfig{}},
		{"no key", "--tls-cert and --tls-key", tlsConfig{Cert: good.Cert}},
		{"a missing file", "no such file", tlsConfig{Cert: good.Cert + ".old", Key: good.Key}},
		{"a file that is none", "failed to find", tlsConfig{Cert: clipPath("README.md"), Key: good.Key}},
		{"a key of another one", "does not match", tlsConfig{Cert: good.Cert, Key: other.Key}},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := defaultConfig()
			config.RTMP.ListenTLS, config.TLS = ":0", c.tlsConfig
			err := config.validate()
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "--rtmps") {
				t.Error(err)
			}
		})
	}
}
