package auth

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

func TestTokenOfRequests(t *testing.T) {
	for _, c := range []struct{ url, authorization, protocols, want string }{
		{"/live/alice.flv", "", "", ""},
		{"/live/alice.flv?token=a.b", "", "", "a.b"},
		{"/live/alice.flv?token=a.b", "Bearer c.d", "", "a.b"},
		{"/live/alice.flv?token=", "bearer  c.d", "", "c.d"},
		{"/live/alice.flv?tokens=x", "Bearer c.d", "", "c.d"},
		{"/live/alice.flv", "Basic dTpw", "", ""},
		{"/live/alice.flv", "Bearer", "", ""},
		{"/live/alice/chat", "", "miju.chat.v1, bearer.e.f", "e.f"},
		{"/live/alice/chat", "Bearer c.d", "miju.chat.v1, bearer.e.f", "c.d"},
		{"/live/alice/chat", "", "miju.chat.v1", ""},
	} {
		r := httptest.NewRequest("GET", c.url, nil)
		r.Header.Set("Authorization", c.authorization)
		r.Header.Set("Sec-WebSocket-Protocol", c.protocols)
		if got := TokenOf(r); got != c.want {
			t.Errorf("%+v: %q", c, got)
		}
	}
}

// FuzzTokenOf: the token is what stands in one of its places, the path's before the
// header's, and the path without it is as it would be.
func FuzzTokenOf(f *testing.F) {
	for _, c := range [][4]string{
		{"/live/alice.flv", "token=a.b", "Bearer c.d", "miju.chat.v1, bearer.e.f"},
		{"/t/a.b/live/alice.flv", "x=1", "", ""},
		{"/t//live/alice", "", "bearer  c", "bearer."},
		{"/t/a", "token=%zz&token=b", "Basic x", ",,bearer.x,"},
		{"/t/a/t/b/", "token=;", "Bearer", "bearer.a b"},
		{"", "tokens=1&atoken=2", " ", ""},
	} {
		f.Add(c[0], c[1], c[2], c[3])
	}
	f.Fuzz(func(t *testing.T, path, query, authorization, protocols string) {
		r := &http.Request{URL: &url.URL{Path: path, RawQuery: query}, Header: http.Header{"Authorization": {authorization}, "Sec-Websocket-Protocol": {protocols}}}
		CutToken(r)
		token := TokenOf(r)
		asked, _ := url.ParseQuery(query)
		behind, before := asked.Get("token"), ""
		if r.URL.Path != path {
			before, _, _ = strings.Cut(strings.TrimPrefix(path, "/t/"), "/")
			if before == "" || path != "/t/"+before+r.URL.Path || !strings.HasPrefix(r.URL.Path, "/") {
				t.Errorf("%q became %q", path, r.URL.Path)
			}
		}
		switch {
		case behind != "":
			if token != behind {
				t.Errorf("%q, not %q of the query", token, behind)
			}
		case before != "":
			if token != strings.TrimSpace(before) {
				t.Errorf("%q, not %q of the path", token, before)
			}
		case !strings.Contains(authorization, token) && !strings.Contains(protocols, token):
			t.Errorf("%q is nowhere in %q and %q", token, authorization, protocols)
		}
	})
}
