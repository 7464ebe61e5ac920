package hooks

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/miju-live/miju/auth"
)

// answers are what applications may say, and what it means: "ok" with what it
// grants, "denied" with why, or "failed".
var answers = []struct {
	status int
	body   string
	want   string
}{
	{200, "", "ok"},
	{204, "", "ok"},
	{202, "OK", "ok"},
	{200, "<html>", "ok"},
	{200, "{}", "ok"},
	{200, "0", "ok"},
	{200, `{"allow":true}`, "ok"},
	{200, ` {"subject":"a1","name":"Alice","role":"host","maxViewers":3,"expiresIn":60,"more":[1]} `, "ok a1 Alice host 3 1m0s"},
	{200, `{"name":" A\u0000l\nice "}`, "ok  Al ice  0 0s"},
	{200, `{"expiresIn":0.5}`, "ok    0 500ms"},
	{200, `{"allow":false}`, "denied forbidden "},
	{200, `{"allow":false,"message":"not\nyou\u0007"}`, "denied forbidden not you"},
	{201, `{"allow":false,"role":"king"}`, "denied forbidden "},
	{403, `{"message":"the subscription has ended"}`, "denied forbidden the subscription has ended"},
	{403, `{"allow":true}`, "denied forbidden "},
	{404, "<html>", "denied forbidden "},
	{404, `{"message":`, "denied forbidden "},
	{401, `{"message":"who are you?"}`, "denied unauthenticated who are you?"},
	{429, "", "denied forbidden "},
	{400, `{"message":"` + strings.Repeat("é", 400) + `"}`, "denied forbidden " + strings.Repeat("é", 150)},
	{200, `{"redirect":"rtmp://b.example/live/alice?token=geheim"}`, "redirect rtmp://b.example/live/alice?token=geheim"},
	{403, `{"redirect":"rtmp://b.example/live/alice"}`, "denied forbidden "},
	{200, `{"redirect":"http://b.example/live/alice"}`, "failed"},
	{200, `{"redirect":"rtmp:alice"}`, "failed"},
	{200, `{"redirect":"rtmp://b.example/` + strings.Repeat("a", maxRedirect) + `"}`, "failed"},
	{200, `{"role":"king"}`, "failed"},
	{200, `{"subject":"miju:key:1"}`, "failed"},
	{200, `{"subject":"a\u0000"}`, "failed"},
	{200, `{"subject":"` + strings.Repeat("a", maxWord+1) + `"}`, "failed"},
	{200, `{"maxViewers":-1}`, "failed"},
	{200, `{"maxViewers":99999999999999999999}`, "failed"},
	{200, `{"expiresIn":-1}`, "failed"},
	{200, `{"expiresIn":1e300}`, "failed"},
	{200, `{"allow":"yes"}`, "failed"},
	{200, `{"allow":true`, "failed"},
	{302, "", "failed"},
	{304, "", "failed"},
	{500, `{"allow":true}`, "failed"},
	{503, "", "failed"},
	{0, "", "failed"},
}

// meaning is what an answer comes to, in words.
func meaning(a Answer, err error) string {
	var r *auth.Refusal
	switch {
	case errors.As(err, &r) && r.Redirect != "":
		return "redirect " + r.Redirect
	case errors.As(err, &r) && r.Why == auth.ErrUnauthenticated:
		return "denied unauthenticated " + r.Message
	case errors.As(err, &r):
		return "denied forbidden " + r.Message
	case errors.Is(err, errFailed):
		return "failed"
	case err != nil:
		return err.Error()
	}
	now := time.Unix(1e9, 0)
	g := a.grant(auth.Grant{}, now)
	life := time.Duration(0)
	if !g.Expires.IsZero() {
		life = g.Expires.Sub(now)
	}
	text := fmt.Sprintf("ok %s %s %s %d %v", g.Subject, g.Name, g.Role, g.MaxViewers, life)
	if text == "ok    0 0s" {
		return "ok"
	}
	return text
}

func TestAnswers(t *testing.T) {
	for _, c := range answers {
		if got := meaning(parseAnswer(c.status, []byte(c.body))); got != c.want {
			t.Errorf("%d %.80s: %q, want %q", c.status, c.body, got, c.want)
		}
	}
}

// TestAnswersAddToGrants: what the door granted stays where the answer says
// nothing, and the sooner end counts.
func TestAnswersAddToGrants(t *testing.T) {
	now := time.Unix(1e9, 0)
	door := auth.Grant{Subject: "a1", Name: "Alice", Role: auth.RoleMember, Expires: now.Add(time.Minute)}
	g := (&Answer{}).grant(door, now)
	if g.Subject != "a1" || g.Name != "Alice" || g.Role != auth.RoleMember || !g.Expires.Equal(door.Expires) {
		t.Errorf("%+v", g)
	}
	g = (&Answer{Subject: "b", Name: "Bob", Role: auth.RoleHost, ExpiresIn: 10}).grant(door, now)
	if g.Subject != "b" || g.Name != "Bob" || g.Role != auth.RoleHost || g.Expires.Sub(now) != 10*time.Second {
		t.Errorf("%+v", g)
	}
	if g = (&Answer{ExpiresIn: 600}).grant(door, now); !g.Expires.Equal(door.Expires) {
		t.Errorf("%+v", g)
	}
}

