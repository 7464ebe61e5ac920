package auth

import (
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The vectors were computed by md5sum and openssl, not by this package:
//
//	printf '/live/alice.flv-1780319400-0-0-playsecret' | md5sum
//	printf 'playsecretalice6A1D84A8' | md5sum
//	printf '1780319400/live/alice.flv playsecret' | openssl md5 -binary | openssl base64 | tr +/ -_ | tr -d =
//
// 1780319400 is 0x6A1D84A8, ten past one on 2026-06-01 (UTC); noon is earlier.
const (
	vector1 = "6eb7be6831987dbd01f2c1a222b3df32"
	vector2 = "917f525cb178a590ce488a7e369454b5"
	vector3 = "QIHLINC3YGYLTjjV1YK6Yw"
)

func md5hex(s string) string {
	sum := md5.Sum([]byte(s))
	return hex.EncodeToString(sum[:])
}

func md5base64(s string) string {
	sum := md5.Sum([]byte(s))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func signedDoors(t testing.TB, change func(*Config)) *Doors {
	t.Helper()
	file := func(text string) string {
		path := filepath.Join(t.TempDir(), "secrets")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return doorsWith(t, func(c *Config) {
		c.URLSign, c.SignPublish, c.SignPlay = "aliyun, tencent,nginx", file("pushsecret\n"), file("oldsecret\nplaysecret\n")
		if change != nil {
			change(c)
		}
	})
}

var signedCases = []struct {
	name  string
	r     Request
	query string
	good  bool
}{
	{"aliyun", Request{Path: "/live/alice.flv"}, "auth_key=1780319400-0-0-VECTOR1", true},
	{"tencent", Request{Path: "/live/alice.flv"}, "txSecret=VECTOR2&txTime=6A1D84A8", true},
	{"nginx", Request{Path: "/live/alice.flv"}, "md5=VECTOR3&expires=1780319400", true},
	{"aliyun with other values", Request{Path: "/live/alice.flv"}, "a=b&auth_key=1780319400-0-0-VECTOR1&c=d", true},
	{"aliyun in capitals", Request{Path: "/live/alice.flv"}, "auth_key=1780319400-0-0-" + strings.ToUpper(md5hex("/live/alice.flv-1780319400-0-0-playsecret")), true},
	{"aliyun by the older secret", Request{Path: "/live/alice.flv"}, "auth_key=1780319400-0-0-" + md5hex("/live/alice.flv-1780319400-0-0-oldsecret"), true},
	{"aliyun to publish", Request{Action: Publish}, "auth_key=1780319400-0-0-" + md5hex("/live/alice-1780319400-0-0-pushsecret"), true},
	{"tencent to publish", Request{Action: Publish}, "txSecret=" + md5hex("pushsecretalice6A1D84A8") + "&txTime=6A1D84A8", true},
	{"tencent in small letters", Request{Action: Publish}, "txSecret=" + md5hex("pushsecretalice6a1d84a8") + "&txTime=6a1d84a8", true},
	{"nginx to publish", Request{Action: Publish}, "md5=" + md5base64("1780319400/live/alice pushsecret") + "&expires=1780319400", true},
	{"a playlist's file by the playlist's", Request{Path: "/live/alice/video.m3u8", Continues: true}, "auth_key=1780319400-0-0-" + md5hex("/live/alice.m3u8-1780319400-0-0-playsecret"), true},
	{"a playlist's file by its own", Request{Path: "/live/alice/video.m3u8", Continues: true}, "auth_key=1780319400-0-0-" + md5hex("/live/alice/video.m3u8-1780319400-0-0-playsecret"), true},

	{"the viewer's secret to publish", Request{Action: Publish}, "txSecret=" + md5hex("playsecretalice6A1D84A8") + "&txTime=6A1D84A8", false},
	{"another file", Request{Path: "/live/alice.ts"}, "auth_key=1780319400-0-0-VECTOR1", false},
	{"another stream", Request{Path: "/live/alicia.flv"}, "txSecret=" + md5hex("playsecretalicia6A1D84A8") + "&txTime=6A1D84A8", false},
	{"a stream whose name had the first digit of the time", Request{Path: "/live/alice.flv"}, "txSecret=" + md5hex("playsecretalice16A1D84A8") + "&txTime=16A1D84A8", false},
	{"another time", Request{Path: "/live/alice.flv"}, "auth_key=1780319401-0-0-VECTOR1", false},
	{"expired", Request{Action: Publish}, "auth_key=1780315199-0-0-" + md5hex("/live/alice-1780315199-0-0-pushsecret"), false},
	{"three parts", Request{Path: "/live/alice.flv"}, "auth_key=1780319400-0-VECTOR1", false},
	{"five parts", Request{Path: "/live/alice.flv"}, "auth_key=1780319400-0-0-0-VECTOR1", false},
	{"no number", Request{Path: "/live/alice.flv"}, "auth_key=x-0-0-VECTOR1", false},
	{"a sign", Request{Action: Publish}, "auth_key=+780319400-0-0-" + md5hex("/live/alice-+780319400-0-0-pushsecret"), false},
	{"a time far away", Request{Action: Publish}, "auth_key=999999999999-0-0-" + md5hex("/live/alice-999999999999-0-0-pushsecret"), false},
	{"no time", Request{Action: Publish}, "txSecret=" + md5hex("pushsecretalice"), false},
	{"a short sum", Request{Path: "/live/alice.flv"}, "md5=AAAA&expires=1780319400", false},
	{"no query", Request{}, "", false},
	{"a long query", Request{}, "auth_key=" + strings.Repeat("1", 5000), false},
}

func vectors(query string) string {
	return strings.NewReplacer("VECTOR1", vector1, "VECTOR2", vector2, "VECTOR3", vector3).Replace(query)
}

func TestSignedURLs(t *testing.T) {
	d := signedDoors(t, nil)
	for _, c := range signedCases {
		r := c.r
		r.Key, r.Query, r.RemoteAddr = alice, vectors(c.query), "192.0.2.7:5000"
		if r.Action == 0 {
			r.Action = Play
		}
		_, err := d.Authorize(t.Context(), r)
		if (err == nil) != c.good || err != nil && !errors.Is(err, ErrUnauthenticated) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	chat := Request{Action: Chat, Key: alice, Query: "txSecret=" + md5hex("playsecretalice6A1D84A8") + "&txTime=6A1D84A8"}
	if _, err := d.Authorize(t.Context(), chat); !errors.Is(err, ErrUnauthenticated) {
		t.Errorf("to chat: %v", err)
	}
}

func TestSignedURLsThatExpire(t *testing.T) {
	d := signedDoors(t, func(c *Config) { c.SignValidity = time.Hour })
	at := noon
	d.now = func() time.Time { return at }
	query := fmt.Sprintf("auth_key=%d-0-0-%s", noon.Unix(), md5hex(fmt.Sprintf("/live/alice.m3u8-%d-0-0-playsecret", noon.Unix())))
	ask := func(path string, continues bool, later time.Duration) error {
		at = noon.Add(later)
		_, err := d.Authorize(t.Context(), Request{Action: Play, Key: alice, Path: path, Query: query, Continues: continues})
		return err
	}
	for _, c := range []struct {
		path      string
		continues bool
		later     time.Duration
		good      bool
	}{
		{"/live/alice/video.m3u8", true, 61 * time.Minute, false}, // nobody has begun
		{"/live/alice.m3u8", false, 59*time.Minute + 50*time.Second, true},
		{"/live/alice/video.m3u8", true, time.Hour + 5*time.Second, true},
		{"/live/alice.m3u8", false, time.Hour + 6*time.Second, false},
		{"/live/alice/video.m3u8", true, time.Hour + 30*time.Second, true},
		{"/live/alice/video.m3u8", true, time.Hour + 61*time.Second, false},
	} {
		if err := ask(c.path, c.continues, c.later); (err == nil) != c.good {
			t.Errorf("%s after %v: %v", c.path, c.later, err)
		}
	}
}

func TestNginxExpressionWithAddress(t *testing.T) {
	d := signedDoors(t, func(c *Config) { c.SignNginx = "{expires}{uri}{addr} {secret}" })
	query := "md5=" + md5base64("1780319400/live/alice.flv192.0.2.7 playsecret") + "&expires=1780319400"
	for remote, good := range map[string]bool{"192.0.2.7:1": true, "[::ffff:192.0.2.7]:1": true, "192.0.2.8:1": false} {
		_, err := d.Authorize(t.Context(), Request{Action: Play, Key: alice, Path: "/live/alice.flv", Query: query, RemoteAddr: remote})
		if (err == nil) != good {
			t.Errorf("%s: %v", remote, err)
		}
	}
}

func TestSecretsOfURLs(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	a, b := write("a", "first-secret\nshared-secret\n", 0o600), write("b", "shared-secret\n", 0o600)
	for name, c := range map[string]Config{
		"shared":         {URLSign: "aliyun", SignPublish: a, SignPlay: b},
		"read by others": {URLSign: "aliyun", SignPlay: write("c", "first-secret\n", 0o644)},
		"empty":          {URLSign: "aliyun", SignPlay: write("d", "\n", 0o600)},
		"short":          {URLSign: "aliyun", SignPlay: write("e", "12345\n", 0o600)},
		"many":           {URLSign: "aliyun", SignPlay: write("f", strings.Repeat("secret\n", 17), 0o600)},
		"missing":        {URLSign: "aliyun", SignPlay: filepath.Join(dir, "none")},
	} {
		_, err := New(c, Options{Log: slog.New(slog.DiscardHandler)})
		if err == nil || strings.Contains(err.Error(), "first-secret") || strings.Contains(err.Error(), "shared-secret") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCredentialsOfQueries(t *testing.T) {
	for query, want := range map[string]string{
		"":                                "",
		"_HLS_msn=3":                      "",
		"token=a.b&_HLS_msn=3":            "token=a.b",
		"_HLS_msn=3&auth_key=1-0-0-f":     "auth_key=1-0-0-f",
		"txTime=6A&txSecret=f":            "txSecret=f&txTime=6A",
		`token=a"%0a%20b,+c`:              "token=a%22%0A+b%2C+c",
		"tokens=x&token=":                 "",
		"md5=a&expires=1&token=x&other=y": "token=x&md5=a&expires=1",
	} {
		if got := Credentials(query); got != want {
			t.Errorf("%q: %q, want %q", query, got, want)
		}
	}
}

// FuzzSigned must grant nothing but what the cases say is good.
func FuzzSigned(f *testing.F) {
	d := signedDoors(f, nil)
	good := map[string]bool{}
	for _, c := range signedCases {
		query := vectors(c.query)
		f.Add(query, c.r.Path, c.r.Continues)
		if c.good {
			for _, name := range CredentialParams {
				if v := param(query, name); len(v) >= 22 {
					good[strings.ToLower(v[len(v)-22:])] = true
				}
			}
		}
	}
	f.Fuzz(func(t *testing.T, query, path string, continues bool) {
		for _, a := range []Action{Publish, Play} {
			_, err := d.Authorize(t.Context(), Request{Action: a, Key: alice, Query: query, Path: path, Continues: continues, RemoteAddr: "192.0.2.7:1"})
			if err != nil && !errors.Is(err, ErrDenied) {
				t.Errorf("undecided: %v", err)
			}
			if err != nil {
				continue
			}
			known := false
			for _, name := range CredentialParams {
				if v := param(query, name); len(v) >= 22 {
					known = known || good[strings.ToLower(v[len(v)-22:])]
				}
			}
			if !known {
				t.Errorf("%s is granted by %q at %q", a, query, path)
			}
		}
		if c := Credentials(query); strings.ContainsAny(c, "\"\r\n ,") {
			t.Errorf("%q is not escaped", c)
		}
	})
}
