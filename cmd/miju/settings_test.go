package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
)

func TestEverySettingIsDescribed(t *testing.T) {
	c := defaultConfig()
	seen := map[string]bool{}
	eachSetting(&c, func(s setting) {
		if seen[s.name] {
			t.Errorf("two settings are called %s", s.name)
		}
		seen[s.name] = true
		known := false
		for _, g := range groups {
			known = known || g == s.tag.Get("group")
		}
		if !known || s.tag.Get("help") == "" {
			t.Errorf("%s has group %q and help %q", s.name, s.tag.Get("group"), s.tag.Get("help"))
		}
		lo, hi := s.tag.Get("min"), s.tag.Get("max")
		switch s.value.Interface().(type) {
		case time.Duration:
			for _, b := range []string{lo, hi} {
				if _, err := time.ParseDuration(b); err != nil {
					t.Errorf("%s: %v", s.name, err)
				}
			}
		case int:
			if bound(s.value, lo) >= bound(s.value, hi) {
				t.Errorf("%s has the range %q to %q", s.name, lo, hi)
			}
		default:
			if lo != "" {
				t.Errorf("%s has a range and is no number", s.name)
			}
		}
	})
	if err := c.validate(); err != nil {
		t.Errorf("the defaults are refused: %v", err)
	}
}

// run executes a command line and returns what it printed.
func run(t *testing.T, env []string, args ...string) (string, error) {
	t.Helper()
	root := newRoot(env)
	var out bytes.Buffer
	root.SetOut(&out)
	root.SetErr(&out)
	root.SetArgs(args)
	err := root.ExecuteContext(t.Context())
	if !excepted(args) {
		leaks.search(fmt.Sprintf("%s, miju %s", t.Name(), strings.Join(args, " ")), out.Bytes())
	}
	leaks.search(fmt.Sprintf("%s, error of miju %s", t.Name(), strings.Join(args, " ")), fmt.Append(nil, err))
	return out.String(), err
}

