package cors

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestAnswer(t *testing.T) {
	const page = "https://a.example"
	for _, c := range []struct {
		name, list, origin string
		preflight          bool
		want               map[string]string
	}{
		{"everybody", "*", page, false, map[string]string{"Access-Control-Allow-Origin": "*", "Vary": ""}},
		{"everybody, no page", "*", "", false, map[string]string{"Access-Control-Allow-Origin": "*", "Access-Control-Allow-Private-Network": ""}},
		{"everybody asks first", "*", page, true, map[string]string{
			"Access-Control-Allow-Origin": "*", "Access-Control-Allow-Methods": "GET, HEAD, OPTIONS",
			"Access-Control-Allow-Headers": "x-token", "Access-Control-Allow-Private-Network": "true",
		}},
		{"listed", "https://B.example/, https://a.example", page, false, map[string]string{"Access-Control-Allow-Origin": page, "Vary": "Origin"}},
		{"its host is listed", "a.example", page, true, map[string]string{"Access-Control-Allow-Origin": page, "Access-Control-Allow-Private-Network": "true"}},
		{"not listed", "https://b.example", page, false, map[string]string{"Access-Control-Allow-Origin": "", "Vary": "Origin"}},
		{"not listed, asks first", "https://b.example", page, true, map[string]string{"Access-Control-Allow-Origin": "", "Access-Control-Allow-Private-Network": ""}},
		{"another scheme", "https://a.example", "http://a.example", false, map[string]string{"Access-Control-Allow-Origin": ""}},
		{"it begins like one", "https://a.example", "https://a.example.evil.example", false, map[string]string{"Access-Control-Allow-Origin": ""}},
		{"a file", "https://a.example", "null", false, map[string]string{"Access-Control-Allow-Origin": ""}},
		{"nobody", "", page, false, map[string]string{"Access-Control-Allow-Origin": "", "Vary": "Origin"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "/live/x.flv", nil)
			if c.preflight {
				r.Method = http.MethodOptions
				r.Header.Set("Access-Control-Request-Headers", "x-token")
				r.Header.Set("Access-Control-Request-Private-Network", "true")
			}
			if c.origin != "" {
				r.Header.Set("Origin", c.origin)
			}
			h, p := http.Header{}, Parse(c.list)
			p.Answer(h, r)
			for name, want := range c.want {
				if got := h.Get(name); got != want {
					t.Errorf("%s: %q, want %q", name, got, want)
				}
			}
			if h.Get("Access-Control-Allow-Credentials") != "" {
				t.Error("credentials are allowed")
			}
		})
	}
}

func TestHeadersThatAPageMaySend(t *testing.T) {
	fallback := headers("")
	for asked, want := range map[string]string{
		"cmcd-session,cmcd-request, x-token": "cmcd-session,cmcd-request, x-token",
		"<script>":                           fallback,
		"x\r\nset-cookie: a=b":               fallback,
		strings.Repeat("x", maxNames+1):      fallback,
	} {
		if got := headers(asked); got != want {
			t.Errorf("%q: %q", asked, got)
		}
	}
}

func TestConnects(t *testing.T) {
	for _, c := range []struct {
		list, origin, host string
		want               bool
	}{
		{"*", "https://evil.example", "miju.example", true},
		{"", "https://evil.example", "miju.example", false},
		{"", "https://Miju.example", "miju.example", true},
		{"", "http://miju.example:8080", "miju.example:8080", true},
		{"", "http://miju.example:8081", "miju.example:8080", false},
		{"", "", "miju.example", true},
		{"", "null", "miju.example", false},
		{"https://a.example,b.example", "https://a.example", "miju.example", true},
		{"https://a.example,b.example", "http://a.example", "miju.example", false},
		{"https://a.example,b.example", "http://b.example", "miju.example", true},
		{"https://a.example", "https://a.example.evil.example", "miju.example", false},
	} {
		p := Parse(c.list)
		if got := p.Connects(c.origin, c.host); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}
