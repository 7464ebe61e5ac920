package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/miju-live/miju/auth"
	"github.com/miju-live/miju/chatstore"
)

// anyPlace puts a token where the door has a place for it.
func anyPlace(d *door, c *call, token string) {
	switch {
	case d.action == auth.Admin:
		c.bearer = token
	default:
		c.query = "token=" + token
	}
}

// atDoors knocks at all doors at once, as each does it.
func (m *matrix) atDoors(t *testing.T, visit func(ctx context.Context, d *door, c *call) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var all sync.WaitGroup
	for n, d := range doors() {
		all.Go(func() {
			c := caller(&d, n)
			if err := visit(ctx, &d, &c); err != nil {
				t.Errorf("%s: %v", d.name, err)
			}
		})
	}
	all.Wait()
}

// TestMatrixUndecided: nobody is taken for a stranger while the keys cannot be had.
func TestMatrixUndecided(t *testing.T) {
	t.Parallel()
	book := readAuthBook(t)
	m := newMatrix(t, func(c *config) { c.Auth.JWKS = strings.Replace(c.Auth.JWKS, "127.0.0.1", "127.0.0.2", 1) })
	m.atDoors(t, func(ctx context.Context, d *door, c *call) error {
		token, err := m.token("ES256", d, c, good)
		if err != nil {
			return err
		}
		anyPlace(d, c, token)
		_, told, err := d.knock(ctx, m, *c)
		want, _, _ := strings.Cut(book.refusal(t, d.row, "U"), " 1402") // if it took too long
		if err == nil && told != want {
			err = fmt.Errorf("told %q, want %q", told, want)
		}
		return err
	})
}

// TestMatrixTaken: who publishes what another one does is told that, whatever the
// credential.
func TestMatrixTaken(t *testing.T) {
	t.Parallel()
	m := newMatrix(t)
	b, err := os.ReadFile(filepath.Join("..", "..", "docs", "auth.md"))
	if err != nil {
		t.Fatal(err)
	}
	sentence := regexp.MustCompile(`(?s)A stream that somebody else publishes .*?SRT \d+`).Find(b)
	book := readAuthBook(t)
	rtmp, srt, _ := strings.Cut(book.told(t, string(sentence)), " ")
	m.atDoors(t, func(ctx context.Context, d *door, c *call) error {
		if d.action != auth.Publish {
			return nil
		}
		first, second := *c, *c
		key, err := m.streamKey(d, &first, good, false)
		if err != nil {
			return err
		}
		anyPlace(d, &first, key)
		v, told, err := d.knock(ctx, m, first)
		if v == nil {
			return fmt.Errorf("%s, %v", told, err)
		}
		defer v.leave()
		token, err := m.token("HS256", d, &second, good)
		if err != nil {
			return err
		}
		anyPlace(d, &second, token)
		_, told, err = d.knock(ctx, m, second)
		want := rtmp
		if d.row == "SRT" {
			want = srt
		}
		if err == nil && told != want {
			err = fmt.Errorf("told %q, want %q", told, want)
		}
		return err
	})
}

// asksAgain reports whether a door decides every request by itself: there is nothing
// to be cut off.
func (d *door) asksAgain() bool {
	return strings.HasPrefix(d.name, "HLS") || d.name == "chat index" || d.name == "check" || d.action == auth.Admin
}

// untilEnd waits until a visit is over, or the next one is refused.
func (m *matrix) untilEnd(ctx context.Context, d *door, c call) (told string, err error) {
	v, told, err := d.knock(ctx, m, c)
	if v == nil {
		return "", fmt.Errorf("%s, %v", told, err)
	}
	if !d.asksAgain() {
		defer v.leave()
		return v.end()
	}
	for err == nil && v != nil {
		v.leave()
		v, told, err = d.knock(ctx, m, c)
	}
	return told, err
}

// TestMatrixExpiresInUse: with --enforce-expiry the end is the end, and is told in the
// words of the protocol.
func TestMatrixExpiresInUse(t *testing.T) {
	t.Parallel()
	book := readAuthBook(t)
	m := newMatrix(t, func(c *config) { c.Auth.EnforceExpiry = true })
	if status, body, _ := getAs(t, m.url("/live/x.m3u8?token="+m.mint(t, auth.ActionsOf(auth.Play), func(c *auth.Claims) { c.Keys = auth.Patterns{"*"} })), ""); status != http.StatusOK {
		t.Fatal(body) // HLS begins with its first player
	}
	m.atDoors(t, func(ctx context.Context, d *door, c *call) error {
		until := time.Unix(time.Now().Unix()+6, 0)
		claims := claimed(d, c, good)
		claims.Expires = jwt.NewNumericDate(until)
		token, err := auth.Mint(m.secret, claims)
		if err != nil {
			return err
		}
		anyPlace(d, c, token)
		told, err := m.untilEnd(ctx, d, *c)
		return book.ended(t, d, "expired", told, err, until)
	})
}

