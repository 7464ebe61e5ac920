package auth

import (
	"testing"
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
