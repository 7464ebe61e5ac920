package auth

import (
	"testing"

	"github.com/miju-live/miju/streamkey"
)

func TestOpenGrantsWhatIsAsked(t *testing.T) {
	for _, a := range []Action{Publish, Play, Chat, Moderate, Admin} {
		g, err := Open{}.Authorize(t.Context(), Request{Action: a, Name: "alice"})
		if err != nil || g.Name != "alice" {
			t.Errorf("%s: %+v, %v", a, g, err)
		}
	}
}

func TestActionNames(t *testing.T) {
	seen := map[string]bool{}
	for a := Publish; a <= Admin; a++ {
		if s := a.String(); s == "unknown" || seen[s] {
			t.Errorf("action %d is called %q", a, s)
		} else {
			seen[s] = true
		}
	}
	if Action(0).String() != "unknown" {
		t.Error("the zero action has a name")
	}
}

// A stream key's secret that somebody pastes as the name of the stream must not
// become public.
func TestStreamKeysAreNoNames(t *testing.T) {
	for range 100 {
		if k, err := streamkey.Join("live", NewStreamKey()); err == nil {
			t.Fatalf("%s is a name", k)
		}
	}
}
