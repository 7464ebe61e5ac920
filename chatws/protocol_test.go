package chatws

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// commandCases are what a member who has joined may send; want is the code of
// the error event, empty if it is obeyed.
var commandCases = []struct{ name, in, want string }{
	{"say", `{"type":"say","text":"hello"}`, ""},
	{"say in Chinese", `{"type":"say","text":"大家好"}`, ""},
	{"two lines", `{"type":"say","text":"a\nb"}`, ""},
	{"members that nobody knows", `{"type":"say","text":"a","colour":"red"}`, ""},
	{"longest text", `{"type":"say","text":"` + strings.Repeat("é", 500) + `"}`, ""},
	{"ping", `{"type":"ping"}`, ""},
	{"no JSON", `hello`, "bad_command"},
	{"an array", `["say","hello"]`, "bad_command"},
	{"deep nesting", strings.Repeat(`[`, 3000), "bad_command"},
	{"no type", `{"text":"hello"}`, "unknown_command"},
	{"unknown type", `{"type":"shout","text":"hello"}`, "unknown_command"},
	{"an id that is a number", `{"type":"say","id":1,"text":"a"}`, "bad_command"},
	{"an id over the bound", `{"type":"ping","id":"` + strings.Repeat("a", 65) + `"}`, "bad_command"},
	{"resume that is no position", `{"type":"join","resume":"here"}`, "bad_command"},
	{"media time in words", `{"type":"say","text":"a","mediaTime":"now"}`, "bad_command"},
	{"a reaction that is none", `{"type":"react","emoji":"<b>"}`, "bad_value"},
	{"too many reactions", `{"type":"react","emoji":"👍","count":21}`, "bad_value"},
	{"a guest's act", `{"type":"clear"}`, "forbidden"},
	{"text that is a number", `{"type":"say","text":1}`, "bad_command"},
	{"joined already", `{"type":"join","name":"b"}`, "joined"},
	{"no text", `{"type":"say"}`, "bad_text"},
	{"blank text", `{"type":"say","text":" \n "}`, "bad_text"},
	{"text over the bound", `{"type":"say","text":"` + strings.Repeat("a", 501) + `"}`, "bad_text"},
	{"ten lines", `{"type":"say","text":"1\n2\n3\n4\n5\n6\n7\n8\n9\n10"}`, ""},
	{"a tab and Windows line ends", `{"type":"say","text":"a\tb\r\nc"}`, ""},
	{"eleven lines", `{"type":"say","text":"1\n2\n3\n4\n5\n6\n7\n8\n9\n10\r11"}`, "bad_text"},
	{"nothing to see", `{"type":"say","text":"\u200b\u3164\ufe0f"}`, "bad_text"},
	{"control characters are taken out", `{"type":"say","text":"a\u0000\u001b\u009bb"}`, ""},
	{"nothing but control characters", `{"type":"say","text":"\u0000\u001b"}`, "bad_text"},
}

var nameCases = []struct{ name, in, want string }{
	{"plain", "Ann", "Ann"},
	{"trimmed", "  Ann ", "Ann"},
	{"Chinese", "阿丽", "阿丽"},
	{"a family of emoji", "👨\u200d👩\u200d👧", "👨\u200d👩\u200d👧"},
	{"longest", strings.Repeat("a", 32), strings.Repeat("a", 32)},
	{"empty", "", ""},
	{"too long", strings.Repeat("a", 33), "refused"},
	{"direction override", "Ann\u202enimda", "refused"},
	{"zero width space", "A\u200bnn", "refused"},
	{"line break", "A\nnn", "refused"},
	{"joiners alone", "\u200d\u200d", "refused"},
	{"a filler", "\u3164", "refused"},
	{"accents alone", "\u0301\u0302", "refused"},
	{"not UTF-8", "A\xffnn", "refused"},
}

