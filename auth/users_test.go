package auth

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestUsers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users")
	write := func(text string, mode os.FileMode) {
		os.Remove(path)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{
		"empty": "\n# nobody\n", "no pattern": "truck hunter22\n", "a wrong pattern": "truck hunter22 hw\n", "twice": "a b hw/a\na c hw/b\n",
		"a name that is a query": "a&b c hw/a\n", "a long name": strings.Repeat("a", 65) + " c hw/a\n",
	} {
		write(text, 0o600)
		if _, err := ReadUsers(path); err == nil || strings.Contains(err.Error(), "hunter22") {
			t.Errorf("%s: %v", name, err)
		}
	}
	write("truck hunter22 hw/truck\n", 0o644)
	if _, err := ReadUsers(path); err == nil {
		t.Error("others can read it")
	}
	write("truck hunter22 hw/truck,live/al*\n", 0o600)
	d := doorsWith(t, func(c *Config) { c.Users = path })
	for key, want := range map[string]error{"hw/truck": nil, "live/alice": nil, "hw/other": ErrForbidden} {
		g, err := d.Authorize(t.Context(), Request{Action: Publish, Key: mustKey(key), User: "truck"})
		if !errors.Is(err, want) || want == nil && g.Subject != UserSubject+"truck" {
			t.Errorf("%s: %+v, %v", key, g, err)
		}
	}
	if _, err := d.Authorize(t.Context(), Request{Action: Publish, Key: mustKey("hw/truck"), User: "eve"}); !errors.Is(err, ErrForbidden) {
		t.Errorf("somebody unknown: %v", err)
	}
	if _, err := d.Authorize(t.Context(), Request{Action: Play, Key: mustKey("hw/truck"), User: "truck"}); !errors.Is(err, ErrForbidden) {
		t.Errorf("to play: %v", err)
	}
	if u := d.Users(); !u.Publish("hw") || !u.Publish("live") || u.Publish("tv") {
		t.Error("the apps are wrong")
	}
}

// FuzzUsers: whom a file names has a password, may publish somewhere and can be
// written into a query; what is wrong with a file is said without its words.
func FuzzUsers(f *testing.F) {
	for _, text := range []string{
		"", "# nobody", "truck geheim hw/truck", "truck geheim hw/truck,live/al*\n\nvan geheim *\n", "truck geheim", "truck geheim geheim", "a geheim hw/a\na geheim hw/b", "a&b geheim hw/a", "a\tgeheim\u00a0x\vhw/a",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		u, err := parseUsers("FILE", text)
		if err != nil {
			for word := range strings.FieldsSeq(text) {
				if len(word) > 12 && strings.Contains(err.Error(), word) {
					t.Errorf("%q: %v", text, err)
				}
			}
			return
		}
		for name, x := range u.all {
			if name == "" || strings.ContainsAny(name, "&=?% \n") || x.password == "" || len(x.keys) == 0 || x.keys.Check() != nil {
				t.Errorf("%q has %q: %+v", text, name, x)
			}
			if app, _, _ := strings.Cut(x.keys[0], "/"); !strings.Contains(app, "*") && !u.Publish(app) {
				t.Errorf("%q: nobody is asked for in %q", text, app)
			}
		}
	})
}
