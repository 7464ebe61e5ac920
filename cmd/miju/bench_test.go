package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/miju-live/miju/bench"
)

// runBench runs a load and reads its report as JSON, if there is one.
func runBench[R any](t *testing.T, args ...string) (R, error) {
	t.Helper()
	root := newRoot(nil)
	var out bytes.Buffer
	root.SetOut(&out)

	root.SetArgs(append(append([]string{"bench"}, args...), "--json"))
	err := root.ExecuteContext(t.Context())
	var r R
	if out.Len() > 0 {
		if jsonErr := json.Unmarshal(out.Bytes(), &r); jsonErr != nil {
			t.Fatalf("%v in %s", jsonErr, out.String())
		}
		t.Logf("%s", out.String())
	}
	return r, err
}

var ownPID = strconv.Itoa(os.Getpid())

func TestBenchPush(t *testing.T) {
	s := start(t)
	r, err := runBench[bench.PushReport](t, "push", s.rtmpURL("s{i}")+"?token=x", "-n", "3", "--file", clipPath("h264-aac.flv"), "-d", "2s", "--pid", ownPID)
	if err != nil {
		t.Fatal(err)
	}
	if r.Publishers != 3 || r.Connected != 3 || r.Publishing != 3 || r.Dropped != 0 || len(r.Refused)+len(r.Failed) != 0 {
		t.Errorf("%+v", r)
	}
	if r.Handshake.N != 3 || r.Handshake.P50 <= 0 || r.Lag.N == 0 || r.Server == nil || r.Server.CorePercent == nil {
		t.Errorf("%+v", r)
	}
	if want := r.ClipMbit * 3; r.MbitPerS < want*0.6 || r.MbitPerS > want*1.6 {
		t.Errorf("%v Mbit/s of three times %v", r.MbitPerS, r.ClipMbit)
	}
	for _, name := range []string{"live/s1", "live/s2", "live/s3"} {
		if s.log.count("stream is live", "stream="+name) != 1 {
			t.Errorf("%s never was live", name)
		}
	}
	// Tags have a head of 2 or 5 bytes more than the frames that the server counts.
	got := s.metric(t, "miju_ingest_bytes_total")
	if float64(r.Bytes) < got || float64(r.Bytes) > 1.05*got {
		t.Errorf("%d bytes were sent, %.0f came", r.Bytes, got)
	}
	if strings.Contains(r.URL, "token") {
		t.Error("the report tells the token")
	}
}

func TestBenchPushBySRT(t *testing.T) {
	s := start(t)
	r, err := runBench[bench.PushReport](t, "push", s.srtURL("publish:live/s{i}"), "-n", "2", "-d", "2s")
	if err != nil || r.Connected != 2 || r.Publishing != 2 {
		t.Fatalf("%v %+v", err, r)
	}
	for _, name := range []string{"live/s1", "live/s2"} {
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
	for _, c := range []struct {
		name, want string
		args       []string
	}{
		{"no URL", "it must be: miju bench push URL", []string{"push"}},
		{"another protocol", `begins with "http"`, []string{"push", s.url("/live/x")}},
		{"no number", "{i} in the URL", []string{"push", s.rtmpURL("x"), "-n", "2"}},
		{"no file", "--file", []string{"push", s.rtmpURL("x"), "--file", "none.flv"}},
		{"an empty file", "clip", []string{"push", s.rtmpURL("x"), "--file", empty}},
		{"no such process", "--pid", []string{"push", s.rtmpURL("x"), "--pid", "999999999"}},
		{"processes that are none", "--pid", []string{"flv", s.url("/live/x.flv"), "--pid", "miju"}},
		{"no time", "--duration is 0s", []string{"flv", s.url("/live/x.flv"), "-d", "0s"}},
		{"too many", "connections do not fit", []string{"flv", s.url("/live/x.flv"), "-n", "900000"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := runBench[bench.FLVReport](t, c.args...); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

func TestBenchRefusedPublishers(t *testing.T) {
	s := start(t)
	r, err := runBench[bench.PushReport](t, "push", s.rtmpURL("a.b{i}"), "-n", "2", "-d", "1s")
	if err == nil || !strings.Contains(err.Error(), bench.ErrNothing.Error()) || r.Refused["NetStream.Publish.Rejected"] != 2 {
		t.Errorf("%v %+v", err, r)
	}
}

// TestBenchFanoutSoak runs the short form of docs/bench.md with few viewers.
func TestBenchFanoutSoak(t *testing.T) {
	if os.Getenv("MIJU_SOAK") == "" {
		t.Skip("make soak runs it")
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join("..", "..", "scripts", "bench-fanout.sh"))
	// MIJU_SOAK would be a setting that the server does not know.
	cmd.Env = slices.DeleteFunc(append(os.Environ(), "VIEWERS=5", "DURATION=2"), func(e string) bool { return strings.HasPrefix(e, envPrefix) })
	var progress bytes.Buffer
	cmd.Stderr = &progress
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, &progress)
	}
	t.Logf("\n%s", out)
	for _, row := range []string{"HTTP-FLV", "HTTP-FLV, --flv-batch 100ms", "WebSocket-FLV", "LL-HLS"} {
		// viewers, and a rate
		if !regexp.MustCompile(`(?m)^` + row + ` +5 +[1-9]`).Match(out) {
			t.Errorf("no row of %s", row)
		}
	}
}
