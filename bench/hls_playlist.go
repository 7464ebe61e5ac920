package bench

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

const (
	// maxPlaylist bounds a playlist, in bytes: an hour of 200 ms parts has 2 MB.
	maxPlaylist = 4 << 20
	// maxSeconds bounds every duration of a playlist.
	maxSeconds = 1e6
)

// resource is a file, or a range of one if size is not 0.
type resource struct {
	uri         string
	begin, size int64
}

// mediaList is a media playlist, as far as a player goes by it (RFC 8216bis).
type mediaList struct {
	target, partTarget     time.Duration // partTarget is 0 without parts
	holdBack, partHoldBack time.Duration
	blocks, skips, ended   bool
	sequence, skipped      int64
	// segments are those that the playlist lists; the last one may be open:
	// still growing, without a URI.
	segments []listed
	hint     resource
}

// listed is a segment of a playlist.
type listed struct {
	resource
	number   int64
	duration time.Duration
	date     time.Time // zero is unknown
	gap      bool
	init     resource
	parts    []part
}

func (s *listed) open() bool { return s.uri == "" }

// part is a partial segment.
type part struct {
	resource
	duration         time.Duration
	independent, gap bool
}

// multivariant is what a player takes of a multivariant playlist: its first
// variant, and the sound that belongs to that.
type multivariant struct{ video, audio string }

// isMedia tells a media playlist from a multivariant one (4.1).
func isMedia(text string) bool { return strings.Contains(text, "#EXT-X-TARGETDURATION") }

func parseMultivariant(text string) (m multivariant, err error) {
	sounds := map[string]string{} // by group, the default one or else the first
	group, next := "", false
	for line := range lines(text) {
		name, value, _ := strings.Cut(line, ":")
		switch {
		case name == "#EXT-X-MEDIA":
			a := attributes(value)
			if a["TYPE"] == "AUDIO" && (sounds[a["GROUP-ID"]] == "" || a["DEFAULT"] == "YES") {
				sounds[a["GROUP-ID"]] = a["URI"]
			}
		case name == "#EXT-X-STREAM-INF" && m.video == "":
			group, next = attributes(value)["AUDIO"], true
		case next && line != "" && line[0] != '#':
			m.video, next = line, false
		}
	}
	if m.video == "" {
		return m, fmt.Errorf("%w: a playlist without a variant and without a target duration", errProtocol)
	}
	m.audio = sounds[group]
	return m, nil
}

// parseMedia reads a media playlist. Tags that it does not know are ignored, as
// players do.
func parseMedia(text string) (*mediaList, error) {
	if !strings.HasPrefix(text, "#EXTM3U") {
		return nil, fmt.Errorf("%w: a playlist that begins with %.20q", errProtocol, text)
	}
	p := listParser{list: &mediaList{}}
	for line := range lines(text) {
		if line == "" {
			continue
		}
		if line[0] != '#' {
			p.segment(line)
			continue
		}
		name, value, _ := strings.Cut(line, ":")
		if err := p.tag(name, value); err != nil {
			return nil, fmt.Errorf("%w: %s: %w", errProtocol, name, err)
		}
	}
	l := p.list
	if l.target == 0 {
		return nil, fmt.Errorf("%w: a playlist without a target duration", errProtocol)
	}
	if len(p.open.parts) > 0 {
		p.close()
	}
	for i := range l.segments {
		l.segments[i].number = l.sequence + l.skipped + int64(i)
	}
	return l, nil
}

// lines are those of a text, without what ends them.
func lines(text string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for line := range strings.Lines(text) {
			if !yield(strings.TrimRight(line, "\r\n")) {
				return
			}
		}
	}
}

// listParser is in the middle of a playlist.
type listParser struct {
	list *mediaList
	open listed // what is said of the next segment
	init resource
	// next is when the next segment begins, and after where a range goes on
	// that does not say where it begins.
	next  time.Time
	after resource
}

