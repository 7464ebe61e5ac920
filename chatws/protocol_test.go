package chatws

import (
	"encoding/json"
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
	{"no type", `{"text":"hello"}`, "bad_command"},
	{"unknown type", `{"type":"shout","text":"hello"}`, "bad_command"},
	{"text that is a number", `{"type":"say","text":1}`, "bad_command"},
	{"joined already", `{"type":"join","name":"b"}`, "bad_command"},
	{"no text", `{"type":"say"}`, "bad_text"},
	{"blank text", `{"type":"say","text":" \n "}`, "bad_text"},
	{"text over the bound", `{"type":"say","text":"` + strings.Repeat("a", 501) + `"}`, "bad_text"},
	{"ten lines", `{"type":"say","text":"1\n2\n3\n4\n5\n6\n7\n8\n9\n10"}`, ""},
	{"a tab and Windows line ends", `{"type":"say","text":"a\tb\r\nc"}`, ""},
	{"eleven lines", `{"type":"say","text":"1\n2\n3\n4\n5\n6\n7\n8\n9\n10\r11"}`, "bad_text"},
	{"nothing to see", `{"type":"say","text":"\u200b\u3164\ufe0f"}`, "bad_text"},
	{"control character", `{"type":"say","text":"a\u0000b"}`, "bad_text"},
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
		CloseGoingAway: true, CloseInternal: true, CloseSlow: true, CloseFull: true, CloseSilent: true, CloseUndecided: true,
		1000: false, CloseProtocol: false, CloseInvalidData: false, CloseTooBig: false,
		CloseFlood: false, CloseDenied: false, CloseBadFrame: false, CloseNoJoin: false,
	} {
		if code.Retry() != want {
			t.Errorf("%d: %v", code, code.Retry())
		}
	}
}

func TestFrameSizes(t *testing.T) {
	for _, n := range []int{0, 50, 200, 70000} {
		b := (&Event{Type: EventMessage, Text: strings.Repeat("a", n)}).frame()
		head := 2
		switch b[1] {
		case 126:
			head = 4
		case 127:
			head = 10
		}
		var e Event
		if err := json.Unmarshal(b[head:], &e); err != nil || len(e.Text) != n || b[0] != 0x81 {
			t.Errorf("%d: % x, %v", n, b[:min(12, len(b))], err)
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
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := parseCommand(b)
		if err != nil {
			if e := errorEvent(err); e.Code == "internal" {
				t.Fatalf("%q: %v has no word", b, err)
			}
			return
		}
		if name, err := cleanName(c.Name); err == nil && utf8.RuneCountInString(name) > MaxName {
			t.Fatalf("name %q", name)
		}
		text, err := cleanText(c.Text, 500)
		if err != nil {
			return
		}
		if !utf8.ValidString(text) || text == "" || utf8.RuneCountInString(text) > 500 {
			t.Fatalf("text %q", text)
		}
		if len((&Event{Type: EventMessage, Text: text}).frame()) < len(text) {
			t.Fatalf("the frame of %q is too short", text)
		}
	})
}
