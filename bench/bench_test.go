package bench

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait of these tests.
const patience = time.Minute

func TestHistTellsQuantiles(t *testing.T) {
	var h hist
	if q := h.quantiles(); q != (Quantiles{}) {
		t.Errorf("of nothing: %+v", q)
	}
	for i := 1; i <= 1000; i++ {
		h.add(time.Duration(i) * time.Millisecond)
	}
	near := func(got, want float64) bool { return got > want*0.98 && got < want*1.02 }
	if q := h.quantiles(); q.N != 1000 || !near(q.P50, 500) || !near(q.P99, 990) || q.Max != 1000 {
		t.Errorf("%+v", q)
	}
	for d := time.Microsecond; d < 300*time.Hour; d = d*5/4 + time.Microsecond {
		if got := valueOf(bucketOf(uint64(d / time.Microsecond))); float64(got) < 0.98*float64(d)-float64(time.Microsecond) || float64(got) > 1.02*float64(d)+float64(time.Microsecond) {
			t.Fatalf("%v is told as %v", d, got)
		}
	}
	h.reset()
	h.add(-time.Second)
	h.add(1 << 62)
	var both hist
	both.merge(&h)
	if q := both.quantiles(); q.N != 2 || q.P50 != 0 || q.Max < 4e12 {
		t.Errorf("%+v", q)
	}
}

func TestLoadTakesItsURL(t *testing.T) {
	for _, c := range []struct {
		url     string
		streams int
		want    string // the last URL, or the error
	}{
		{"http://host/live/s{i}.flv", 3, "http://host/live/s3.flv"},
		{"http://h{i}:{i}/x?a={i}", 1, "http://h1:1/x?a=1"},
		{"https://host/x", 1, "https://host/x"},
		{"http://host/x", 2, "error: {i} in the URL"},
		{"ftp://host/x", 1, `error: begins with "ftp"`},
		{"http:///x", 1, "error: without a host"},
		{"http://host/\x7f?token=s3cret", 1, "error: invalid control character"},
	} {
		l := Load{URL: c.url}
		all, err := l.targets(c.streams, "http", "https")
		got := fmt.Sprintf("error: %v", err)
		if err == nil {
			got = all[len(all)-1].String()
		}
		want, failing := strings.CutPrefix(c.want, "error: ")
		if failing != (err != nil) || !strings.Contains(got, want) || strings.Contains(got, "s3cret") {
			t.Errorf("%s: %s", c.url, got)
		}
	}
	l := Load{URL: "rtmp://user:pass@host/live/x?token=s3cret"}
	if got := l.shown(); got != "rtmp://host/live/x" {
		t.Error(got)
	}
}

