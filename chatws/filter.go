package chatws

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"time"
	"unicode"

	"github.com/miju-live/miju/auth"
)

const (
	// maxFilter is the largest filter file, in bytes, maxPatterns how many
	// regular expressions it may hold.
	maxFilter   = 1 << 20
	maxPatterns = 200
	// filterEvery is how often it is looked whether the file changed.
	filterEvery = 2 * time.Second
)

var errFilter = errors.New("chat filter")

// filter is the words that nobody may say. It is immutable.
type filter struct {
	words    automaton
	patterns []*regexp.Regexp
}

// readFilter reads a file with a word or phrase a line. Those of letters
// match as whole words; *word* matches within others, re: begins a regular
// expression, # a comment.
func readFilter(b []byte) (*filter, error) {
	if len(b) > maxFilter {
		return nil, fmt.Errorf("%w: the file is larger than %d bytes", errFilter, maxFilter)
	}
	f := &filter{}
	lines := bufio.NewScanner(bytes.NewReader(b))
	lines.Buffer(nil, maxFilter+1)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		switch pattern, isPattern := strings.CutPrefix(line, "re:"); {
		case line == "" || line[0] == '#':
		case isPattern:
			re, err := regexp.Compile("(?i)" + strings.TrimSpace(pattern))
			if err != nil {
				return nil, fmt.Errorf("%w: line %d: %w", errFilter, n, err)
			}
			if f.patterns = append(f.patterns, re); len(f.patterns) > maxPatterns {
				return nil, fmt.Errorf("%w: more than %d regular expressions", errFilter, maxPatterns)
			}
		case len(line) > 2 && line[0] == '*' && line[len(line)-1] == '*':
			f.words.add(folded(line[1:len(line)-1]), false)
		default:
			f.words.add(folded(line), true)
		}
	}
	f.words.link()
	return f, nil
}

// refuses reports whether a text holds what nobody may say.
func (f *filter) refuses(text string) bool {
	if f == nil {
		return false
	}
	if f.words.in(folded(text)) {
		return true
	}
	for _, p := range f.patterns {
		if p.MatchString(text) {
			return true
		}
	}
	return false
}

// folded is what a text looks like to a reader who does not look closely:
// small letters, nothing that cannot be seen, and one space between words.
func folded(s string) []rune {
	out := make([]rune, 0, len(s))
	for _, r := range s {
		switch {
		case unicode.Is(unicode.Mn, r), unicode.Is(unicode.Cf, r), strings.ContainsRune(blanks, r):
			continue
		case r >= '\uff01' && r <= '\uff5e': // full width
			r -= 0xfee0
		case unicode.IsSpace(r):
			if len(out) > 0 && out[len(out)-1] == ' ' {
				continue
			}
			r = ' '
		}
		out = append(out, unicode.ToLower(r))
	}
	return out
}

// automaton finds many words at once (Aho and Corasick, 1975).
type automaton struct {
	states []state
}

type state struct {
	next map[rune]int32
	fail int32
	// ends are the lengths of words that end here, negative for those that
	// match within others.
	ends []int32
}

func (a *automaton) add(word []rune, whole bool) {
	if len(word) == 0 {
		return
	}
	if a.states == nil {
		a.states = make([]state, 1)
	}
	at := int32(0)
	for _, r := range word {
		to, ok := a.states[at].next[r]
		if !ok {
			to = int32(len(a.states))
			a.states = append(a.states, state{})
			if a.states[at].next == nil {
				a.states[at].next = map[rune]int32{}
			}
			a.states[at].next[r] = to
		}
		at = to
	}
	length := int32(len(word))
	if !whole {
		length = -length
	}
	a.states[at].ends = append(a.states[at].ends, length)
}

// link finds for each state the longest other one that ends as it does.
func (a *automaton) link() {
	if a.states == nil {
		return
	}
	var queue []int32
	for _, to := range a.states[0].next {
		queue = append(queue, to)
	}
	for len(queue) > 0 {
		at := queue[0]
		queue = queue[1:]
		for r, to := range a.states[at].next {
			a.states[to].fail = a.step(a.states[at].fail, r)
			queue = append(queue, to)
		}
		a.states[at].ends = append(a.states[at].ends, a.states[a.states[at].fail].ends...)
	}
}

func (a *automaton) step(at int32, r rune) int32 {
	for {
		if to, ok := a.states[at].next[r]; ok {
			return to
		}
		if at == 0 {
			return 0
		}
		at = a.states[at].fail
	}
}

func (a *automaton) in(text []rune) bool {
	if a.states == nil {
		return false
	}
	at := int32(0)
	for i, r := range text {
		at = a.step(at, r)
		for _, n := range a.states[at].ends {
			if n < 0 || isBoundary(text, i+1-int(n)) && isBoundary(text, i+1) {
				return true
			}
		}
	}
	return false
}

// isBoundary reports whether a word may begin or end before text[i]. Scripts
// that are written without spaces have boundaries everywhere.
func isBoundary(text []rune, i int) bool {
	return i <= 0 || i >= len(text) || !inWord(text[i-1]) || !inWord(text[i])
}

func inWord(r rune) bool {
	return (unicode.IsLetter(r) || unicode.IsDigit(r)) && !unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Thai, unicode.Lao, unicode.Khmer, unicode.Myanmar)
}

// link finds what is written like a link: a scheme, www., or a host of a
// common top-level domain. Others with a path behind them count too.
var link = regexp.MustCompile(`(?i)\b[a-z][a-z0-9+.-]{1,20}://\S|\bwww\.[\pL\d]|\b[\pL\d-]+\.(?:com|net|org|info|biz|io|co|me|tv|gg|ly|to|cc|xyz|top|shop|live|app|dev|link|click|site|online|club|ru|cn|uk|de|fr|eu|us|jp|kr|br|in)(?:[/?#:]|\b)|\b[\pL\d-]+(?:\.[\pL\d-]+)*\.\pL{2,}/\S`)

// mayLink reports whether somebody of a role may post links.
func (l Links) mayLink(role auth.Role) bool {
	switch l {
	case LinksMembers:
		return role != auth.RoleGuest
	case LinksModerators:
		return role.Moderates()
	}
	return true
}

// filterFile is the filter of the moment, read again when its file changes.
type filterFile struct {
	path string
	// mod and size are of what was read last.
	mod  time.Time
	size int64
}

// read returns the filter if the file changed since the last call.
func (f *filterFile) read() (*filter, error) {
	info, err := os.Stat(f.path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errFilter, err)
	}
	if info.ModTime().Equal(f.mod) && info.Size() == f.size {
		return nil, nil
	}
	f.mod, f.size = info.ModTime(), info.Size()
	if f.size > maxFilter {
		return nil, fmt.Errorf("%w: %s is larger than %d bytes", errFilter, f.path, maxFilter)
	}
	b, err := os.ReadFile(f.path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errFilter, err)
	}
	return readFilter(b)
}

// watchFilter reads the filter again when its file changed, and keeps the old
// one if that cannot be read.
func (s *Server) watchFilter() {
	tick := time.NewTicker(filterEvery)
	defer tick.Stop()
	for failing := false; ; {
		select {
		case <-s.closing:
			return
		case <-tick.C:
		}
		switch f, err := s.filterFile.read(); {
		case err != nil && !failing:
			failing = true
			s.log.Error("the chat goes on with the filter it had", "err", err)
		case err == nil && f != nil:
			failing = false
			s.filter.Store(f)
			s.log.Info("chat filter read", "file", s.filterFile.path)
		}
	}
}
