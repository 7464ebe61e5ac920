package admin

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/miju-live/miju/auth"
	"github.com/miju-live/miju/stream"
)

// one lets operators in with one token.
type one string

// Authorize implements auth.Authorizer.
func (o one) Authorize(_ context.Context, r auth.Request) (auth.Grant, error) {
	if r.Action != auth.Admin || r.Token != string(o) {
		return auth.Grant{}, auth.ErrUnauthenticated
	}
	return auth.Grant{}, nil
}

// FuzzAuthorization: the header alone lets operators in, wherever they ask and whatever
// else stands in their request.
func FuzzAuthorization(f *testing.F) {
	const token = "a.b.c"
	var served bool
	h := New(Config{}, Sources{
		Hub: stream.NewHub(stream.DefaultConfig(), nil), Doors: one(token), Ended: func() []EndedPublisher { return nil }, Chat: http.NotFoundHandler(),
		Metrics: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { served = true }),
	}, slog.New(slog.DiscardHandler))
	for _, seed := range [][2]string{
		{"Bearer a.b.c", ""}, {"bearer   a.b.c ", "token=a.b.c"}, {"Bearer a.b.cc", "x"}, {"a.b.c", ""}, {"Basic a.b.c", ""}, {"Bearer", "token=a.b.c"}, {"", "token=a.b.c"}, {"Bearer a.b.c,Bearer a.b.c", ""},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, authorization, query string) {
		r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
		r.Host, r.URL.RawQuery = "localhost", query
		r.Header.Set("Authorization", authorization)
		w := httptest.NewRecorder()
		served = false
		h.ServeHTTP(w, r)
		r.URL.RawQuery = ""
		if want := auth.TokenOf(r) == token; served != want || !want && w.Code != http.StatusUnauthorized {
			t.Errorf("%q, %q: served is %v, %d", authorization, query, served, w.Code)
		}
	})
}
