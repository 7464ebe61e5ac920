package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// secretSettings hold a secret, or a URL that may, in their value. For the others
// an error says what was set.
var secretSettings = []string{"srt-passphrase", "db", "jwks-url", "hook", "acme-ca"}

// secretFiles name a file of secrets.
var secretFiles = []string{"rtmp-users", "url-sign-publish", "url-sign-play", "cdn-secret", "hook-secret", "tls-key"}

// harmless are settings that only sound like it.
var harmless = []string{
	"hls-token-in-playlist", "tls-cert", "jwks-issuer", "jwks-audience", "jwks-refresh", "url-sign", "url-sign-nginx", "url-sign-validity", "srt-default-key", "max-wrong-credentials",
	"hook-decides", "hook-fail", "hook-give-up", "hook-queue", "hook-style", "hook-tells", "hook-timeout", "hook-viewers", "acme-ca-root",
}

// TestSettingsThatHoldSecretsAreKnown: who adds a setting that sounds like one says
// here what it is.
func TestSettingsThatHoldSecretsAreKnown(t *testing.T) {
	c := defaultConfig()
	known := slices.Concat(secretSettings, secretFiles, harmless)
	eachSetting(&c, func(s setting) {
		for _, word := range []string{"pass", "secret", "token", "hook", "url", "db", "jwks", "users", "key", "credential", "acme-ca"} {
			if strings.Contains(s.name, word) && !slices.Contains(known, s.name) {
				t.Errorf("does --%s hold a secret? See secretSettings", s.name)
			}
		}
	})
}

// TestWrongSettingsTellNoSecret has settings that hold secrets be wrong in many ways,
// from everywhere they can come from.
func TestWrongSettingsTellNoSecret(t *testing.T) {
	t.Parallel()
	values := []string{
		marker, marker + strings.Repeat("x", 100), "://" + marker, "ftp://" + marker, "postgres://miju:" + marker + "@127.0.0.1:x/miju", "postgres://miju:" + marker + "%zz@db/miju",
		"postgres://miju@db/miju?password=" + marker + "&sslmode=perhaps", "https://miju:" + marker + "@", "https://miju:" + marker + "%zz@id.example/", "http://" + marker + " /", "\x00" + marker,
	}
	try := func(args, env []string) {
		t.Helper()
		var out bytes.Buffer
		check := settingsCommand("check", "", env, func(context.Context, config, io.Writer) error { return nil })
		check.SilenceUsage, check.SilenceErrors = true, true
		check.SetOut(&out)
		check.SetErr(&out)
		check.SetArgs(append([]string{"--data-dir="}, args...))
		if err := check.ExecuteContext(t.Context()); strings.Contains(fmt.Sprint(out.String(), err), marker) {
			t.Errorf("%v, %v: %s %v", args, env, out.String(), err)
		}
	}
	file := filepath.Join(t.TempDir(), "miju.yml")
	for _, name := range secretSettings {
		variable := "MIJU_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
		for _, value := range values {
			try([]string{"--" + name + "=" + value}, nil)
			try([]string{"--" + name + "x=" + value}, nil)
			try(nil, []string{variable + "=" + value})
			try(nil, []string{variable + "X=" + value})
			if strings.Contains(value, "x") {
				continue // enough for the file
			}
			for _, line := range []string{"%s: %q\n", "%s: [%q]\n", "%s: {a: %q}\n", "%sx: %q\n", "%s %q\n", "%s: '%s\n", "%[1]s: a\n%[1]s: %[2]q\n", "- %s: %q\n", "%s:\n\t%q\n", "%s: !!int %q\n"} {
				writeFile(t, file, fmt.Sprintf(line, name, value))
				try([]string{"--config", file}, nil)
			}
		}
	}
	out, err := run(t, []string{"MIJU_SRT_PASSPHRASE=" + marker + "-geheim", "MIJU_DB=" + values[4]}, "--help")
	if err != nil || strings.Contains(out, marker) {
		t.Errorf("--help: %s %v", out, err)
	}
}

// TestWrongFilesTellNoSecret gives the files of secrets contents that are no good.
func TestWrongFilesTellNoSecret(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	contents := []string{
		marker, marker + "\n" + marker, marker + " " + marker + " " + marker, marker + " a b c d", "a " + marker + " hw/a\na " + marker + " hw/b", "a " + marker + " " + marker, "a&b " + marker + " hw/a",
		strings.Repeat(marker+"\n", 100), strings.Repeat(marker, 1000), "-----BEGIN PRIVATE KEY-----\n" + marker + "\n-----END PRIVATE KEY-----\n", `{"secret":"` + marker + `"`, "", marker + "\x00", "a " + marker + " hw/*/" + marker,
	}
	try := func(name, content string, mode os.FileMode) {
		t.Helper()
		at := filepath.Join(dir, name)
		os.Remove(at)
		if err := os.WriteFile(at, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
		c := defaultConfig()
		c.RTMP.Listen, c.SRT.Listen, c.HTTP.Listen, c.Admin.Listen, c.Data.Dir = "", "", "127.0.0.1:0", "", ""
		eachSetting(&c, func(s setting) {
			switch {
			case s.name == name:
				s.value.SetString(at)
			case s.name == "hook" && name == "hook-secret":
				s.value.SetString("http://127.0.0.1:1/")
			}
		})
		c.Auth.URLSign = map[bool]string{true: "tencent"}[strings.HasPrefix(name, "url-sign")]
		var book logBook
		err := c.validate()
		if err == nil {
			var s *server
			if s, err = listen(t.Context(), c, nil, slog.New(slog.NewTextHandler(&book, nil))); err == nil {
				s.close()
			}
		}
		if said := fmt.Sprint(book.String(), err); strings.Contains(said, marker) {
			t.Errorf("--%s with %.80q: %s", name, content, said)
		}
		if mode.Perm()&0o077 != 0 && err == nil && name != "tls-key" {
			t.Errorf("--%s takes a file that others can read", name)
		}
	}
	for _, name := range secretFiles {
		for _, content := range contents {
			try(name, content, 0o600)
		}
		try(name, "truck "+marker+"22 hw/truck\n", 0o644)
	}
}
