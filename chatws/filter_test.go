package chatws

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const filterText = `# words
rude
*spam*
bad phrase
坏话
re: f+o+b+a+r\d
`

var filterCases = []struct {
	in   string
	want bool
}{
	{"hello", false},
	{"rude", true},
	{"RUDE!", true},
	{"how rude.", true},
	{"crude", false},
	{"rudely", false},
	{"ru\u200bde", true},
	{"ｒｕｄｅ", true},
	{"antispammer", true},
	{"a bad phrase", true},
	{"a bad  \n phrase", true},
	{"a bad phrases", false},
	{"这是坏话吗", true},
	{"FFOObar7", true},
	{"foobar", false},
	{"", false},
}

func TestFilter(t *testing.T) {
	f, err := readFilter([]byte(filterText))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range filterCases {
		if got := f.refuses(c.in); got != c.want {
			t.Errorf("%q: %v", c.in, got)
		}
	}
	var none *filter
	if none.refuses("rude") {
		t.Error("no filter refuses")
	}
	for _, bad := range []string{"re:(", strings.Repeat("re:a\n", maxPatterns+1), strings.Repeat("a", maxFilter+1)} {
		if _, err := readFilter([]byte(bad)); err == nil {
			t.Errorf("%.20q is taken", bad)
		}
	}
}

func TestFilterFileIsReadAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "words")
	write := func(s string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("rude\n")
	s := newStage(t, func(c *Config) { c.Filter = path })
	a := s.as(t, "live/x", "member:a")
	if e := a.do(`{"type":"say","id":"1","text":"how rude"}`); e.Code != "filtered" {
		t.Errorf("%s", e.raw)
	}
	mod := s.as(t, "live/x", "moderator:m")
	say(mod, "how rude")
	old := s.filter.Load()
	write("other words\n")
	waitUntil(t, func() bool { return s.filter.Load() != old })
	say(a, "how rude")
	old = s.filter.Load()
	write("re:(\n") // a mistake leaves what there was
	if e := a.do(`{"type":"say","id":"3","text":"other words"}`); e.Code != "filtered" {
		t.Errorf("%s", e.raw)
	}
	f := &filterFile{path: path}
	if got, err := f.read(); err == nil || got != nil {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := f.read(); err != nil || got != nil {
		t.Errorf("said again: %v, %v", got, err)
	}
	if s.filter.Load() != old {
		t.Error("there is another filter")
	}
	c := DefaultConfig()
	c.Filter = path
	if c.Check() == nil {
		t.Error("a broken filter is taken")
	}
	c.Filter = path + ".none"
	if c.Check() == nil {
		t.Error("a missing filter is taken")
	}
}

// FuzzFilter: a word that a filter has is found wherever it stands, and
// nothing fails.
func FuzzFilter(f *testing.F) {
	for _, c := range filterCases {
		f.Add(filterText, c.in)
	}
	f.Add("*a*\n*ab*\n*b*\n", "xab")
	f.Fuzz(func(t *testing.T, words, text string) {
		if len(words) > 10000 || len(text) > 1000 {
			return
		}
		filter, err := readFilter([]byte(words))
		if err != nil {
			return
		}
		found := filter.refuses(text)
		for line := range strings.Lines(words) {
			line = strings.TrimSpace(line)
			if len(line) < 3 || line[0] != '*' || line[len(line)-1] != '*' {
				continue
			}
			if inner := string(folded(line[1 : len(line)-1])); inner != "" && strings.Contains(string(folded(text)), inner) && !found {
				t.Fatalf("%q is not found in %q", inner, text)
			}
		}
	})
}
