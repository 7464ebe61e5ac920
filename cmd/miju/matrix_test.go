package main

import (
	"context"
	"crypto/x509"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/miju-live/miju/auth"
)

// The matrix: every door × every credential × every state it can be in. What
// there is of it, why the rest is not, and what a refused peer is told, stand in
// docs/auth.md, which is read here.

// matrix is a server whose every door is closed, with whoever can open them.
type matrix struct {
	*testServer
	ctx   context.Context
	pool  *x509.CertPool
	at    *addresses
	admin string // URL of a listener that asks for tokens
	// signers sign tokens, strangers would like to: keys by algorithm.
	signers, strangers map[string]any
	own, foreign       *auth.SigningKey
}

// addresses are where the listeners are; the server may be another process.
type addresses struct{ rtmp, rtmps, srt, http string }

// udp is where SRT is.
func (a *addresses) udp() net.Addr {
	ap, _ := netip.ParseAddrPort(a.srt)
	return net.UDPAddrFromAddrPort(ap)
}

func (m *matrix) httpURL(path string) string { return "http://" + m.at.http + path }

func newMatrix(t *testing.T, change ...func(*config)) *matrix {
	t.Helper()
	files, pool := certificateFiles(t)
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		writeFile(t, path, text+"\n")
		return path
	}
	m := &matrix{ctx: t.Context(), pool: pool, signers: newSigners(t, nil), strangers: newSigners(t, []byte(auth.NewSecret()))}
	all := append([]func(*config){closed, func(c *config) {
		c.RTMP.ListenTLS, c.TLS, c.Admin.Listen = "127.0.0.1:0", files, "0.0.0.0:0"
		c.Auth.JWKS = serveKeys(t, m.signers)
		m.own, m.foreign = signingKey(t, c.Data.Dir), signingKey(t, dir)
		c.Auth.URLSign, c.Auth.SignPublish, c.Auth.SignPlay = "aliyun,tencent,nginx", file("push", signPublish), file("play", signPlay)
		c.Auth.SignNginx = "{expires}{uri} {addr} {secret}"
		c.Auth.EdgeSecrets = file("edge", matrixEdge)
		c.Auth.Users = file("users", "truck "+marker+"22 hw/p*")
		c.Ingest.MaxNewcomers, c.Ingest.PublishLinger = 10000, 0
	}}, change...)
	m.testServer = startWith(t, nil, all...)
	m.signers["HS256"] = m.secret
	m.at = &addresses{m.rtmp.Addr().String(), m.rtmps.Addr().String(), m.srt.Addr().String(), m.http.Addr().String()}
	_, port, _ := strings.Cut(m.testServer.admin.Addr().String(), "]:")
	m.admin = "http://127.0.0.1:" + port
	m.publishPictures(t, 500)
	return m
}

// caller is a call to a door, for a stream of its own if it is to publish.
func caller(d *door, n int) call {
	if d.action == auth.Publish {
		return call{app: "live", name: fmt.Sprintf("p%d", n)}
	}
	return call{app: "live", name: "x"}
}

// cell is one square of the matrix.
type cell struct {
	door  door
	place string // row of the table, "" for kinds that have one of their own
	kind  kind
	state state
	// want is how it is refused: "A", "B", or "" if it is not.
	want string
}

func (c cell) String() string {
	return fmt.Sprintf("%s, %s %s, %s", c.door.name, c.kind.name, c.place, c.state)
}

// cells are all that the tables say there are.
func cells(t *testing.T, book *authBook) (all []cell) {
	t.Helper()
	for _, d := range doors() {
		for _, k := range kinds() {
			may := book.may(t, k.row, d.column)
			places := []string{""}
			if k.row == tokenRow || k.row == keyRow {
				places = nil
				for _, p := range slices.Sorted(maps.Keys(placesOf)) {
					if book.may(t, p, d.column) == "yes" {
						places = append(places, p)
					}
				}
			}
			if may != "yes" && may != "B" {
				continue
			}
			if k.row == tokenRow && k.name != "HS256" {
				places = places[:1] // a place does not look at what stands there
			}
			for _, p := range places {
				for s, refused := range k.refused {
					if may == "yes" && !(d.action == auth.Admin && s == anotherStream) {
						all = append(all, cell{d, p, k, s, refused})
					}
				}
				want := map[string]string{"yes": "", "B": "B"}[may]
				all = append(all, cell{d, p, k, good, want})
			}
		}
		all = append(all, cell{d, "", kind{name: "nothing"}, "absent", "A"})
	}
	return all
}

// TestMatrix tries every square that there is.
func TestMatrix(t *testing.T) {
	t.Parallel()
	book := readAuthBook(t)
	m := newMatrix(t)
	all := cells(t, book)
	if len(all) < 400 {
		t.Errorf("the tables have %d squares", len(all))
	}
	next := make(chan int)
	var callers sync.WaitGroup
	for range 8 {
		callers.Go(func() {
			for i := range next {
				if err := m.try(t, book, &all[i], i); err != nil {
					t.Errorf("%v: %v", all[i], err)
				}
			}
		})
	}
	for i := range all {
		next <- i
	}
	close(next)
	callers.Wait()
	t.Logf("%d squares", len(all))
}

// try knocks at a cell's door with its credential.
func (m *matrix) try(t *testing.T, book *authBook, x *cell, n int) error {
	ctx, cancel := context.WithTimeout(m.ctx, patience)
	defer cancel()
	c := caller(&x.door, n)
	if x.kind.make != nil {
		secret, err := x.kind.make(m, &x.door, &c, x.state)
		if err != nil {
			return err
		}
		if x.place != "" {
			placesOf[x.place](&c, secret)
		}
	}
	v, told, err := x.door.knock(ctx, m, c)
	for range 2 {
		if err == nil {
			break
		}
		// A refusal is written within 400 ms or not at all, which on a machine that
		// is busy with other tests may be too short.
		t.Logf("%v: %v; once more", x, err)
		v, told, err = x.door.knock(ctx, m, c)
	}
	if err != nil {
		return err
	}
	if v != nil {
		v.leave()
	}
	want := ""
	switch x.want {
	case "":
	case "password":
		want = book.refusal(t, "RTMP, wrong password", "A")
	case passRow:
		want = book.refusal(t, "SRT, wrong passphrase", "A")
	default:
		want = book.refusal(t, x.door.row, x.want)
	}
	if told != want || (v == nil) != (want != "") {
		return fmt.Errorf("told %q, want %q", told, want)
	}
	return nil
}

// placesOf are where a token may stand, by their names in docs/auth.md.
var placesOf = map[string]func(c *call, token string){
	"`?token=`":                func(c *call, token string) { c.query = "token=" + token },
	"`?token=` behind the app": func(c *call, token string) { c.appQuery = "token=" + token },
	"stream ID: `token=`":      func(c *call, token string) { c.member = "token=" + token },
	"stream ID: `s=`":          func(c *call, token string) { c.member = "s=" + token },
	"stream ID: password":      func(c *call, token string) { c.password = token },
	"`/t/TOKEN`":               func(c *call, token string) { c.prefix = "/t/" + token },
	"`Authorization: Bearer`":  func(c *call, token string) { c.bearer = token },
	"subprotocol `bearer.`":    func(c *call, token string) { c.protocol = "bearer." + token },
	"`token` in `join`":        func(c *call, token string) { c.join = token },
}
