package rtmp

import (
	"errors"
	"strings"
	"testing"

	"github.com/miju-live/miju/streamkey"
)

var names = []struct {
	name, app, stream string
	key, token        string
	reason            string // of the error
}{
	{"OBS", "live", "alice?token=abc", "live/alice", "abc", ""},
	{"no token", "live", "alice", "live/alice", "", ""},
	{"a token behind the app", "live?token=abc", "alice", "live/alice", "abc", ""},
	{"two tokens: the name's counts", "live?token=abc", "alice?token=def", "live/alice", "def", ""},
	{"slashes that were typed twice", "/live/", "//alice", "live/alice", "", ""},
	{"all of it in the app", "live/alice?token=abc", "", "live/alice", "abc", ""},
	{"all of it in the name", "", "live/alice", "live/alice", "", ""},
	{"a token among others", "live", "alice?a=b&token=abc&c=d", "live/alice", "abc", ""},
	{"a token with escapes", "live", "alice?token=a%2Bb+c%3D%3D", "live/alice", "a+b+c==", ""},
	{"a token with a wrong escape", "live", "alice?token=100%", "live/alice", "100%", ""},
	{"another parameter that ends in token", "live", "alice?mytoken=abc", "live/alice", "", ""},
	{"three segments", "live/sub", "alice", "", "", "has 3"},
	{"dot segments", "live", "../alice", "", "", "has 3"},
	{"no name", "live", "", "", "", "has 1"},
	{"nothing", "", "", "", "", "has 1"},
	{"a reserved name", "live", "chat", "", "", "reserved"},
	{"a name that is none", "live", "a.flv?token=abc", "", "abc", "letters"},
}

func TestNames(t *testing.T) {
	for _, c := range names {
		t.Run(c.name, func(t *testing.T) {
			r, _, err := parseName(c.app, c.stream)
			if r.Key.String() != c.key || r.Token != c.token {
				t.Errorf("%q, %q", r.Key, r.Token)
			}
			if c.reason == "" && err != nil || c.reason != "" && (!errors.Is(err, streamkey.ErrInvalid) || !strings.Contains(err.Error(), c.reason)) {
				t.Error(err)
			}
		})
	}
}

func FuzzNames(f *testing.F) {
	for _, c := range names {
		f.Add(c.app, c.stream)
	}
	f.Fuzz(func(t *testing.T, app, name string) {
		r, _, err := parseName(app, name+"?token=s3cret-s3cret")
		switch {
		case err == nil && r.Key.IsZero(), err != nil && !errors.Is(err, streamkey.ErrInvalid):
			t.Fatalf("%q, %v", r.Key, err)
		case err != nil && strings.Contains(err.Error(), "s3cret-s3cret") && !strings.Contains(app+name, "s3cret-s3cret"):
			t.Fatalf("the error shows the token: %v", err)
		}
	})
}
