package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/md5"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"

	"github.com/miju-live/miju/auth"
	"github.com/miju-live/miju/chatstore"
)

// state is what may be wrong with a credential.
type state string

const (
	good           state = "good"
	expired        state = "expired"
	forged         state = "forged"
	anotherStream  state = "of another stream"
	anotherAction  state = "for another action"
	anotherAddress state = "from another address"
)

// A kind is a credential that can be made in several states.
type kind struct {
	name string
	// row is its name in the table of docs/auth.md.
	row string
	// refused says for each state it can be in how it is refused: A or B, as
	// docs/auth.md calls it.
	refused map[state]string
	// make returns what the bearer puts into a token's place, or fills in the
	// call where it has one of its own.
	make func(m *matrix, d *door, c *call, s state) (string, error)
}

// The rows of kinds.
const (
	tokenRow    = "JWT: HS256, RS256, ES256, EdDSA"
	keyRow      = "stream key"
	passRow     = "stream key as passphrase"
	signedRow   = "signed URL: aliyun, tencent, nginx"
	passwordRow = "name and password"
	edgeRow     = "`Miju-CDN-Secret`"
)

// matrixEdge is what a trusted edge brings.
const matrixEdge = marker + "-of-a-trusted-edge"

func kinds() []kind {
	ofToken := map[state]string{expired: "A", forged: "A", anotherStream: "B", anotherAction: "B", anotherAddress: "B"}
	ofURL := map[state]string{expired: "A", forged: "A", anotherStream: "A", anotherAction: "A"}
	ofAddress := map[state]string{expired: "A", forged: "A", anotherStream: "A", anotherAction: "A", anotherAddress: "A"}
	all := []kind{
		{"stream key", keyRow, map[state]string{expired: "A", forged: "A", anotherStream: "B", anotherAction: "B"}, func(m *matrix, d *door, c *call, s state) (string, error) {
			return m.streamKey(d, c, s, false)
		}},
		{"passphrase", passRow, map[state]string{expired: passRow, forged: passRow, anotherStream: passRow, anotherAction: passRow}, func(m *matrix, d *door, c *call, s state) (_ string, err error) {
			c.passphrase, err = m.streamKey(d, c, s, true)
			return "", err
		}},
		{"aliyun", signedRow, ofURL, signed("aliyun")},
		{"tencent", signedRow, ofURL, signed("tencent")},
		{"nginx", signedRow, ofAddress, signed("nginx")},
		{"name and password", passwordRow, map[state]string{forged: "password", anotherStream: "B"}, func(_ *matrix, _ *door, c *call, s state) (string, error) {
			c.app, c.user, c.pass = "hw", "truck", marker+"22"
			switch s {
			case forged:
				c.pass = marker + "23"
			case anotherStream:
				c.name = "other"
			}
			return "", nil
		}},
	}
	all = append(all, kind{"edge's secret", edgeRow, map[state]string{forged: "A"}, func(_ *matrix, _ *door, c *call, s state) (string, error) {
		if c.edge = matrixEdge; s == forged {
			c.edge += "s"
		}
		return "", nil
	}})
	all = append(all, kind{"Ed25519, the server's own", tokenRow, ofToken, func(m *matrix, d *door, c *call, s state) (string, error) {
		key := m.own
		if s == forged {
			key = m.foreign
		}
		token, err := key.Mint(claimed(d, c, s))
		leaks.keep(token[strings.LastIndexByte(token, '.')+1:])
		return token, err
	}})
	for _, alg := range []string{"HS256", "RS256", "ES256", "EdDSA"} {
		all = append(all, kind{alg, tokenRow, ofToken, func(m *matrix, d *door, c *call, s state) (string, error) {
			return m.token(alg, d, c, s)
		}})
	}
	return all
}

// claimed returns what a token in state s says.
func claimed(d *door, c *call, s state) auth.Claims {
	claims := auth.Claims{
		Actions: auth.ActionsOf(d.action), Keys: auth.Patterns{c.app + "/" + c.name}, Expires: jwt.NewNumericDate(time.Now().Add(time.Hour)),
	}
	switch s {
	case expired:
		claims.Expires = jwt.NewNumericDate(time.Now().Add(-time.Second))
	case anotherStream:
		claims.Keys = auth.Patterns{c.app + "/other"}
	case anotherAction:
		claims.Actions = auth.ActionsOf(auth.Publish, auth.Play, auth.Chat, auth.Admin) &^ auth.ActionsOf(d.action)
	case anotherAddress:
		claims.Networks, _ = auth.ParseNetworks("192.0.2.0/24")
	}
	return claims
}

