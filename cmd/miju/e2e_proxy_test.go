package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miju-live/miju/auth"
	"github.com/miju-live/miju/ingest/rtmp/client"
	"github.com/miju-live/miju/media/mediatest"
	"github.com/miju-live/miju/remux/flv"
)

// askedOf is an authorizer that lets everybody and remembers who asked for what.
type askedOf struct {
	mu  sync.Mutex
	all map[string]string // addresses, by protocol and action
}

func (a *askedOf) Authorize(_ context.Context, r auth.Request) (auth.Grant, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.all == nil {
		a.all = map[string]string{}
	}
	a.all[r.Protocol+" "+r.Action.String()] = r.RemoteAddr
	return auth.Grant{}, nil
}

func (a *askedOf) from(what string) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.all[what]
}

// A balancer's headers.
func proxyV1(source string) string {
	a := netip.MustParseAddrPort(source)
	return fmt.Sprintf("PROXY TCP4 %s 192.0.2.1 %d 1935\r\n", a.Addr(), a.Port())
}

func proxyV2(source string) string {
	a := netip.MustParseAddrPort(source)
	b := append([]byte("\r\n\r\n\x00\r\nQUIT\n\x21\x21\x00\x28"), a.Addr().AsSlice()...)
	b = append(b, netip.IPv6Unspecified().AsSlice()...)
	b = binary.BigEndian.AppendUint16(b, a.Port())
	return string(b) + "\x07\x8f\x04\x00\x01\x00" // a TLV of nothing behind the other port
}

// through returns a dialer that sends header first.
func through(header string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := (&net.Dialer{}).DialContext(ctx, network, address)
		if err == nil {
			_, err = io.WriteString(c, header)
		}
		return c, err
	}
}

