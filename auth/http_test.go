package auth

import (
	"net/http/httptest"
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
