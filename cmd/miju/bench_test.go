package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

func runBench(t *testing.T, args ...string) (string, error) {
	t.Helper()
	root := newRoot(nil)
	var out bytes.Buffer
	root.SetOut(&out)
	root.SetArgs(append([]string{"bench", "publish"}, args...))
	err := root.ExecuteContext(t.Context())
	return out.String(), err
}

func TestBenchPublishes(t *testing.T) {
	s := start(t)
	out, err := runBench(t, "--rtmp", s.rtmpURL("bench")+"?token=x", "-n", "3", "--file", clipPath("h264-aac.flv"), "-d", "1s", "--pid", strconv.Itoa(os.Getpid()))
	if err != nil {
		t.Fatal(err, out)
	}
	for _, want := range []string{`^3 publishers were live for 1s: \d{3} messages`, `largest GOP \d+ kB`, `the server used \d`, `\(RSS\) was \d`} {
		if !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("no %q in:\n%s", want, out)
		}
	}
	for _, name := range []string{"live/bench-1", "live/bench-2", "live/bench-3"} {
		if s.log.count("stream is live", "stream="+name) != 1 {
			t.Errorf("%s never was live", name)
		}
	}
}

func TestBenchPublishesBySRT(t *testing.T) {
	s := start(t)
	out, err := runBench(t, "--srt", s.srtURL("publish:live/bench"), "-n", "2", "--file", clipPath("h264-aac.flv"), "-d", "2s")
	if err != nil || !strings.Contains(out, "2 publishers were live") {
		t.Fatal(err, out)
	}
	for _, name := range []string{"live/bench-1", "live/bench-2"} {
		if s.log.count("stream is live", "stream="+name) != 1 {
			t.Errorf("%s never was live", name)
		}
	}
}

func TestBenchTellsWhatIsWrong(t *testing.T) {
	s := start(t)
	empty := filepath.Join(t.TempDir(), "empty.flv")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	clip := clipPath("video-only.flv")
	for _, c := range []struct {
		name, want string
		args       []string
	}{
		{"no URL", "one of --rtmp and --srt must be", []string{"--file", clip}},
		{"no file", "--file", []string{"--rtmp", s.rtmpURL("x")}},
		{"an empty file", "empty.flv", []string{"--rtmp", s.rtmpURL("x"), "--file", empty}},
		{"no such process", "--pid", []string{"--rtmp", s.rtmpURL("x"), "--file", clip, "--pid", "999999999"}},
		{"a name that is none", "2 of 2 publishers failed, the first one with: NetStream.Publish.Rejected", []string{"--rtmp", s.rtmpURL("a.b"), "--file", clip, "-n", "2", "-d", "1s"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := runBench(t, c.args...); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}