// publishThrough publishes a few pictures.
func publishThrough(t *testing.T, d client.Dialer, url string) *client.Client {
	t.Helper()
	c, err := d.Dial(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.Publish(t.Context(), flv.Enhanced); err != nil {
		t.Fatal(err)
	}
	source := mediatest.Source{Video: mediatest.H264Track(1), Audio: mediatest.AACTrack(2)}
	for range 10 {
		f := source.Next()
		if err := c.WriteFrame(t.Context(), &f); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// TestBehindBalancers: on every TCP listener a PROXY header of a trusted proxy
// says who the peer is.
func TestBehindBalancers(t *testing.T) {
	t.Parallel()
	files, pool := certificateFiles(t)
	asked := &askedOf{}
	s := startWith(t, asked, func(c *config) {
		c.Peers.Trusted, c.RTMP.ListenTLS, c.HTTP.ListenTLS, c.TLS = "127.0.0.1", "127.0.0.1:0", "127.0.0.1:0", files
	})
	secure := &tls.Config{RootCAs: pool, ServerName: "127.0.0.1"}
	const four, six = "203.0.113.7:5001", "[2001:db8::7]:5002"
	publishThrough(t, client.Dialer{DialContext: through(proxyV1(four))}, s.rtmpURL("four"))
	publishThrough(t, client.Dialer{DialContext: through(proxyV2(six)), TLS: secure}, "rtmps://"+s.rtmps.Addr().String()+"/live/six")
	for what, want := range map[string]string{"rtmp publish": four, "rtmps publish": six} {
		if got := asked.from(what); got != want {
			t.Errorf("%s from %s", what, got)
		}
	}
	s.waitLive(t, "four")
	player, err := (&client.Dialer{DialContext: through(proxyV2(six))}).Dial(t.Context(), s.rtmpURL("four"))
	if err != nil {
		t.Fatal(err)
	}
	defer player.Close()
	if err := player.Play(t.Context()); err != nil || asked.from("rtmp play") != six {
		t.Errorf("%v, from %s", err, asked.from("rtmp play"))
	}
	for _, c := range []struct{ what, url, header, hop, want string }{
		{"hls play", s.url("/live/nobody.m3u8"), proxyV1(four), "", four},
		{"hls play", s.url("/live/nobody.m3u8"), proxyV2(six), "", six},
		{"hls play", s.url("/live/nobody.m3u8"), "", "198.51.100.9", "198.51.100.9:0"},
		{"hls play", s.url("/live/nobody.m3u8"), proxyV1("127.0.0.1:99"), "198.51.100.9, 127.0.0.1", "198.51.100.9:0"},
		{"hls play", s.url("/live/nobody.m3u8"), proxyV1(four), "198.51.100.9", four}, // who is no proxy may write what it likes
		{"http-flv play", s.url("/live/nobody.flv"), proxyV1(four), "", four},
		{"http-flv play", "https://" + s.https.Addr().String() + "/live/nobody.flv", "", "198.51.100.9", "198.51.100.9:0"},
		{"http-flv play", "https://" + s.https.Addr().String() + "/live/nobody.flv", proxyV2(six), "", six},
		{"http-ts play", s.url("/live/nobody.ts"), "", "2001:db8::9", "[2001:db8::9]:0"},
		{"chat chat", s.url("/live/nobody/chat/index.json"), proxyV2(six), "", six},
		{"admin admin", s.adminURL("/api/v1/streams"), proxyV1(four), "", four},
		{"admin admin", s.adminURL("/api/v1/streams"), "", "198.51.100.9", "198.51.100.9:0"},
	} {
		asked.Authorize(t.Context(), auth.Request{}) // lest an older answer counts
		req, err := http.NewRequestWithContext(t.Context(), http.MethodHead, c.url, nil)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(c.what, "admin") || strings.Contains(c.what, "chat") {
			req.Method = http.MethodGet
		}
		if c.hop != "" {
			req.Header.Set("X-Forwarded-For", c.hop)
		}
		transport := &http.Transport{DialContext: through(c.header), TLSClientConfig: secure, DisableKeepAlives: true}
		resp, err := transport.RoundTrip(req)
		if err != nil {
			t.Errorf("%+v: %v", c, err)
			continue
		}
		resp.Body.Close()
		if got := asked.from(c.what); got != c.want {
			t.Errorf("%+v: %d, from %s", c, resp.StatusCode, got)
		}
	}
	http2Proxied(t, s, asked, six)
	// A proxy that sends no header, and an encoder beside it.
	publishThrough(t, client.Dialer{}, s.rtmpURL("none"))
	publishThrough(t, client.Dialer{TLS: secure}, "rtmps://"+s.rtmps.Addr().String()+"/live/none2")
	for _, what := range []string{"rtmp publish", "rtmps publish"} {
		if got := asked.from(what); !strings.HasPrefix(got, "127.0.0.1:") {
			t.Errorf("%s from %s", what, got)
		}
	}
	if _, api := get(t, s.adminURL("/api/v1/streams")); !strings.Contains(api, four) || !strings.Contains(api, six) {
		t.Error(api)
	}
	if n := s.metric(t, "miju_connections_proxied_total"); n < 8 {
		t.Errorf("%v were proxied", n)
	}
	s.stop()
	if st := s.peers.Stats(); st.Addresses != 0 {
		t.Errorf("connections are counted that are closed: %+v", st)
	}
}

// http2Proxied asks by HTTP/2, whose first byte is that of a PROXY header, too.
func http2Proxied(t *testing.T, s *testServer, asked *askedOf, six string) {
	for header, want := range map[string]string{proxyV2(six): six, "": "198.51.100.8:0"} {
		transport := &http.Transport{DialContext: through(header), Protocols: new(http.Protocols), DisableKeepAlives: true}
		transport.Protocols.SetUnencryptedHTTP2(true)
		req := must(http.NewRequestWithContext(t.Context(), http.MethodGet, s.url("/live/nobody.ts"), nil))
		if header == "" {
			req.Header.Set("X-Forwarded-For", "198.51.100.8")
		}
		resp, err := transport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		transport.CloseIdleConnections()
		if got := asked.from("http-ts play"); got != want || resp.ProtoMajor != 2 {
			t.Errorf("%s from %s, want %s", resp.Proto, got, want)
		}
	}
}

// TestEdgeKeepsItsConnections: each request of one connection is of another viewer.
func TestEdgeKeepsItsConnections(t *testing.T) {
	t.Parallel()
	asked := &askedOf{}
	s := startWith(t, asked, func(c *config) { c.Peers.Trusted = "127.0.0.1" })
	c, err := net.Dial("tcp", s.http.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r := bufio.NewReader(c)
	for hop, want := range map[string]string{"198.51.100.1": "198.51.100.1:0", "198.51.100.2": "198.51.100.2:0", "": c.LocalAddr().String()} {
		request := "GET /live/nobody.m3u8 HTTP/1.1\r\nHost: a\r\n"
		if hop != "" {
			request += "X-Forwarded-For: " + hop + "\r\n"
		}
		io.WriteString(c, request+"\r\n")
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
		if got := asked.from("hls play"); got != want {
			t.Errorf("from %s, want %s", got, want)
		}
	}
}

// TestStrangersAreNotBelieved: without trust, a PROXY header is what its bytes are
// to the protocol, and a header of HTTP is passed over.
func TestStrangersAreNotBelieved(t *testing.T) {
	t.Parallel()
	asked := &askedOf{}
	s := startWith(t, asked, func(c *config) { c.Peers.Trusted = "192.0.2.0/24" })
	for _, header := range []string{proxyV1("203.0.113.7:5001"), proxyV2("[2001:db8::7]:5002")} {
		if _, err := (&client.Dialer{DialContext: through(header)}).Dial(t.Context(), s.rtmpURL("x")); err == nil {
			t.Error("RTMP takes it")
		}
		c, err := through(header)(t.Context(), "tcp", s.http.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		io.WriteString(c, "GET /live/x.m3u8 HTTP/1.1\r\nHost: a\r\n\r\n")
		if resp, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil || resp.StatusCode != http.StatusBadRequest {
			t.Errorf("HTTP: %v, %v", resp, err)
		}
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url("/live/x.m3u8"), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Forwarded-For", "203.0.113.7")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if got := asked.from("hls play"); !strings.HasPrefix(got, "127.0.0.1:") {
		t.Errorf("from %s", got)
	}
}

// TestHealthChecksAreNoNews: a balancer's looks whether the ports are open are
// neither warned of nor counted as faults.
func TestHealthChecksAreNoNews(t *testing.T) {
	t.Parallel()
	files, _ := certificateFiles(t)
	s := start(t, func(c *config) {
		c.Peers.Trusted, c.RTMP.ListenTLS, c.HTTP.ListenTLS, c.TLS = "127.0.0.1", "127.0.0.1:0", "127.0.0.1:0", files
	})
	const local = "\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"
	for _, l := range []net.Addr{s.rtmp.Addr(), s.rtmps.Addr(), s.http.Addr(), s.https.Addr(), s.admin.Addr()} {
		for _, header := range []string{"", local, "PROXY UNKNOWN\r\n"} {
			for _, reset := range []bool{false, true} {
				c, err := through(header)(t.Context(), "tcp", l.String())
				if err != nil {
					t.Fatal(err)
				}
				if reset {
					c.(*net.TCPConn).SetLinger(0)
				}
				c.Close()
			}
		}
	}
	waitFor(t, "all to be gone", func() bool { return s.ingest.Stats().Open == 0 })
	s.stop()
	if n := s.log.count("level=WARN", "remote=") + s.log.count("PROXY") + s.log.count("level=ERROR") - s.log.count("reason=closing"); n > 0 || s.peers.Stats().Malformed > 0 {
		t.Errorf("%d lines, %+v", n, s.peers.Stats())
	}
}

// TestProxiedAreNoSlower: a publisher behind a proxy is read at leisure, and
// viewers are carried, as on a bare socket.
func TestProxiedAreNoSlower(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := runMiju(t, "--rtmp=127.0.0.1:0", "--srt=", "--http=127.0.0.1:0", "--admin=127.0.0.1:0", "--data-dir="+dir, "--trusted-proxy=127.0.0.1", "--publish-auth=open", "--demo=false")
	at := func(scheme, path string) (host string) {
		waitFor(t, "the banner", func() bool {
			_, rest, _ := strings.Cut(p.output.String(), scheme+"://localhost:")
			if rest == "" {
				_, rest, _ = strings.Cut(p.output.String(), scheme+"://127.0.0.1:")
			}
			port, _, ok := strings.Cut(rest, path)
			host = "127.0.0.1:" + port
			return ok
		})
		return host
	}
	rtmp, web := at("rtmp", "/live\n"), at("ws", "/live/NAME/chat")
	_, rest, _ := strings.Cut(p.output.String(), "Operators    http://")
	operators, _, _ := strings.Cut(rest, "/")
	token, err := run(t, nil, "token", "--data-dir", dir, "--operate")
	if err != nil {
		t.Fatal(err)
	}
	stacks := func() string {
		return ask(t, http.MethodGet, "http://"+operators+"/debug/pprof/goroutine?debug=1", "Authorization", "Bearer "+strings.Fields(token)[0]).body
	}
	publisher := publishThrough(t, client.Dialer{DialContext: through(proxyV1("203.0.113.7:5001"))}, "rtmp://"+rtmp+"/live/x")
	var sending sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	defer sending.Wait()
	defer cancel()
	sending.Go(func() {
		source := mediatest.Source{Video: mediatest.H264Track(1), Audio: mediatest.AACTrack(2)}
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for ctx.Err() == nil {
			<-tick.C
			f := source.Next()
			f.DTS += time.Second
			f.PTS += time.Second
			if publisher.WriteFrame(ctx, &f) != nil {
				return
			}
		}
	})
	waitFor(t, "the publisher to be read at leisure", func() bool {
		for g := range strings.SplitSeq(stacks(), "\n\n") {
			if strings.Contains(g, "time.Sleep") && strings.Contains(g, "message.(*leisure).Read") {
				return true
			}
		}
		return false
	})
	player, err := (&client.Dialer{DialContext: through(proxyV2("[2001:db8::7]:5002"))}).Dial(ctx, "rtmp://"+rtmp+"/live/x")
	if err != nil {
		t.Fatal(err)
	}
	defer player.Close()
	if err := player.Play(ctx); err != nil {
		t.Fatal(err)
	}
	resp, err := (&http.Transport{DialContext: through(proxyV1("203.0.113.8:5003"))}).RoundTrip(must(http.NewRequestWithContext(ctx, http.MethodGet, "http://"+web+"/live/x.flv", nil)))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	sending.Go(func() {
		for ctx.Err() == nil {
			if _, err := player.ReadFrame(ctx); err != nil {
				return
			}
		}
	})
	sending.Go(func() { io.Copy(io.Discard, resp.Body) })
	waitFor(t, "both viewers to be carried", func() bool {
		carriers := 0
		for g := range strings.SplitSeq(stacks(), "\n\n") {
			if strings.Contains(g, "fanout.(*carrier)") {
				n := 0
				fmt.Sscan(g, &n)
				carriers += n
			}
		}
		return carriers >= 2
	})
}

func must(r *http.Request, err error) *http.Request {
	if err != nil {
		return nil
	}
	return r
}

// TestVarnishSpeaksPROXY has a real proxy send headers of both versions.
func TestVarnishSpeaksPROXY(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"1", "2"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			asked := &askedOf{}
			s := startWith(t, asked, func(c *config) { c.Peers.Trusted = "127.0.0.1" })
			host, port, err := net.SplitHostPort(s.http.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			addr, dir := freeAddr(t), t.TempDir()
			writeFile(t, filepath.Join(dir, "proxy.vcl"), fmt.Sprintf(`vcl 4.1;
backend origin { .host = %q; .port = %q; .proxy_header = %s; }
sub vcl_recv { unset req.http.X-Forwarded-For; return (pass); }
`, host, port, version))
			e := runEdge(t, addr, "varnishd", "-F", "-j", "none", "-n", filepath.Join(dir, "work"), "-a", addr, "-f", filepath.Join(dir, "proxy.vcl"), "-s", "malloc,16m")
			c := from(t, "127.0.0.9", e.addr)
			io.WriteString(c, "GET /live/x.m3u8 HTTP/1.1\r\nHost: a\r\n\r\n")
			c.SetReadDeadline(time.Now().Add(patience))
			if resp, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil || resp.StatusCode != http.StatusNotFound {
				t.Errorf("%v, %v", resp, err)
			}
			if got := asked.from("hls play"); got != c.LocalAddr().String() || s.peers.Stats().Proxied == 0 {
				t.Errorf("from %s, not %s", got, c.LocalAddr())
			}
		})
	}
}
