package hlstest

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"
)

// list is a playlist that keeps all rules: 1 s parts of 0.2 s, target 4 s. It
// lists from to to, and parts of segment to+1. Segment 3 is behind a
// discontinuity.
type list struct {
	from, to, parts int
	ended           bool
	skip            int
}

func (l list) String() string {
	var b strings.Builder
	sequence := 7
	if l.from > 3 {
		sequence = 8
	}
	fmt.Fprintf(&b, `#EXTM3U
#EXT-X-VERSION:9
#EXT-X-TARGETDURATION:4
#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL=24.0,HOLD-BACK=12.0,PART-HOLD-BACK=0.600
#EXT-X-PART-INF:PART-TARGET=0.200
#EXT-X-INDEPENDENT-SEGMENTS
#EXT-X-MEDIA-SEQUENCE:%d
#EXT-X-DISCONTINUITY-SEQUENCE:%d
`, l.from, sequence)
	if l.skip > 0 {
		fmt.Fprintf(&b, "#EXT-X-SKIP:SKIPPED-SEGMENTS=%d\n", l.skip)
	}
	for n := l.from + l.skip; n <= l.to; n++ {
		l.head(&b, n)
		if l.to-n < 6 && 2*(l.to-n+1)*10+2*l.parts <= 120 {
			appendParts(&b, n, 10)
		}
		fmt.Fprintf(&b, "#EXTINF:2.00000,\nvideo-%d.mp4\n", n)
	}
	if l.parts > 0 {
		l.head(&b, l.to+1)
		appendParts(&b, l.to+1, l.parts)
	}
	if l.ended {
		return b.String() + "#EXT-X-ENDLIST\n"
	}
	fmt.Fprintf(&b, "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"video-%d-%d.mp4\"\n", l.to+1, l.parts)
	fmt.Fprintf(&b, "#EXT-X-RENDITION-REPORT:URI=\"audio.m3u8\",LAST-MSN=%d,LAST-PART=%d\n", l.to+1, l.parts)
	return b.String()
}

func (l list) head(b *strings.Builder, n int) {
	if n == 3 {
		b.WriteString("#EXT-X-DISCONTINUITY\n#EXT-X-MAP:URI=\"video-init-3.mp4\"\n")
	} else if n == l.from+l.skip {
		fmt.Fprintf(b, "#EXT-X-MAP:URI=\"video-init-%d.mp4\"\n", map[bool]int{true: 3}[n > 3])
	}
	fmt.Fprintf(b, "#EXT-X-PROGRAM-DATE-TIME:%s\n", time.Unix(int64(2*n), 0).UTC().Format("2006-01-02T15:04:05.000Z07:00"))
}

func withoutMap(s string) string {
	return regexp.MustCompile("#EXT-X-MAP.*\n").ReplaceAllString(s, "")
}

func appendParts(b *strings.Builder, n, parts int) {
	for p := range parts {
		fmt.Fprintf(b, "#EXT-X-PART:DURATION=0.20000,URI=\"video-%d-%d.mp4\"", n, p)
		if p == 0 {
			b.WriteString(",INDEPENDENT=YES")
		}
		b.WriteString("\n")
	}
}

// states are what a follower sees.
func states() []string {
	return []string{
		list{from: 1, to: 15}.String(), list{from: 1, to: 15, parts: 1}.String(), list{from: 1, to: 15, parts: 2}.String(),
		list{from: 2, to: 16}.String(), list{from: 4, to: 18, parts: 3}.String(), list{from: 4, to: 19, ended: true}.String(),
	}
}

func TestWalkerAgrees(t *testing.T) {
	var w Walker
	for i, s := range states() {
		w.Look([]byte(s))
		if i == 2 {
			w.Delta([]byte(list{from: 1, to: 15, parts: 2, skip: 3}.String()))
		}
	}
	if len(w.Findings) > 0 {
		t.Error(strings.Join(w.Findings, "\n"))
	}
}

// breach is a playlist broken on purpose: in one state, text is replaced.
type breach struct {
	rule     string
	state    int
	old, new string
	want     string // in a finding
}