// token mints one, with a key that nobody knows if it is forged.
func (m *matrix) token(alg string, d *door, c *call, s state) (string, error) {
	claims := claimed(d, c, s)
	keys := m.signers
	if s == forged {
		keys = m.strangers
	}
	t := jwt.NewWithClaims(jwt.GetSigningMethod(alg), &claims)
	delete(t.Header, "typ")
	token, err := t.SignedString(keys[alg])
	leaks.keep(token[strings.LastIndexByte(token, '.')+1:])
	return token, err
}

func (m *matrix) streamKey(d *door, c *call, s state, passphrase bool) (string, error) {
	actions := auth.ActionsOf(auth.Publish)
	if (d.action == auth.Play) != (s == anotherAction) {
		actions = auth.ActionsOf(auth.Play)
	}
	stream, expires := c.app+"/"+c.name, time.Now().Add(time.Hour)
	switch s {
	case forged:
		return auth.NewStreamKey(), nil
	case expired:
		expires = time.Now().Add(-time.Second)
	case anotherStream:
		stream += "-other"
	}
	x, secret, err := newKey(m.config, chatstore.StreamKey{Stream: stream, Expires: expires, Actions: actions.String()}, passphrase)
	if err == nil {
		err = m.kept.StreamKeys().Put(m.ctx, x)
	}
	return secret, err
}

// The secrets that URLs are signed with.
const signPublish, signPlay = marker + "-push", marker + "-watch"

// signed returns what signs URLs in the way of a CDN.
func signed(format string) func(*matrix, *door, *call, state) (string, error) {
	return func(m *matrix, d *door, c *call, s state) (string, error) {
		secret, address, until := signPublish, "127.0.0.1", time.Now().Add(time.Hour).Unix()
		if d.action != auth.Publish {
			secret = signPlay
		}
		name := c.name
		switch s {
		case forged:
			secret = "not-" + secret
		case expired:
			until -= 7200
		case anotherStream:
			name = "other"
		case anotherAction:
			secret = map[string]string{signPublish: signPlay, signPlay: signPublish}[secret]
		case anotherAddress:
			address = "192.0.2.1"
		}
		uri := "/" + c.app + "/" + name + d.path
		sum := func(text string) []byte {
			b := md5.Sum([]byte(text))
			leaks.keep(hex.EncodeToString(b[:]), base64.RawURLEncoding.EncodeToString(b[:]))
			return b[:]
		}
		switch format {
		case "aliyun":
			c.query = fmt.Sprintf("auth_key=%d-0-0-%x", until, sum(fmt.Sprintf("%s-%d-0-0-%s", uri, until, secret)))
		case "tencent":
			c.query = fmt.Sprintf("txSecret=%x&txTime=%X", sum(fmt.Sprintf("%s%s%X", secret, name, until)), until)
		case "nginx":
			b := sum(fmt.Sprintf("%d%s %s %s", until, uri, address, secret))
			c.query = fmt.Sprintf("md5=%s&expires=%d", base64.RawURLEncoding.EncodeToString(b), until)
		}
		return "", nil
	}
}

// newSigners returns a key for each algorithm of tokens.
func newSigners(t testing.TB, secret []byte) map[string]any {
	t.Helper()
	ours, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]any{"HS256": secret, "RS256": ours, "ES256": curve, "EdDSA": edwards}
}

// serveKeys serves the public parts of keys as a key set.
func serveKeys(t testing.TB, keys map[string]any) (url string) {
	t.Helper()
	var set jwkset.JWKSMarshal
	for alg, key := range keys {
		private, ok := key.(crypto.Signer)
		if !ok {
			continue
		}
		j, err := jwkset.NewJWKFromKey(private.Public(), jwkset.JWKOptions{Metadata: jwkset.JWKMetadataOptions{KID: alg}})
		if err != nil {
			t.Fatal(err)
		}
		set.Keys = append(set.Keys, j.Marshal())
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { json.NewEncoder(w).Encode(set) }))
	t.Cleanup(s.Close)
	return s.URL
}

func signingKey(t testing.TB, dir string) *auth.SigningKey {
	t.Helper()
	key, err := auth.OpenSigningKey(dir)
	if err != nil {
		t.Fatal(err)
	}
	return key
}
