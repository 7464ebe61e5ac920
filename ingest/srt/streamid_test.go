package srt

import (
	"errors"
	"strings"
	"testing"

	"github.com/miju-live/miju/auth"
	"github.com/miju-live/miju/ingest"
	"github.com/miju-live/miju/streamkey"
)

var streamIDs = []struct {
	name   string
	in     string
	action auth.Action
	key    string
	token  string
	err    error
}{
	{"standard form", "#!::r=live/alice,m=publish,token=secret", auth.Publish, "live/alice", "secret", nil},
	{"keys in another order, others ignored", "#!::u=bob,m=publish,bmd_uuid=1-2,r=live/alice", auth.Publish, "live/alice", "", nil},
	{"mode is request if not told", "#!::r=live/alice", auth.Play, "live/alice", "", nil},
	{"percent-encoded values", "#!::r=live%2Falice,m=publish,token=a%2Cb%3D%3D", auth.Publish, "live/alice", "a,b==", nil},
	{"an equals sign in a value", "#!::r=live/alice,m=publish,token=YWJj==", auth.Publish, "live/alice", "YWJj==", nil},
	{"a plus is a plus", "#!::r=live/alice,m=publish,token=a+b", auth.Publish, "live/alice", "a+b", nil},
	{"a leading slash", "#!::r=/live/alice,m=publish", auth.Publish, "live/alice", "", nil},
	{"token as a query of the resource", "#!::r=live/alice?token=secret,m=publish", auth.Publish, "live/alice", "secret", nil},
	{"only the # percent-encoded", "%23!::r=live/alice,m=publish,token=a%2Cb", auth.Publish, "live/alice", "a,b", nil},
	{"percent-encoded as a whole", "%23%21%3A%3Ar%3Dlive%2Falice%2Cm%3Dpublish%2Ctoken%3Da%252Cb", auth.Publish, "live/alice", "a,b", nil},
	{"vendors' keys, twice and empty", "#!::bmd_uuid=1,bmd_uuid=2,bmd_name=,user_x,r=live/alice,h=example.com,m=publish", auth.Publish, "live/alice", "", nil},
	{"the type is stream", "#!::t=stream,r=live/alice,m=publish", auth.Publish, "live/alice", "", nil},
	{"the type is file", "#!::t=file,r=live/alice,m=publish", 0, "", "", errType},
	{"a password as session", "#!::m=publish,r=live/alice,u=bob,s=hunter2", auth.Publish, "live/alice", "hunter2", nil},
	{"a token beside a session", "#!::m=publish,r=live/alice,s=1,token=secret", auth.Publish, "live/alice", "secret", nil},
	{"a token in the resource beside a session", "#!::s=1,r=live/alice?token=secret,m=publish", auth.Publish, "live/alice", "secret", nil},
	{"feedbackplay behind the standard form", "#!::r=live/alice,m=publish#feedbackplay", auth.Publish, "live/alice", "", nil},
	{"no resource", "#!::m=publish", 0, "", "", streamkey.ErrInvalid},
	{"no keys at all", "#!::", 0, "", "", streamkey.ErrInvalid},
	{"a mode that is none", "#!::r=live/alice,m=steal", 0, "", "", errMode},
	{"bidirectional", "#!::r=live/alice,m=bidirectional", 0, "", "", errMode},
	{"a key twice", "#!::r=live/alice,r=live/bob,m=publish", 0, "", "", ingest.ErrBadRequest},
	{"broken percent-encoding", "#!::r=live/alice,m=publish,token=%zz", 0, "", "", ingest.ErrBadRequest},
	{"nested form", "#!:{r: live/alice}", 0, "", "", ingest.ErrBadRequest},

	{"plain publish", "publish:live/alice", auth.Publish, "live/alice", "", nil},
	{"plain publish with token", "publish:live/alice?token=secret", auth.Publish, "live/alice", "secret", nil},
	{"plain read", "read:live/alice", auth.Play, "live/alice", "", nil},
	{"plain request", "request:live/alice", auth.Play, "live/alice", "", nil},
	{"name alone publishes", "live/alice", auth.Publish, "live/alice", "", nil},
	{"name with token", "live/alice?token=a%26b:c", auth.Publish, "live/alice", "a&b:c", nil},
	{"name with slash before it", "/live/alice", auth.Publish, "live/alice", "", nil},
	{"question mark percent-encoded", "live/alice%3Ftoken=secret", auth.Publish, "live/alice", "secret", nil},
	{"name percent-encoded", "live%2Falice", auth.Publish, "live/alice", "", nil},
	{"plain, percent-encoded as a whole", "publish%3Alive%2Falice%3Ftoken%3Da%2526b", auth.Publish, "live/alice", "a&b", nil},
	{"plain mode that is none", "steal:live/alice", 0, "", "", ingest.ErrBadRequest},
	{"plain bidirectional", "bidirectional:live/alice", 0, "", "", errMode},
	{"user and password behind colons", "publish:live/alice:bob:hunter2", auth.Publish, "live/alice", "hunter2", nil},
	{"no user, and a percent sign in the password", "publish:live/alice::100%", auth.Publish, "live/alice", "100%", nil},
	{"a question mark in the password", "read:live/alice:bob:what?", auth.Play, "live/alice", "what?", nil},
	{"a query behind user and password", "publish:live/alice:bob:pw:token=secret&x=y", auth.Publish, "live/alice", "secret", nil},
	{"a query behind the name and a colon", "publish:live/alice:token=a%26b", auth.Publish, "live/alice", "a&b", nil},
	{"a broken query behind colons", "publish:live/alice:bob:hunter2:token=%zz", 0, "", "", ingest.ErrBadRequest},
	{"a bad name before user and password", "publish:alice:bob:hunter2", 0, "", "", streamkey.ErrInvalid},
	{"feedbackplay behind a name", "live/alice#feedbackplay", auth.Publish, "live/alice", "", nil},
	{"feedbackplay behind a token", "live/alice?token=secret#feedbackplay", auth.Publish, "live/alice", "secret", nil},
	{"feedbackplay, percent-encoded as a whole", "live%2Falice%23feedbackplay", auth.Publish, "live/alice", "", nil},
	{"feedbackplay alone", "#feedbackplay", 0, "", "", streamkey.ErrInvalid},
	{"another fragment", "live/alice#1", 0, "", "", streamkey.ErrInvalid},

	{"empty", "", 0, "", "", ingest.ErrBadRequest},
	{"up the tree", "publish:live/../etc", 0, "", "", streamkey.ErrInvalid},
	{"up the tree, standard form", "#!::r=../live,m=publish", 0, "", "", streamkey.ErrInvalid},
	{"one segment", "alice", 0, "", "", streamkey.ErrInvalid},
	{"a reserved name", "publish:live/chat", 0, "", "", streamkey.ErrInvalid},
	{"not UTF-8", "publish:live/\xff", 0, "", "", ingest.ErrBadRequest},
	{"512 bytes", "publish:live/alice?token=" + strings.Repeat("x", 512-25), auth.Publish, "live/alice", strings.Repeat("x", 512-25), nil},
	{"513 bytes", "publish:live/alice?token=" + strings.Repeat("x", 513-25), 0, "", "", ingest.ErrBadRequest},
}