var breaches = []breach{
	{"no #EXTM3U", 1, "#EXTM3U\n", "", "#EXTM3U"},
	{"an unknown tag", 1, "#EXT-X-VERSION:9\n", "#EXT-X-VERSION:9\n#EXT-X-FOO\n", "unknown tag"},
	{"a tag twice", 1, "#EXT-X-VERSION:9\n", "#EXT-X-VERSION:9\n#EXT-X-VERSION:9\n", "a second time"},
	{"a header behind segments", 1, "video-1.mp4\n", "video-1.mp4\n#EXT-X-MEDIA-SEQUENCE:1\n", "a second time"},
	{"version", 1, "VERSION:9", "VERSION:6", "version 6"},
	{"an attribute without quotes", 1, `URI="video-16-0.mp4"`, `URI=video-16-0.mp4`, "quoted false"},
	{"an attribute with quotes", 1, `INDEPENDENT=YES`, `INDEPENDENT="YES"`, "quoted true"},
	{"a trailing comma", 1, `INDEPENDENT=YES`, `INDEPENDENT=YES,`, "no attribute behind"},
	{"no blocking reload", 1, "CAN-BLOCK-RELOAD=YES,", "", "server control"},
	{"skip boundary under six targets", 1, "CAN-SKIP-UNTIL=24.0", "CAN-SKIP-UNTIL=23.0", "server control"},
	{"no skip boundary", 1, "CAN-SKIP-UNTIL=24.0,", "", "server control"},
	{"hold back under three targets", 1, "HOLD-BACK=12.0", "HOLD-BACK=11.0", "server control"},
	{"part hold back under three parts", 1, "PART-HOLD-BACK=0.600", "PART-HOLD-BACK=0.500", "server control"},
	{"the target changes", 1, "TARGETDURATION:4", "TARGETDURATION:3", "a promise changed"},
	{"the part target changes", 1, "PART-TARGET=0.200", "PART-TARGET=0.210", "a promise changed"},
	{"no preload hint", 1, "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"video-16-1.mp4\"\n", "", "preload hint"},
	{"a hint that does not come true", 1, "URI=\"video-16-1.mp4\"\n", "URI=\"video-16-9.mp4\"\n", "did not come next"},
	{"a hint at the end", 5, "#EXT-X-ENDLIST\n", "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"x\"\n#EXT-X-ENDLIST\n", "preload hint"},
	{"a segment longer than the target", 0, "#EXTINF:2.00000,\nvideo-3.mp4", "#EXTINF:4.50000,\nvideo-3.mp4", "segment 3 of 4.5 s"},
	{"a segment of no duration", 0, "#EXTINF:2.00000,\nvideo-3.mp4", "#EXTINF:0.00000,\nvideo-3.mp4", "segment 3 of 0 s"},
	{"a part longer than the target", 0, "DURATION=0.20000,URI=\"video-15-3", "DURATION=0.20001,URI=\"video-15-3", "part video-15-3.mp4 of 0.20001"},
	{"a part under 85 %", 0, "DURATION=0.20000,URI=\"video-15-3", "DURATION=0.16999,URI=\"video-15-3", "under 85%"},
	{"parts that do not add up", 0, "DURATION=0.20000,URI=\"video-15-9", "DURATION=0.19000,URI=\"video-15-9", "has parts of 1.98"},
	{"no program date time", 0, "#EXT-X-PROGRAM-DATE-TIME:1970-01-01T00:00:10.000Z\n", "", "segment 5 has no program date time"},
	{"a hole in program date time", 0, "T00:00:10.000Z", "T00:00:10.020Z", "beside the end"},
	{
		"program date time behind the first part", 1, "#EXT-X-PROGRAM-DATE-TIME:1970-01-01T00:00:32.000Z\n#EXT-X-PART:DURATION=0.20000,URI=\"video-16-0.mp4\",INDEPENDENT=YES\n",
		"#EXT-X-PART:DURATION=0.20000,URI=\"video-16-0.mp4\",INDEPENDENT=YES\n#EXT-X-PROGRAM-DATE-TIME:1970-01-01T00:00:32.000Z\n", "behind the segment's first part",
	},
	{"map behind the first part", 0, "#EXT-X-PART:DURATION=0.20000,URI=\"video-15-1.mp4\"\n", "#EXT-X-PART:DURATION=0.20000,URI=\"video-15-1.mp4\"\n#EXT-X-MAP:URI=\"x\"\n", "behind the segment's first part"},
	{"discontinuity behind the first part", 0, "#EXT-X-PART:DURATION=0.20000,URI=\"video-15-1.mp4\"\n", "#EXT-X-PART:DURATION=0.20000,URI=\"video-15-1.mp4\"\n#EXT-X-DISCONTINUITY\n", "behind the segment's first part"},
	{"no map", 0, "#EXT-X-MAP:URI=\"video-init-0.mp4\"\n", "", "no initialization section"},
	{"a dependent segment", 0, "URI=\"video-15-0.mp4\",INDEPENDENT=YES", "URI=\"video-15-0.mp4\"", "begins with a dependent part"},
	{"segments are independent again", 0, "#EXT-X-INDEPENDENT-SEGMENTS\n", "", "independent again"},
	{"old parts", 0, "#EXTINF:2.00000,\nvideo-9.mp4", "#EXT-X-PART:DURATION=0.20000,URI=\"video-9-0.mp4\",INDEPENDENT=YES\n#EXTINF:2.00000,\nvideo-9.mp4", "parts of segment 9 are"},
	{"a part's duration changes", 2, "DURATION=0.20000,URI=\"video-16-0", "DURATION=0.19000,URI=\"video-16-0", "part 0 of segment 16 changed"},
	{"a part's name changes", 2, "video-16-0.mp4", "video-16-0b.mp4", "part 0 of segment 16 changed"},
	{"a part is listed twice", 2, "video-16-1.mp4", "video-16-0.mp4", "name video-16-0.mp4"},
	{"a name is used again", 3, "video-16.mp4", "video-15.mp4", "name video-15.mp4 in segments"},
	{"a segment's duration changes", 1, "#EXTINF:2.00000,\nvideo-8.mp4", "#EXTINF:2.00100,\nvideo-8.mp4", "segment 8 changed"},
	{"a segment's time changes", 1, "T00:00:16.000Z", "T00:00:16.001Z", "segment 8 changed"},
	{"a discontinuity goes", 1, "#EXT-X-DISCONTINUITY\n", "", "segment 3 changed"},
	{"the sequence goes back", 1, "MEDIA-SEQUENCE:1\n", "MEDIA-SEQUENCE:0\n", "numbers went back"},
	{"the discontinuity sequence goes back", 1, "DISCONTINUITY-SEQUENCE:7", "DISCONTINUITY-SEQUENCE:6", "numbers went back"},
	{"the discontinuity sequence does not rise", 4, "DISCONTINUITY-SEQUENCE:8", "DISCONTINUITY-SEQUENCE:7", "with 1 tags removed"},
	{"the discontinuity sequence rises for nothing", 3, "DISCONTINUITY-SEQUENCE:7", "DISCONTINUITY-SEQUENCE:8", "with 0 tags removed"},
	{"parts without a part target", 1, "#EXT-X-PART-INF:PART-TARGET=0.200\n", "", "without a part target"},
	{"something behind the end", 5, "#EXT-X-ENDLIST\n", "#EXT-X-ENDLIST\n#EXTINF:2.00000,\nvideo-20.mp4\n", "behind the end"},
	{"a URI without EXTINF", 1, "#EXTINF:2.00000,\nvideo-8.mp4", "video-8.mp4", "without EXTINF"},
}

