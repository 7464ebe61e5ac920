package rtmp

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/miju-live/miju/auth"
	"github.com/miju-live/miju/ingest"
	rtmpclient "github.com/miju-live/miju/ingest/rtmp/client"
	"github.com/miju-live/miju/media/mediatest"
	"github.com/miju-live/miju/remux/flv"
	"github.com/miju-live/miju/stream"
)

// certificate makes one for 127.0.0.1, and what trusts it.
func certificate(t testing.TB) (server, trusting *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS12},
		&tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
}

func newSecureHouse(t testing.TB, change ...func(*Config)) (h *house, trusting *tls.Config) {
	t.Helper()
	server, trusting := certificate(t)
	return openHouse(t, server, ingest.DefaultConfig(), change...), trusting
}

// What one client publishes another one plays, frame by frame, over both.
func TestClientPublishesAndPlays(t *testing.T) {
	for _, scheme := range []string{"rtmp", "rtmps"} {
		t.Run(scheme, func(t *testing.T) {
			var h *house
			var dialer rtmpclient.Dialer
			if scheme == "rtmp" {
				h = newHouse(t)
			} else {
				h, dialer.TLS = newSecureHouse(t)
			}
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			url := h.url("x")
			publisher, err := dialer.Dial(ctx, url+"?token=t")
			if err != nil {
				t.Fatal(err)
			}
			if publisher.Server().Get("fourCcList") == nil {
				t.Error("the server does not tell what it takes")
			}
			if err := publisher.Publish(ctx, flv.Enhanced); err != nil {
				t.Fatal(err)
			}
			source := &mediatest.Source{Video: mediatest.H265Track(1), Audio: mediatest.AACTrack(2), FrameBytes: 70_000}
			first := source.Next()
			if err := publisher.WriteFrame(ctx, &first); err != nil {
				t.Fatal(err)
			}
			second := source.Next() // both tracks are known
			if err := publisher.WriteFrame(ctx, &second); err != nil {
				t.Fatal(err)
			}
			if _, err := h.hub.Await(ctx, key(t, "live/x")); err != nil {
				t.Fatal(err)
			}
			player, err := dialer.Dial(ctx, url+"?hevc=legacy")
			if err != nil {
				t.Fatal(err)
			}
			defer player.Close()
			if err := player.Play(ctx); err != nil {
				t.Fatal(err)
			}
			sent := append(frames(mediatest.H265Track(1), 0), first, second)
			for range 200 {
				f := source.Next()
				if err := publisher.WriteFrame(ctx, &f); err != nil {
					t.Fatal(err)
				}
				sent = append(sent, f)
			}
			publisher.Close()
			for i, want := range sent {
				f, err := player.ReadFrame(ctx)
				if err != nil {
					t.Fatalf("frame %d: %v", i, err)
				}
				if string(f.Data) != string(want.Data) || f.Track.Codec != want.Track.Codec || (f.DTS-want.DTS).Abs() > time.Millisecond {
					t.Fatalf("frame %d: %d bytes of %v at %v", i, len(f.Data), f.Track.Codec, f.DTS)
				}
			}
			if _, err := player.ReadFrame(ctx); err != io.EOF {
				t.Error(err)
			}
			player.Close()
			waitFor(t, "both ends", func() bool { return len(h.ingest.Stats().Ended) == 2 })
			for _, action := range []auth.Action{auth.Publish, auth.Play} {
				if o := (ingest.Outcome{Action: action, Protocol: scheme, Reason: ingest.ReasonEnded, Admitted: true}); h.ingest.Stats().Ended[o] != 1 {
					t.Errorf("ended %v", h.ingest.Stats().Ended)
				}
			}
		})
	}
}

// A refusal reaches a client over TLS, too.
func TestRefusalOverTLS(t *testing.T) {
	h, trusting := newSecureHouse(t)
	h.publish(t, "live/x")
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for url, want := range map[string]string{"/live/x": "NetStream.Publish.BadName", "/live/a.b": "NetStream.Publish.Rejected"} {
		c, err := (&rtmpclient.Dialer{TLS: trusting}).Dial(ctx, "rtmps://"+h.addr+url)
		if err != nil {
			t.Fatal(err)
		}
		var status *rtmpclient.StatusError
		if err := c.Publish(ctx, flv.Enhanced); !errors.As(err, &status) || status.Code != want {
			t.Errorf("%s: %v, want %s", url, err, want)
		}
		c.Close()
	}
	c, err := (&rtmpclient.Dialer{TLS: trusting}).Dial(ctx, "rtmps://"+h.addr+"/live/nobody")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Play(ctx); err == nil || !strings.Contains(err.Error(), stream.ErrOffline.Error()) {
		t.Error(err)
	}
}

func TestTLSHandshakesThatFail(t *testing.T) {
	h, trusting := newSecureHouse(t)
	old := trusting.Clone()
	old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	if c, err := tls.Dial("tcp", h.addr, old); err == nil {
		c.Close()
		t.Error("TLS 1.1 is spoken")
	}
	if _, err := rtmpclient.Dial(t.Context(), "rtmps://"+h.addr+"/live/x"); err == nil {
		t.Error("the client trusts everybody")
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := rtmpclient.Dial(ctx, "rtmp://"+h.addr+"/live/x"); err == nil || ctx.Err() != nil {
		t.Errorf("RTMP without TLS on the port of RTMPS: %v", err)
	}
}

// A handshake that does not come is bounded by the server's deadline.
func TestTLSHandshakeThatDoesNotCome(t *testing.T) {
	config := DefaultConfig()
	config.ListenTLS = "127.0.0.1:0"
	server, _ := certificate(t)
	l, err := NewServer(config).ListenTLS(server)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, in := range []string{"", "\x16\x03\x01"} {
		tcp, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(tcp, in)
		conn, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		if _, err := conn.Handshake(context.Background()); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%q: %v", in, err)
		}
		conn.Reject(ingest.ErrClosing)
		conn.Close()
		tcp.Close()
	}
}