func TestParseStreamID(t *testing.T) {
	for _, c := range streamIDs {
		t.Run(c.name, func(t *testing.T) {
			r, err := parseStreamID(c.in)
			if !errors.Is(err, c.err) {
				t.Fatalf("error %v, want %v", err, c.err)
			}
			if err != nil {
				for _, secret := range []string{"hunter2", "secret", "xxx"} {
					if strings.Contains(err.Error(), secret) {
						t.Errorf("the error tells a secret: %v", err)
					}
				}
				return
			}
			if r.Action != c.action || r.Key.String() != c.key || r.Token != c.token {
				t.Errorf("%v %v %q", r.Action, r.Key, r.Token)
			}
		})
	}
}

func FuzzStreamID(f *testing.F) {
	for _, c := range streamIDs {
		f.Add(c.in)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := parseStreamID(s)
		if err != nil {
			if !errors.Is(err, streamkey.ErrInvalid) && !errors.Is(err, ingest.ErrBadRequest) {
				t.Fatalf("%q: error %v has no sentinel", s, err)
			}
			return
		}
		if _, err := streamkey.Parse(r.Key.String()); err != nil || r.Action != auth.Publish && r.Action != auth.Play {
			t.Fatalf("%q: %+v, %v", s, r, err)
		}
	})
}