// TestWalkerFinds breaks each rule on purpose.
func TestWalkerFinds(t *testing.T) {
	for _, b := range breaches {
		t.Run(b.rule, func(t *testing.T) {
			var w Walker
			for i, s := range states() {
				if i == b.state {
					if !strings.Contains(s, b.old) {
						t.Fatalf("no %q in\n%s", b.old, s)
					}
					s = strings.Replace(s, b.old, b.new, 1)
				}
				w.Look([]byte(s))
			}
			if got := strings.Join(w.Findings, "\n"); !strings.Contains(got, b.want) {
				t.Errorf("found %q, not %q", got, b.want)
			}
		})
	}
}

// TestWalkerFindsInSequences breaks rules by which states follow each other.
func TestWalkerFindsInSequences(t *testing.T) {
	for _, c := range []struct {
		rule   string
		states []string
		want   string
	}{
		{"the end goes back", []string{list{from: 1, to: 15, parts: 2}.String(), list{from: 1, to: 15, parts: 1}.String()}, "the end went back"},
		{"it goes on after its end", []string{list{from: 1, to: 15, ended: true}.String(), list{from: 1, to: 16}.String()}, "goes on after its end"},
		{"it ends twice", []string{list{from: 1, to: 15, ended: true}.String(), list{from: 1, to: 16, ended: true}.String()}, "goes on after its end"},
		{"too little is left", []string{list{from: 1, to: 8}.String(), list{from: 4, to: 8}.String()}, "5 segments of 10 s are left"},
		{"no segment", []string{strings.Split(list{from: 1, to: 1}.String(), "#EXT-X-MAP")[0] + "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"x\"\n"}, "no whole segment"},
		{"parts are not listed long enough", []string{dropParts(list{from: 1, to: 15}.String(), 15)}, "lists no parts"},
		{"a delta update skips too much", []string{list{from: 1, to: 15}.String(), list{from: 1, to: 15, parts: 1, skip: 5}.String()}, "a delta update lists"},
		{"a delta update without its map", []string{list{from: 1, to: 15}.String(), withoutMap(list{from: 1, to: 15, parts: 1, skip: 3}.String())}, "which initialization section segment 4 needs"},
	} {
		t.Run(c.rule, func(t *testing.T) {
			var w Walker
			for _, s := range c.states {
				w.Look([]byte(s))
			}
			if got := strings.Join(w.Findings, "\n"); !strings.Contains(got, c.want) {
				t.Errorf("found %q, not %q", got, c.want)
			}
		})
	}
}

