package streamkey

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

var parseCases = []struct {
	name string
	in   string
	want string // empty: refused
}{
	{"plain", "live/alice", "live/alice"},
	{"digits, underscore and dash", "app_1/a-B_9", "app_1/a-B_9"},
	{"longest", strings.Repeat("a", 64) + "/" + strings.Repeat("b", 64), strings.Repeat("a", 64) + "/" + strings.Repeat("b", 64)},
	{"reserved words may be parts of a name", "live/chatty", "live/chatty"},
	{"empty", "", ""},
	{"one segment", "live", ""},
	{"three segments", "live/sub/alice", ""},
	{"leading slash", "/live/alice", ""},
	{"empty name", "live/", ""},
	{"empty app", "/alice", ""},
	{"too long", "live/" + strings.Repeat("a", 65), ""},
	{"dot segment", "live/..", ""},
	{"parent directory", "../alice", ""},
	{"a file's name", "live/alice.flv", ""},
	{"query", "live/alice?token=x", ""},
	{"space", "live/al ice", ""},
	{"not ASCII", "live/阿丽", ""},
	{"NUL", "live/a\x00b", ""},
	{"reserved name", "live/chat", ""},
	{"reserved name in capitals", "live/API", ""},
	{"reserved app", "assets/alice", ""},
	{"a secret", "live/mk_abcdefgh", ""},
	{"a name that is like one", "live/mkabc_", "live/mkabc_"},
}

func TestParse(t *testing.T) {
	for _, c := range parseCases {
		t.Run(c.name, func(t *testing.T) {
			k, err := Parse(c.in)
			if k.String() != c.want {
				t.Errorf("Parse(%q) = %q, want %q", c.in, k, c.want)
			}
			if c.want == "" && !errors.Is(err, ErrInvalid) {
				t.Errorf("Parse(%q): error %v does not wrap ErrInvalid", c.in, err)
			}
		})
	}
}

func TestErrorsRepeatNoToken(t *testing.T) {
	for _, in := range []string{"live/a?token=secret", "a/b/c?token=secret", "live/a&token=secret", "live/a:user:secret", "live/token=secret", "live/secret.x", "secret", "secret/live/x", "live/x/secret", "live/se cret", "live/mk_secret", "mk_secret/x", "secret é/x"} {
		if _, err := Parse(in); err == nil || strings.Contains(err.Error(), "secret") || len(err.Error()) > 300 {
			t.Errorf("%s: %v", in, err)
		}
	}
}

func TestKeyInJSON(t *testing.T) {
	k, err := Join("live", "alice")
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(map[Key]Key{k: k})
	if err != nil || string(b) != `{"live/alice":"live/alice"}` {
		t.Fatalf("%s, %v", b, err)
	}
	var back map[Key]Key
	if err := json.Unmarshal(b, &back); err != nil || back[k] != k {
		t.Fatalf("%v, %v", back, err)
	}
	if err := json.Unmarshal([]byte(`"live/../x"`), &k); !errors.Is(err, ErrInvalid) {
		t.Fatalf("error %v does not wrap ErrInvalid", err)
	}
}

func FuzzParse(f *testing.F) {
	for _, c := range parseCases {
		f.Add(c.in)
	}
	f.Fuzz(func(t *testing.T, s string) {
		k, err := Parse(s)
		if err != nil {
			if !errors.Is(err, ErrInvalid) || !k.IsZero() {
				t.Fatalf("Parse(%q) = %q, %v", s, k, err)
			}
			return
		}
		if k.String() != s {
			t.Fatalf("Parse(%q) = %q", s, k)
		}
		if again, err := Join(k.App(), k.Name()); err != nil || again != k {
			t.Fatalf("Join(Parse(%q)) = %q, %v", s, again, err)
		}
	})
}