func TestCleanName(t *testing.T) {
	for _, c := range nameCases {
		t.Run(c.name, func(t *testing.T) {
			got, err := cleanName(c.in)
			if err != nil {
				got = "refused"
			}
			if got != c.want {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}

func TestCloseCodesTellWhetherToComeBack(t *testing.T) {
	for code, want := range map[CloseCode]bool{
		CloseGoingAway: true, CloseInternal: true, CloseSlow: true, CloseFull: true, CloseSilent: true, CloseUndecided: true, CloseCrowded: true,
		1000: false, CloseProtocol: false, CloseInvalidData: false, CloseTooBig: false,
		CloseFlood: false, CloseDenied: false, CloseBadFrame: false, CloseNoJoin: false, CloseKicked: false, CloseBanned: false, CloseExpired: false,
	} {
		if code.Retry() != want {
			t.Errorf("%d: %v", code, code.Retry())
		}
	}
}

func TestFrameSizes(t *testing.T) {
	for _, n := range []int{0, 50, 200, 70000} {
		b := textFrame(&Message{Text: strings.Repeat("a", n)})
		head, size := frameHead(b)
		var e event
		if err := json.Unmarshal(b[head:], &e); err != nil || len(e.Text) != n || b[0] != 0x81 || head+size != len(b) || frameLen(b) != len(b) {
			t.Errorf("%d: % x, %v", n, b[:min(12, len(b))], err)
		}
	}
}

func TestEveryEventHasItsTypeFirst(t *testing.T) {
	seen := map[string]bool{}
	for _, e := range append(eventKinds, &Index{}, &Chunk{}) {
		var x struct{ Type string }
		b := encode(e)
		if err := json.Unmarshal(b, &x); err != nil || x.Type != e.kind() || seen[x.Type] || !strings.HasPrefix(string(b), `{"type":"`) {
			t.Errorf("%T: %s, %v", e, b, err)
		}
		seen[x.Type] = true
	}
}

func TestControlCharactersAreTakenOut(t *testing.T) {
	s := newStage(t)
	a, _ := s.join(t, "live/x", "a")
	a.send(`{"type":"say","text":"a\u0000\tb\u001b[31m\r\nc\u0085"}`)
	if e := a.next("message"); e.Text != "a b[31m\nc" {
		t.Errorf("%q", e.Text)
	}
}

// TestErrorsEchoTheCommand: an error carries the id of its command, also of
// one that nobody knows or that is broken.
func TestErrorsEchoTheCommand(t *testing.T) {
	s := newStage(t)
	a, _ := s.join(t, "live/x", "a")
	for _, c := range []struct{ in, code string }{
		{`{"type":"dance","id":"7"}`, "unknown_command"},
		{`{"type":"say","id":"7","text":{}}`, "bad_command"},
		{`{"id":"7","type":5}`, "bad_command"},
		{`{"type":"say","id":"7"}`, "bad_text"},
		{`{"type":"join","id":"7"}`, "joined"},
	} {
		a.send(c.in)
		if e := a.next("error"); e.ID != "7" || e.Code != c.code {
			t.Errorf("%s: %s", c.in, e.raw)
		}
	}
}

// FuzzCommand: whatever a member sends is obeyed or answered with a known
// word, and what is said afterwards is clean.
func FuzzCommand(f *testing.F) {
	for _, c := range commandCases {
		f.Add([]byte(c.in))
	}
	for _, c := range nameCases {
		f.Add([]byte(`{"type":"join","name":"` + c.in + `"}`))
	}
	f.Add([]byte(`{"type":"join","id":"a","resume":{"epoch":9223372036854775807,"offset":18446744073709551615},"history":-1}`))
	f.Add([]byte(`{"type":"ban","network":"10.0.0.0/8","for":1e3,"purge":true}`))
	f.Add([]byte(`{"type":"set","slow":-1,"links":"none"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, id, err := decodeCommand(b)
		if len(id) > MaxCommandID {
			t.Fatalf("an id of %d bytes", len(id))
		}
		var refusal *Refusal
		if err != nil {
			if !errors.As(err, &refusal) || !slices.Contains(errorCodes, refusal.Code) {
				t.Fatalf("%q: %v has no word", b, err)
			}
			return
		}
		if n := c.name(); newCommand(n) == nil {
			t.Fatalf("%q is a %s", b, n)
		}
		switch c := c.(type) {
		case *Join:
			if name, err := cleanName(c.Name); err == nil && utf8.RuneCountInString(name) > MaxName {
				t.Fatalf("name %q", name)
			}
		case *Say:
			text, err := cleanText(c.Text, 500)
			if err != nil {
				return
			}
			if !utf8.ValidString(text) || text == "" || utf8.RuneCountInString(text) > 500 {
				t.Fatalf("text %q", text)
			}
			if again, err := cleanText(text, 500); err != nil || again != text {
				t.Fatalf("%q becomes %q, %v", text, again, err)
			}
		}
	})
}
