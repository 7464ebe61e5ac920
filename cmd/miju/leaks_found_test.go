package main

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/miju-live/miju/auth"
)

// TestLeaksAreFound lets secrets out wherever the watch looks.
func TestLeaksAreFound(t *testing.T) {
	key, secret := auth.NewStreamKey(), auth.NewSecret()
	token, err := auth.Mint([]byte(secret), auth.Claims{Subject: "a1"})
	if err != nil {
		t.Fatal(err)
	}
	w := newLeakWatch()
	w.keep("x")
	w.keep(token[strings.LastIndexByte(token, '.')+1:], "with blank&")
	for name, c := range map[string]struct {
		written string
		leaks   bool
	}{
		"nothing":                  {"publisher refused err=\"denied: a token is needed\"", false},
		"a token":                  {"token=" + token, true},
		"the beginning of a token": {token[:30], true},
		"a signature":              {"sum=" + token[strings.LastIndexByte(token, '.')+1:], true},
		"some of a signature":      {token[strings.LastIndexByte(token, '.')+1:][:20], true},
		"a stream key":             {"stream=live/" + key, true},
		"some of a stream key":     {key[:16] + "…", true},
		"how stream keys begin":    {"keys begin with mk_", false},
		"a password":               {"postgres://miju:" + marker + "@db", true},
		"an escaped password":      {"p=with+blank%26", true},
		"at the end":               {marker, true},
	} {
		if clean := w.search(name, []byte(c.written)); clean == c.leaks {
			t.Errorf("%s: clean is %v", name, clean)
		}
	}
	var out bytes.Buffer
	if status := w.report(&out); status != 1 || bytes.Count(out.Bytes(), []byte("\n")) != 10 {
		t.Errorf("%d, %s", status, out.String())
	}
	if status := newLeakWatch().report(&out); status != 0 {
		t.Errorf("without a leak: %d", status)
	}

	w = newLeakWatch()
	dir, private := t.TempDir(), make([]byte, 50)
	rand.Read(private)
	for name, text := range map[string]string{
		auth.SecretFile: secret, "chat.db": "\x00" + key, "users": "truck " + secret[:9] + " hw/truck\n", "cdn": "swordfish-1\nswordfish-2\n", "tls.key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})),
	} {
		writeFile(t, filepath.Join(dir, name), text)
	}
	w.searchDir(t, dir)
	if len(w.found) != 1 {
		t.Errorf("files: %v", w.found)
	}
	c := defaultConfig()
	c.Auth.Users, c.Auth.SignPlay, c.TLS.Key = filepath.Join(dir, "users"), filepath.Join(dir, "cdn"), filepath.Join(dir, "tls.key")
	c.SRT.Passphrase, c.Auth.JWKS, c.Store.DB = "open sesame", "https://miju:tintin@id.example/jwks", "postgres://miju:haddock@db/miju"
	w.keepSettings(&c)
	w.keepSecretsOf(dir)
	for _, s := range []string{secret[:9], "swordfish-2", base64.StdEncoding.EncodeToString(private), "open sesame", "tintin", "haddock", secret} {
		if w.search("log", []byte("<"+s+">")) {
			t.Errorf("%q is taken for no secret", s)
		}
	}
	for _, s := range []string{"truck", "hw/truck", "PRIVATE", "id.example"} {
		if !w.search("log", []byte("<"+s+">")) {
			t.Errorf("%q is taken for a secret", s)
		}
	}
}

// TestLeaksAreFoundInAnswers: a playlist alone may repeat the credential of its own
// request.
func TestLeaksAreFoundInAnswers(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Type", r.URL.Query().Get("type"))
		if r.URL.Query().Has("header") {
			rw.Header().Set("Location", "/?token="+r.URL.Query().Get("token"))
			return
		}
		io.WriteString(rw, "part.m4s?token="+r.URL.Query().Get("token")+r.URL.Query().Get("also"))
	}))
	defer server.Close()
	for query, leaking := range map[string]bool{
		"type=application/json&token=" + marker: true, "type=application/vnd.apple.mpegurl&token=" + marker: false,
		"type=text/plain&token=" + marker + "&header": true, "type=text/plain&token=harmless": false, "type=video/x-flv&token=" + marker: false,
	} {
		w := newLeakWatch()
		client := http.Client{Transport: w.transport(server.Client().Transport)}
		resp, err := client.Get(server.URL + "/?" + query)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if (len(w.found) > 0) != leaking {
			t.Errorf("%s: %v", query, w.found)
		}
		client.CloseIdleConnections()
	}
}