func (p *listParser) tag(name, value string) (err error) {
	l := p.list
	switch name {
	case "#EXT-X-TARGETDURATION":
		l.target, err = seconds(value)
	case "#EXT-X-MEDIA-SEQUENCE":
		l.sequence, err = whole(value)
	case "#EXT-X-PART-INF":
		l.partTarget, err = seconds(attributes(value)["PART-TARGET"])
	case "#EXT-X-SERVER-CONTROL":
		return p.control(attributes(value))
	case "#EXT-X-SKIP":
		l.skipped, err = whole(attributes(value)["SKIPPED-SEGMENTS"])
	case "#EXT-X-MAP":
		a := attributes(value)
		p.init, err = p.resource(a["URI"], a["BYTERANGE"])
	case "#EXT-X-PROGRAM-DATE-TIME":
		p.open.date, err = date(value)
	case "#EXTINF":
		value, _, _ = strings.Cut(value, ",")
		p.open.duration, err = seconds(value)
	case "#EXT-X-BYTERANGE":
		p.open.resource, err = p.resource("", value)
	case "#EXT-X-GAP":
		p.open.gap = true
	case "#EXT-X-PART":
		return p.part(attributes(value))
	case "#EXT-X-PRELOAD-HINT":
		// A hint of a part that grows, at a place without an end, is not followed.
		if a := attributes(value); a["TYPE"] == "PART" && a["BYTERANGE-START"] == "" {
			l.hint.uri = a["URI"]
		}
	case "#EXT-X-ENDLIST":
		l.ended = true
	}
	return err
}

func (p *listParser) control(a map[string]string) error {
	l := p.list
	l.blocks, l.skips = a["CAN-BLOCK-RELOAD"] == "YES", a["CAN-SKIP-UNTIL"] != ""
	for name, to := range map[string]*time.Duration{"HOLD-BACK": &l.holdBack, "PART-HOLD-BACK": &l.partHoldBack} {
		if a[name] == "" {
			continue
		}
		d, err := seconds(a[name])
		if err != nil {
			return err
		}
		*to = d
	}
	return nil
}

func (p *listParser) part(a map[string]string) error {
	d, err := seconds(a["DURATION"])
	if err != nil {
		return err
	}
	r, err := p.resource(a["URI"], a["BYTERANGE"])
	if err != nil {
		return err
	}
	p.open.parts = append(p.open.parts, part{r, d, a["INDEPENDENT"] == "YES", a["GAP"] == "YES"})
	return nil
}

// segment ends a segment with its URI.
func (p *listParser) segment(uri string) {
	if p.open.size > 0 && p.open.begin == 0 && p.after.uri == uri {
		p.open.begin = p.after.begin
	}
	p.open.uri = uri
	p.after = resource{uri: uri, begin: p.open.begin + p.open.size}
	p.close()
}

func (p *listParser) close() {
	s := p.open
	p.open = listed{}
	if s.date.IsZero() {
		s.date = p.next
	}
	s.init = p.init
	p.next = time.Time{}
	if !s.date.IsZero() {
		p.next = s.date.Add(s.duration)
	}
	p.list.segments = append(p.list.segments, s)
}

// resource reads a URI with a range like 1000@2000; without a place the range
// goes on where the last one of the URI ended.
func (p *listParser) resource(uri, span string) (r resource, err error) {
	r.uri = uri
	if span == "" {
		return r, nil
	}
	size, begin, placed := strings.Cut(span, "@")
	if r.size, err = whole(size); err != nil {
		return r, err
	}
	if placed {
		r.begin, err = whole(begin)
	} else if p.after.uri == uri {
		r.begin = p.after.begin
	}
	if uri != "" {
		p.after = resource{uri: uri, begin: r.begin + r.size}
	}
	return r, err
}

func seconds(s string) (time.Duration, error) {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsNaN(f) || f < 0 || f > maxSeconds {
		return 0, fmt.Errorf("%.20q is no time", s)
	}
	return time.Duration(f * float64(time.Second)), nil
}

func whole(s string) (int64, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 || n > 1<<53 {
		return 0, fmt.Errorf("%.20q is no number", s)
	}
	return n, nil
}

// date reads ISO 8601, whose zones may lack the colon.
func date(s string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t, err = time.Parse("2006-01-02T15:04:05Z0700", s)
	}
	return t, err
}

// attributes reads an attribute list (4.2), without the quotes.
func attributes(s string) map[string]string {
	a := map[string]string{}
	for s != "" {
		name, rest, ok := strings.Cut(s, "=")
		if !ok {
			break
		}
		var value string
		if strings.HasPrefix(rest, `"`) {
			value, rest, _ = strings.Cut(rest[1:], `"`)
			_, s, _ = strings.Cut(rest, ",")
		} else {
			value, s, _ = strings.Cut(rest, ",")
		}
		a[strings.TrimSpace(name)] = value
	}
	return a
}