// dropParts leaves out the parts of a segment.
func dropParts(s string, n int) string {
	var b strings.Builder
	for line := range strings.Lines(s) {
		if !strings.HasPrefix(line, "#EXT-X-PART:") || !strings.Contains(line, fmt.Sprintf("video-%d-", n)) {
			b.WriteString(line)
		}
	}
	return b.String()
}

// TestWalkerFindsInDeltas breaks delta updates.
func TestWalkerFindsInDeltas(t *testing.T) {
	whole := list{from: 1, to: 15, parts: 2}
	delta := list{from: 1, to: 15, parts: 2, skip: 3}
	for _, c := range []struct{ rule, delta, want string }{
		{"another state", list{from: 1, to: 15, parts: 1, skip: 3}.String(), "another state"},
		{"skips too little", list{from: 1, to: 15, parts: 2, skip: 2}.String(), "skips 2 segments, not 3"},
		{"skips nothing", whole.String(), "skips 0 segments, not 3"},
		{"another duration", strings.Replace(delta.String(), "#EXTINF:2.00000,\nvideo-8.mp4", "#EXTINF:1.99999,\nvideo-8.mp4", 1), "makes up"},
		{"another hint", strings.Replace(delta.String(), "URI=\"video-16-2", "URI=\"video-16-3", 1), "makes up"},
		{"another report", strings.Replace(delta.String(), "LAST-PART=2", "LAST-PART=1", 1), "makes up"},
		{"other numbers", strings.Replace(delta.String(), "DISCONTINUITY-SEQUENCE:7", "DISCONTINUITY-SEQUENCE:8", 1), "makes up"},
		{"malformed", strings.Replace(delta.String(), "SKIPPED-SEGMENTS=3", "SKIPPED-SEGMENTS=x", 1), "invalid syntax"},
	} {
		t.Run(c.rule, func(t *testing.T) {
			var w Walker
			w.Look([]byte(whole.String()))
			w.Delta([]byte(c.delta))
			if got := strings.Join(w.Findings, "\n"); !strings.Contains(got, c.want) {
				t.Errorf("found %q, not %q", got, c.want)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range states() {
		f.Add([]byte(s))
	}
	for _, b := range breaches {
		f.Add([]byte(strings.Replace(states()[b.state], b.old, b.new, 1)))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var w Walker
		if p := w.Look(b); p != nil {
			w.Delta(b)
		}
		if m, err := ParseMultivariant(b); err == nil {
			m.check()
		}
	})
}