// TestMatrixRevokedInUse: who publishes, plays, chats or operates by a token or a
// stream key that is revoked is cut off.
func TestMatrixRevokedInUse(t *testing.T) {
	t.Parallel()
	book := readAuthBook(t)
	m := newMatrix(t)
	keys := m.kept.StreamKeys()
	for name, make := range map[string]func(d *door, c *call) (secret string, revoke func() error, err error){
		"token": func(d *door, c *call) (string, func() error, error) {
			claims := claimed(d, c, good)
			claims.ID = rand.Text()
			token, err := auth.Mint(m.secret, claims)
			return token, func() error { return revokeToken(t.Context(), keys, claims.ID) }, err
		},
		"token without an ID": func(d *door, c *call) (string, func() error, error) {
			claims := claimed(d, c, good)
			claims.Subject = rand.Text() // no two doors have the same token
			token, err := auth.Mint(m.secret, claims)
			return token, func() error { return revokeToken(t.Context(), keys, token) }, err
		},
		"stream key": func(d *door, c *call) (string, func() error, error) {
			if book.may(t, keyRow, d.column) != "yes" {
				return "", nil, nil
			}
			x, secret, err := newKey(m.config, chatstore.StreamKey{Stream: c.app + "/" + c.name, Actions: auth.ActionsOf(d.action).String()}, false)
			if err == nil {
				err = keys.Put(t.Context(), x)
			}
			return secret, func() error { _, err := keys.Remove(t.Context(), x.ID); return err }, err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			visit := func(ctx context.Context, d *door, c *call) error {
				secret, revoke, err := make(d, c)
				if secret == "" || err != nil {
					return err
				}
				leaks.keep(secret[strings.LastIndexByte(secret, '.')+1:])
				anyPlace(d, c, secret)
				v, told, err := d.knock(ctx, m, *c)
				if v == nil {
					return fmt.Errorf("%s, %v", told, err)
				}
				if err := revoke(); err != nil {
					return err
				}
				if d.asksAgain() {
					v.leave()
					for err == nil && v != nil {
						if v, told, err = d.knock(ctx, m, *c); v != nil {
							v.leave()
						}
					}
				} else {
					told, err = v.end()
					v.leave()
				}
				return book.ended(t, d, "revoked", told, err, time.Time{})
			}
			m.atDoors(t, func(ctx context.Context, d *door, c *call) (err error) {
				c.app = "live"
				began := c.name
				// On a busy machine a publisher that goes on sending may not read in time
				// what it is told.
				for i := range 3 {
					if d.action == auth.Publish {
						c.name = fmt.Sprintf("%s%s%d", began, strings.ReplaceAll(name, " ", ""), i)
					}
					if err = visit(ctx, d, c); !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) {
						break
					}
				}
				return err
			})
		})
	}
}

// ended holds the end of a visit against the table.
func (b *authBook) ended(t *testing.T, d *door, column, told string, err error, notBefore time.Time) error {
	row := d.row
	if d.action == auth.Play && strings.HasPrefix(d.row, "HTTP-FLV") {
		row = "HTTP-FLV, WS-FLV, HTTP-TS"
		if d.asksAgain() {
			row = "HLS"
		}
	}
	if d.name == "chat events" || d.name == "chat index" {
		row = map[string]string{"chat events": "chat: `events`", "chat index": "chat: `index.json`"}[d.name]
	}
	said, ok := b.tables[inUseHeading][row][column]
	want := ""
	if said == "the same" {
		said = b.tables[inUseHeading][row]["expired"]
	}
	if !strings.HasPrefix(said, "nothing") {
		want = b.told(t, said)
	}
	switch early := time.Until(notBefore); {
	case !ok:
		return fmt.Errorf("docs/auth.md does not say how %q ends", row)
	case err != nil:
		return err
	case told != want:
		return fmt.Errorf("told %q, want %q", told, want)
	case early > 0:
		return fmt.Errorf("ended %v too early", early)
	}
	return nil
}