func FuzzAnswer(f *testing.F) {
	for _, c := range answers {
		f.Add(c.status, []byte(c.body))
	}
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		a, err := parseAnswer(status, body)
		var r *auth.Refusal
		switch {
		case errors.As(err, &r):
			if !utf8.ValidString(r.Message) || len(r.Message) > maxMessage || strings.ContainsAny(r.Message, "\r\n\x00") || len(r.Redirect) > maxRedirect {
				t.Errorf("%q", r)
			}
			if !errors.Is(err, auth.ErrDenied) || r.Redirect != "" && strings.Contains(err.Error(), r.Redirect) {
				t.Errorf("%v", err)
			}
		case err == nil:
			g := a.grant(auth.Grant{}, time.Now())
			if status/100 != 2 || strings.HasPrefix(g.Subject, auth.OwnSubject) || len(g.Subject)+len(g.Name) > 2*maxWord || g.MaxViewers < 0 ||
				math.IsNaN(a.ExpiresIn) || !g.Expires.IsZero() && g.Expires.Before(time.Now().Add(-time.Minute)) {
				t.Errorf("%d %q: %+v", status, body, g)
			}
		case !errors.Is(err, errFailed):
			t.Errorf("%v", err)
		}
	})
}

// srsAnswers are what backends of SRS may say.
var srsAnswers = []struct {
	status int
	body   string
	want   string
}{
	{200, "0", "ok"},
	{200, " 0\n", "ok"},
	{201, "0", "ok"},
	{200, `{"code":0}`, "ok"},
	{200, `{"code":0,"data":{"a":[]},"msg":null}`, "ok"},
	{200, `{"code":"0"}`, "ok"},
	{200, "1", "denied forbidden "},
	{200, "-1", "denied forbidden "},
	{200, "0.5", "denied forbidden "},
	{200, "99999999999999999999", "denied forbidden "},
	{200, `{"code":403,"msg":"no\nsuch key"}`, "denied forbidden no such key"},
	{200, `{"code":403,"msg":5,"message":"no"}`, "denied forbidden no"},
	{403, "0", "denied forbidden "},
	{200, "", "failed"},
	{200, "OK", "failed"},
	{200, "null", "failed"},
	{200, `"0"`, "failed"},
	{200, "[0]", "failed"},
	{200, "{}", "failed"},
	{200, `{"code":null}`, "failed"},
	{200, `{"code":`, "failed"},
	{302, "0", "failed"},
	{500, "0", "failed"},
}

func TestSRSAnswers(t *testing.T) {
	for _, c := range srsAnswers {
		if got := meaning(Answer{}, parseSRS(c.status, []byte(c.body))); got != c.want {
			t.Errorf("%d %s: %q, want %q", c.status, c.body, got, c.want)
		}
	}
}

func FuzzSRSAnswer(f *testing.F) {
	for _, c := range srsAnswers {
		f.Add(c.status, []byte(c.body))
	}
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		err := parseSRS(status, body)
		var r *auth.Refusal
		if err == nil && status/100 != 2 || err != nil && !errors.As(err, &r) && !errors.Is(err, errFailed) {
			t.Errorf("%d %q: %v", status, body, err)
		}
		if r != nil && (len(r.Message) > maxMessage || strings.ContainsAny(r.Message, "\r\n")) {
			t.Errorf("%q", r.Message)
		}
	})
}

// TestAnswersOfThePage reads the answers that docs/webhooks.md shows.
func TestAnswersOfThePage(t *testing.T) {
	page, err := os.ReadFile("../docs/webhooks.md")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, m := range regexp.MustCompile(`(?m)^    (\{"(?:message|subject|redirect|text)".*\})$`).FindAllSubmatch(page, -1) {
		d := json.NewDecoder(bytes.NewReader(m[1]))
		d.DisallowUnknownFields()
		if err := d.Decode(&Answer{}); err != nil {
			t.Errorf("%s: %v", m[1], err)
		}
		if got := meaning(parseAnswer(200, m[1])); got == "failed" {
			t.Errorf("%s is no good", m[1])
		}
		n++
	}
	members := regexp.MustCompile(`(?m)^\| (`+"`"+`\w+`+"`"+`(?:, `+"`"+`\w+`+"`"+`)*) \|`).FindAllSubmatch(page, -1)
	for i := range reflect.TypeFor[Answer]().NumField() {
		name := reflect.TypeFor[Answer]().Field(i).Tag.Get("json")
		if !slices.ContainsFunc(members, func(m [][]byte) bool { return bytes.Contains(m[1], []byte("`"+name+"`")) }) {
			t.Errorf("%s is not in the table", name)
		}
	}
	if n < 4 {
		t.Errorf("%d answers", n)
	}
}

// A reason that repeats the credential would have it logged.
func TestReasonsHideCredentials(t *testing.T) {
	q := &question{Token: "eyJhbGciOiJIUzI1NiJ9.e30.sum", Query: "token=eyJhbGciOiJIUzI1NiJ9.e30.sum&auth_key=1-0-0-abcdef&x=harmless"}
	for reason, want := range map[string]string{
		"": "", "no": "no", "harmless": "harmless", "token eyJhbGciOiJIUzI1NiJ9.e30.sum is of nobody": "token … is of nobody", "eyJhbGciOiJIUzI": "…", "1-0-0-abcdef, eyJhbGciOiJIUzI1NiJ9.e30.sum": "…, …",
	} {
		if got := hide(reason, q); got != want {
			t.Errorf("%q became %q, want %q", reason, got, want)
		}
	}
	// What stands in the place of a credential may be a part of one.
	for _, token := range []string{"………", "\xa6……\xe2\x80", "\xe2"} {
		if reason := strings.Repeat("wait……… ", 30); len(hide(reason, &question{Token: token})) > len(reason) {
			t.Errorf("%q makes a reason longer", token)
		}
	}
	if got := hide("no such token", &question{Token: "no"}); got != "no such token" {
		t.Errorf("a word is taken for a secret: %q", got)
	}
	if got := hide("no", &question{}); got != "no" {
		t.Errorf("without a credential: %q", got)
	}
}