func TestCheck(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, c := range []struct {
		name string
		args []string
		yaml string
		env  []string
		want string // part of the error; empty: good
	}{
		{"defaults", nil, "", nil, ""},
		{"flag out of range", []string{"--probe", "40s"}, "", nil, "--probe is 40s, it may be 0s to 30s"},
		{"flag of the wrong kind", []string{"--probe", "fast"}, "", nil, "--probe"},
		{"a certificate without its key", []string{"--tls-cert", "nosuch.pem"}, "", nil, "set --tls-cert and --tls-key"},
		{"a certificate that is not there", []string{"--tls-cert", "nosuch.pem", "--tls-key", "nosuch.key"}, "", nil, "nosuch.pem"},
		{"parts that are too short", []string{"--hls-part", "50ms"}, "", nil, "--hls-part is 50ms, it may be 0 (no parts) or 100ms"},
		{"no parts", []string{"--hls-part", "0"}, "", nil, ""},
		{"unknown flag", []string{"--prob", "1s"}, "", nil, "unknown flag: --prob; miju check --help lists"},
		{"file", nil, "probe: 2s\nrtmp: \":1936\"\ndemo: true\n", nil, ""},
		{"empty file", nil, "# nothing\n", nil, ""},
		{"unknown key in the file", nil, "probe: 2s\nprobe-time: 2s\n", nil, `line 2: there is no setting "probe-time"; is it probe?`},
		{"out of range in the file", nil, "max-gop-mib: 0\n", nil, "--max-gop-mib is 0, it may be 1 to 1024"},
		{"wrong kind in the file", nil, "\nmax-gop-mib: many\n", nil, `line 2: "many" is no value for max-gop-mib: it must be a whole number`},
		{"twice in the file", nil, "probe: 2s\nprobe: 3s\n", nil, "set twice"},
		{"a list in the file", nil, "probe: [1s]\n", nil, "must be a single value"},
		{"no YAML", nil, "probe\n", nil, "must hold lines like"},
		{"environment", nil, "", []string{"MIJU_PROBE=2s", "MIJU_MAX_GOP_MIB=8", "HOME=/"}, ""},
		{"environment out of range", nil, "", []string{"MIJU_PROBE=2h"}, "--probe is 2h0m0s"},
		{"environment of the wrong kind", nil, "", []string{"MIJU_DEMO=perhaps"}, `MIJU_DEMO: "perhaps" is no value for demo: it must be true or false`},
		{"unknown in the environment", nil, "", []string{"MIJU_PROBES=2s"}, `MIJU_PROBES: there is no setting "probes"`},
		{"Kubernetes' own variables", nil, "", []string{"MIJU_SERVICE_HOST=10.0.0.1", "MIJU_PORT_1935_TCP=tcp://10.0.0.1:1935", "MIJU_PORT=tcp://10.0.0.1:1935"}, ""},
		{"flag over environment", []string{"--probe", "1s"}, "", []string{"MIJU_PROBE=2h"}, ""},
		{"environment over file", nil, "probe: 2h\n", []string{"MIJU_PROBE=2s"}, ""},
		{"log level", []string{"--log-level", "loud"}, "", nil, `--log-level is "loud"`},
		{"a port without a colon", []string{"--rtmp", "1935"}, "", nil, `--rtmp is "1935", it must be like :8080`},
		{"an address without a port", []string{"--admin", "127.0.0.1"}, "", nil, `--admin is "127.0.0.1"`},
		{"no secrets of edges", []string{"--cdn-secret", filepath.Join(dir, "none")}, "", nil, "--cdn-secret: "},
		{"no users", []string{"--rtmp-users", filepath.Join(dir, "none")}, "", nil, "--rtmp-users: "},
		{"no secrets of URLs", []string{"--url-sign", "aliyun", "--url-sign-play", filepath.Join(dir, "none")}, "", nil, "--url-sign-play: "},
		{"no database", []string{"--db", "mysql://miju:geheim@db/miju"}, "", nil, "--db must be like postgres://"},
		{"a database's option", nil, "", []string{"MIJU_DB=postgres://miju@db/miju?sslmode=perhaps"}, "--db: "},
		{"nothing to serve", []string{"--rtmp=", "--srt=", "--http="}, "", nil, "nothing to serve"},
		{"file that is missing", []string{"--file", "live/a=/nowhere.flv"}, "", nil, "/nowhere.flv"},
		{"file with a bad key", []string{"--file", "a=/nowhere.flv"}, "", nil, "invalid stream key"},
		{"no such configuration", []string{"--config", filepath.Join(dir, "none.yml")}, "", nil, "none.yml"},
	} {
		t.Run(c.name, func(t *testing.T) {
			args := append([]string{"check"}, c.args...)
			if c.yaml != "" {
				args = append(args, "--config", write("miju.yml", c.yaml))
			}
			out, err := run(t, c.env, args...)
			switch {
			case c.want == "" && (err != nil || !strings.Contains(out, "good")):
				t.Errorf("%v\n%s", err, out)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

func TestSettingsReachTheirPackages(t *testing.T) {
	var got config
	cmd := settingsCommand("test", "", []string{"MIJU_FLV_BATCH=100ms"}, func(_ context.Context, c config, _ io.Writer) error {
		got = c
		return nil
	})
	cmd.SetArgs([]string{"--rtmp", ":1", "--probe=3s", "--demo"})
	if err := cmd.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got.RTMP.Listen != ":1" || got.Ingest.Probe != 3*time.Second || !got.Files.Demo || time.Duration(got.Origin.FLVBatch) != 100*time.Millisecond {
		t.Errorf("%+v", got)
	}
}

func TestHelpIsGrouped(t *testing.T) {
	out, err := run(t, nil, "--help")
	if err != nil {
		t.Fatal(err)
	}
	at := 0
	for _, part := range []string{"Usage:", "check", "serve", "Network:", "--rtmp", "Publishing:", "--probe", "Limits:", "--max-lag", "Logging:", "--log-level"} {
		i := strings.Index(out[at:], part)
		if i < 0 {
			t.Fatalf("%q is not in its place:\n%s", part, out)
		}
		at += i
	}
	for line := range strings.SplitSeq(out, "\n") {
		if len(line) > 120 {
			t.Errorf("line of %d characters: %s", len(line), line)
		}
	}
}

// TestHelpShowsExamples of every command that has some.
func TestHelpShowsExamples(t *testing.T) {
	examples := 0
	var look func(c *cobra.Command)
	look = func(c *cobra.Command) {
		for _, sub := range c.Commands() {
			look(sub)
		}
		if c.Example == "" {
			return
		}
		examples++
		out, err := run(t, nil, append(strings.Fields(c.CommandPath())[1:], "--help")...)
		if err != nil || !strings.Contains(out, c.Example) {
			t.Errorf("%s --help: %v\n%s", c.CommandPath(), err, out)
		}
	}
	look(newRoot(nil))
	if examples < 6 {
		t.Errorf("%d commands have examples", examples)
	}
}

// TestArgumentsThatAreMissing are named.
func TestArgumentsThatAreMissing(t *testing.T) {
	for want, args := range map[string][]string{
		"miju key create STREAM":    {"key", "create"},
		"miju key revoke ID|STREAM": {"key", "revoke"},
		"miju token revoke ID|":     {"token", "revoke", "a", "b"},
		"miju chat export ROOM":     {"chat", "export"},
		"miju bench push URL":       {"bench", "push"},
	} {
		if _, err := run(t, nil, args...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v", args, err)
		}
	}
}

func TestVersion(t *testing.T) {
	if out, err := run(t, nil, "version"); err != nil || !strings.HasPrefix(out, "miju ") {
		t.Error(out, err)
	}
}