func TestTable(t *testing.T) {
	three := 3.14159
	var b strings.Builder
	if err := WriteTable(&b, &FLVReport{
		Run: Run{Command: "flv", URL: "u", Seconds: 10}, Viewers: 5, Refused: map[string]int{"503": 2, "404": 1},
		Join: Quantiles{3, 0.5, 12345.6, 20000}, Bytes: 1234567, MbitPerS: 12.34,
		End: End{Server: &ServerUse{CPUSeconds: 1, PerGB: &three}, Notes: []string{"one", "two"}, Bottleneck: bottleneck([]string{"a", "b"})},
	}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"\nviewers                            5\n", "refused, by status                 1 404, 2 503\n", "p50 0.5, p99 12346, max 20000 ms (3)\n",
		"received in all                    1.235 MB\n", "delivered                          12.34 Mbit/s\n", "CPU per GB delivered               3.142 s\n",
		"note                               two\n", "\n\nthe tool was the bottleneck: a; b\n",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
	if strings.Contains(b.String(), "CPU per request") {
		t.Error("it tells what is not known")
	}
}

func TestFailuresAreToldByKind(t *testing.T) {
	var f failures
	for i := range 2 * maxKinds {
		f.add(fmt.Errorf("x: %w", &refusal{fmt.Sprint(i)}))
	}
	for _, err := range []error{
		syscall.EMFILE, syscall.EADDRNOTAVAIL, &net.OpError{Err: syscall.ECONNREFUSED}, syscall.EPIPE, io.ErrUnexpectedEOF,
		&net.DNSError{}, errors.New("?"), fmt.Errorf("%w: x", errProtocol), &closed{1000},
	} {
		f.add(err)
	}
	refused, failed := f.totals()
	if len(refused) != maxKinds+1 || refused["0"] != 1 || refused["other"] != maxKinds {
		t.Error(refused)
	}
	if want := map[string]int{
		kindFiles: 1, kindPorts: 1, kindRefused: 1, kindReset: 1, kindEnded: 2, kindName: 1, kindOther: 1, kindProtocol: 1,
	}; fmt.Sprint(want) != fmt.Sprint(failed) {
		t.Error(failed)
	}
	notes, slow := f.notes()
	if len(notes) != 1 || len(slow) != 2 {
		t.Error(notes, slow)
	}
	if f.sum() != 2*maxKinds+9 {
		t.Error(f.sum())
	}
}

func TestBottleneck(t *testing.T) {
	busy, idle := 99.0, 20.0
	for _, c := range []struct {
		use  ToolUse
		want string
	}{
		{ToolUse{OwnPercent: 5, BusyPercent: &busy}, ""},
		{ToolUse{OwnPercent: 30, BusyPercent: &idle, TimerLate: Quantiles{P99: 19}}, ""},
		{ToolUse{OwnPercent: 30}, ""},
		{ToolUse{OwnPercent: 30, BusyPercent: &busy}, "99 % busy, 30 % with the tool"},
		{ToolUse{OwnPercent: 41, BusyPercent: &busy}, "it used 41 %"},
		{ToolUse{TimerLate: Quantiles{P99: 25, Max: 70}}, "25 ms late (p99; up to 70 ms)"},
	} {
		if got := bottleneck(c.use.slow()); (c.want == "") != (got == "") || !strings.Contains(got, c.want) {
			t.Errorf("%+v: %q", c.use, got)
		}
	}
}

func TestFilesOfProc(t *testing.T) {
	stat := "7 (a b) c) S 1 7 7 0 -1 4194560 1 2 3 4 150 50 7 8 20 0 9 0 100 2000 300 18446744073709551615"
	u, err := parseStat([]byte(stat))
	if err != nil || u.cpu != 2*time.Second || u.rss != 300*int64(syscall.Getpagesize()) {
		t.Errorf("%+v %v", u, err)
	}
	for _, bad := range []string{"", "7 (x) S", strings.Replace(stat, "150", "x", 1)} {
		if _, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	if busy, idle, ok := parseMachine([]byte("cpu  1 2 3 40 5 6 7 8 1 1\ncpu0 0")); !ok || busy != 27 || idle != 45 {
		t.Error(busy, idle, ok)
	}
	for _, bad := range []string{"", "cpu", "intr 1 2 3 4 5", "cpu a b c d e"} {
		if _, _, ok := parseMachine([]byte(bad)); ok {
			t.Errorf("%q is taken", bad)
		}
	}
	for s, want := range map[string]int{"32768\t60999\n": 28232, "5 5": 1, "5 4": 0, "5": 0, "a 5": 0, "5 70000": 0, "": 0} {
		if got, ok := parsePortRange(s); got != want || ok != (want > 0) {
			t.Errorf("%q: %d", s, got)
		}
	}
	if pids, err := ParsePIDs("12, 13\n14"); err != nil || fmt.Sprint(pids) != "[12 13 14]" {
		t.Error(pids, err)
	}
	for _, bad := range []string{"x", "-1", "0", "1,2x"} {
		if _, err := ParsePIDs(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

// A meter sees that this process works, and that a server is gone.
func TestMeter(t *testing.T) {
	m, err := newMeter([]int{syscall.Getpid()})
	if err != nil {
		t.Fatal(err)
	}
	defer m.close()
	sum := byte(0)
	for end := time.Now().Add(100 * time.Millisecond); time.Now().Before(end); {
		for _, b := range bytes.Repeat([]byte{1}, 1<<16) {
			sum += b
		}
	}
	w := m.end(1)
	if w.tool.CPUSeconds < 0.02 || w.server == nil || w.server.CPUSeconds < 0.02 || w.server.RSS <= 0 || w.took < 100*time.Millisecond || sum != 0 && sum == 1 {
		t.Errorf("%+v %+v", w, w.server)
	}
	m.pids = []int{1 << 30}
	if w := m.end(1); w.server != nil || len(w.notes) != 1 {
		t.Errorf("%+v", w)
	}
}
