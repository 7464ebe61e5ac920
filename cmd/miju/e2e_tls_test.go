package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miju-live/miju/certs/acmetest"
	"github.com/miju-live/miju/ingest/rtmp/client"
	"github.com/miju-live/miju/media/mediatest"
	"github.com/miju-live/miju/remux/flv"
)

// serial is the number of the certificate that is shown at addr.
func serial(t testing.TB, addr string, roots *x509.CertPool) (string, error) {
	t.Helper()
	dialer := tls.Dialer{Config: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return "", err
	}
	defer c.Close()
	return c.(*tls.Conn).ConnectionState().PeerCertificates[0].SerialNumber.String(), nil
}

// A new certificate is for handshakes to come, of RTMPS and of HTTPS; who
// publishes by the old one goes on, and a broken one changes nothing.
func TestCertificateIsReplaced(t *testing.T) {
	t.Parallel()
	files, pool := certificateFiles(t)
	s := start(t, func(c *config) {
		c.RTMP.ListenTLS, c.HTTP.ListenTLS, c.TLS.Cert, c.TLS.Key = "127.0.0.1:0", "127.0.0.1:0", files.Cert, files.Key
	})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	dialer := client.Dialer{TLS: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}
	publisher, err := dialer.Dial(ctx, "rtmps://"+s.rtmps.Addr().String()+"/live/x")
	if err != nil {
		t.Fatal(err)
	}
	defer publisher.Close()
	if err := publisher.Publish(ctx, flv.Enhanced); err != nil {
		t.Fatal(err)
	}
	source := mediatest.Source{Video: mediatest.H264Track(1), Audio: mediatest.AACTrack(2)}
	write := func() {
		for range 10 {
			f := source.Next()
			if err := publisher.WriteFrame(ctx, &f); err != nil {
				t.Fatal(err)
			}
		}
	}
	write()
	s.waitLive(t, "x")
	addrs := []string{s.rtmps.Addr().String(), s.https.Addr().String()}

	writeFile(t, files.Cert, "-----BEGIN CERTIFICATE-----\nMIIB")
	waitFor(t, "the broken file is seen", func() bool { return s.certs.Stats().Failed == 1 })
	for _, addr := range addrs {
		if _, err := serial(t, addr, pool); err != nil {
			t.Errorf("%s while the file is broken: %v", addr, err)
		}
	}
	if n := s.metric(t, "miju_tls_certificate_failures_total"); n != 1 {
		t.Errorf("%v failures in the metrics", n)
	}

	next, nextPool := certificateFiles(t)
	for from, to := range map[string]string{next.Key: files.Key, next.Cert: files.Cert} {
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	for _, addr := range addrs {
		waitFor(t, addr+" shows the new certificate", func() bool { _, err := serial(t, addr, nextPool); return err == nil })
		if _, err := serial(t, addr, pool); err == nil {
			t.Errorf("%s shows both", addr)
		}
	}
	write()
	if s.hub.Stats().Frames < 20 {
		waitFor(t, "frames by the old certificate arrive", func() bool { return s.hub.Stats().Frames >= 20 })
	}
	if end := s.metric(t, "miju_tls_certificate_expires_timestamp_seconds"); end < float64(time.Now().Unix()) {
		t.Errorf("the certificate ends at %v", end)
	}
	if s.log.count("the old one stays") != 1 {
		t.Error("the log does not speak once of the broken file")
	}
}

// A hangup has the files read, and does not end the server.
func TestHangupReadsTheCertificate(t *testing.T) {
	t.Parallel()
	files, _ := certificateFiles(t)
	next, nextPool := certificateFiles(t)
	addr := freeAddr(t)
	p := runMiju(t, "--rtmp=", "--srt=", "--http=", "--admin=", "--https="+addr, "--tls-cert="+files.Cert, "--tls-key="+files.Key)
	waitFor(t, "it serves", func() bool {
		_, err := serial(t, addr, nil)
		return err != nil && strings.Contains(err.Error(), "x509")
	})
	for from, to := range map[string]string{next.Key: files.Key, next.Cert: files.Cert} {
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "it shows the new certificate", func() bool { _, err := serial(t, addr, nextPool); return err == nil })
}

// A server gets its certificate from an authority, by each of the two ways
// that it can ask, and uses it for RTMPS as well.
func TestACME(t *testing.T) {
	t.Parallel()
	for name, by := range map[string]func(c *config) (httpPort, tlsPort int){
		"by HTTP": func(c *config) (int, int) { return portOf(t, c.HTTP.Listen), 1 },
		"by TLS":  func(c *config) (int, int) { return 1, portOf(t, c.HTTP.ListenTLS) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var authority *acmetest.Authority
			// The library knows who is asked about by the name alone, all over the process.
			domain := strings.ReplaceAll(name, " ", "-") + ".example"
			s := start(t, func(c *config) {
				c.HTTP.Listen, c.HTTP.ListenTLS, c.RTMP.ListenTLS = freeAddr(t), freeAddr(t), "127.0.0.1:0"
				web, safe := by(c)
				if web == 1 {
					c.HTTP.Listen = "" // the library tries both ways in any order, and pauses for a minute
				}
				authority = acmetest.Start(t, web, safe, 0)
				c.TLS.Domains, c.TLS.CA, c.TLS.CARoot = domain, authority.URL, authority.RootFile
			})
			for _, addr := range []net.Addr{s.https.Addr(), s.rtmps.Addr()} {
				waitFor(t, "a certificate", func() bool {
					c, err := tls.Dial("tcp", addr.String(), &tls.Config{RootCAs: authority.Roots, ServerName: domain})
					if err == nil {
						c.Close()
					}
					return err == nil
				})
			}
			web := http.Client{Transport: &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: authority.Roots, ServerName: domain}}}
			defer web.CloseIdleConnections()
			resp, err := web.Get("https://" + s.https.Addr().String() + "/live/x")
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.ProtoMajor != 2 || resp.StatusCode != http.StatusOK {
				t.Errorf("%s, %s", resp.Proto, resp.Status)
			}
		})
	}
}

func portOf(t testing.TB, addr string) int {
	t.Helper()
	_, p, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(p)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
