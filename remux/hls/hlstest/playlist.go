// Package hlstest reads media playlists line by line and holds them against
// the rules of Low-Latency HLS (RFC 8216bis), for tests.
package hlstest

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Part is an EXT-X-PART.
type Part struct {
	URI              string
	Duration         float64
	Independent, Gap bool
}

// Segment is a segment with the tags that stand before it, or the parts of
// the one that grows.
type Segment struct {
	Number        int64
	URI           string // empty while it grows
	Duration      float64
	Discontinuity bool
	Gap           bool
	Map           string // the EXT-X-MAP in force
	Time          time.Time
	Parts         []Part
}

// Report is an EXT-X-RENDITION-REPORT.
type Report struct {
	URI              string
	LastMSN, LastPrt int64
}

// Playlist is a media playlist.
type Playlist struct {
	Version               int
	Target                float64
	PartTarget            float64
	HoldBack              float64
	PartHoldBack          float64
	SkipUntil             float64
	CanBlock              bool
	Control               string // EXT-X-SERVER-CONTROL as it is written
	Independent           bool
	MediaSequence         int64
	DiscontinuitySequence int64
	Skipped               int
	Segments              []Segment
	Hint                  string
	Reports               []Report
	Ended                 bool
}

// Parse reads a media playlist and refuses what is malformed, out of order or
// unknown to it.
func Parse(b []byte) (*Playlist, error) {
	lines := strings.Split(string(b), "\n")
	if lines[0] != "#EXTM3U" || lines[len(lines)-1] != "" {
		return nil, fmt.Errorf("playlist of %d bytes does not begin with #EXTM3U and end with a line feed", len(b))
	}
	p := parser{playlist: &Playlist{}, seen: map[string]bool{}}
	for i, line := range lines[1 : len(lines)-1] {
		if err := p.line(line); err != nil {
			return nil, fmt.Errorf("line %d, %q: %w", i+2, line, err)
		}
	}
	if len(p.open.Parts) > 0 {
		p.playlist.Segments = append(p.playlist.Segments, p.open)
	} else if p.dangling {
		return nil, fmt.Errorf("tags of a segment that has no part")
	}
	return p.playlist, nil
}

type parser struct {
	playlist *Playlist
	seen     map[string]bool
	open     Segment
	dangling bool
	hasInf   bool
	current  string // EXT-X-MAP
	tail     bool   // behind the last segment
}

var once = map[string]bool{
	"EXT-X-VERSION": true, "EXT-X-TARGETDURATION": true, "EXT-X-SERVER-CONTROL": true, "EXT-X-PART-INF": true,
	"EXT-X-INDEPENDENT-SEGMENTS": true, "EXT-X-MEDIA-SEQUENCE": true, "EXT-X-DISCONTINUITY-SEQUENCE": true,
	"EXT-X-SKIP": true, "EXT-X-ENDLIST": true, "EXT-X-PRELOAD-HINT": true,
}

func (p *parser) line(line string) error {
	if !strings.HasPrefix(line, "#") {
		return p.uri(line)
	}
	name, value, _ := strings.Cut(line[1:], ":")
	if once[name] {
		if p.seen[name] {
			return fmt.Errorf("a second time")
		}
		p.seen[name] = true
	}
	switch name {
	case "EXT-X-PRELOAD-HINT", "EXT-X-RENDITION-REPORT", "EXT-X-ENDLIST":
		p.tail = true
		return p.tailTag(name, value)
	case "EXT-X-DISCONTINUITY", "EXT-X-MAP", "EXT-X-PROGRAM-DATE-TIME", "EXT-X-PART", "EXT-X-GAP", "EXTINF":
		if p.tail {
			return fmt.Errorf("behind the end")
		}
		return p.segmentTag(name, value)
	}
	if len(p.playlist.Segments) > 0 || p.dangling {
		return fmt.Errorf("not in the header")
	}
	return p.headerTag(name, value)
}

func (p *parser) headerTag(name, value string) error {
	l := p.playlist
	var a map[string]string
	var err error
	switch name {
	case "EXT-X-SERVER-CONTROL", "EXT-X-PART-INF", "EXT-X-SKIP":
		if a, err = attributes(value); err != nil {
			return err
		}
	}
	switch name {
	case "EXT-X-VERSION":
		l.Version, err = strconv.Atoi(value)
	case "EXT-X-TARGETDURATION":
		var n int
		n, err = strconv.Atoi(value)
		l.Target = float64(n)
	case "EXT-X-SERVER-CONTROL":
		l.CanBlock, l.Control = a["CAN-BLOCK-RELOAD"] == "YES", value
		l.SkipUntil, l.HoldBack, l.PartHoldBack = number(a["CAN-SKIP-UNTIL"]), number(a["HOLD-BACK"]), number(a["PART-HOLD-BACK"])
	case "EXT-X-PART-INF":
		l.PartTarget = number(a["PART-TARGET"])
	case "EXT-X-INDEPENDENT-SEGMENTS":
		l.Independent = true
	case "EXT-X-MEDIA-SEQUENCE":
		l.MediaSequence, err = strconv.ParseInt(value, 10, 64)
		p.open.Number = l.MediaSequence
	case "EXT-X-DISCONTINUITY-SEQUENCE":
		l.DiscontinuitySequence, err = strconv.ParseInt(value, 10, 64)
	case "EXT-X-SKIP":
		l.Skipped, err = strconv.Atoi(a["SKIPPED-SEGMENTS"])
		p.open.Number += int64(l.Skipped)
		p.current = "skipped"
	default:
		return fmt.Errorf("unknown tag")
	}
	return err
}

func (p *parser) segmentTag(name, value string) error {
	var a map[string]string
	var err error
	if name == "EXT-X-MAP" || name == "EXT-X-PART" {
		if a, err = attributes(value); err != nil {
			return err
		}
	}
	if name != "EXT-X-PART" && name != "EXTINF" && name != "EXT-X-GAP" && len(p.open.Parts) > 0 {
		return fmt.Errorf("behind the segment's first part")
	}
	p.dangling = true
	switch name {
	case "EXT-X-DISCONTINUITY":
		p.open.Discontinuity = true
	case "EXT-X-MAP":
		p.current = a["URI"]
	case "EXT-X-PROGRAM-DATE-TIME":
		p.open.Time, err = time.Parse(time.RFC3339Nano, value)
	case "EXT-X-PART":
		p.open.Map = p.current
		part := Part{URI: a["URI"], Duration: number(a["DURATION"]), Independent: a["INDEPENDENT"] == "YES", Gap: a["GAP"] == "YES"}
		if part.URI == "" || math.IsNaN(part.Duration) {
			return fmt.Errorf("no URI or no DURATION")
		}
		p.open.Parts = append(p.open.Parts, part)
	case "EXT-X-GAP":
		p.open.Gap = true
	case "EXTINF":
		duration, _, ok := strings.Cut(value, ",")
		p.open.Duration = number(duration)
		if !ok || math.IsNaN(p.open.Duration) {
			return fmt.Errorf("no duration and comma")
		}
		p.hasInf = true
	}
	return err
}

func (p *parser) tailTag(name, value string) error {
	a, err := attributes(value)
	if err != nil {
		return err
	}
	switch name {
	case "EXT-X-PRELOAD-HINT":
		if a["TYPE"] != "PART" || a["URI"] == "" {
			return fmt.Errorf("not of a part")
		}
		p.playlist.Hint = a["URI"]
	case "EXT-X-RENDITION-REPORT":
		r := Report{URI: a["URI"], LastPrt: -1}
		if r.LastMSN, err = strconv.ParseInt(a["LAST-MSN"], 10, 64); err != nil {
			return err
		}
		if a["LAST-PART"] != "" {
			r.LastPrt, err = strconv.ParseInt(a["LAST-PART"], 10, 64)
		}
		p.playlist.Reports = append(p.playlist.Reports, r)
	case "EXT-X-ENDLIST":
		p.playlist.Ended = true
	}
	return err
}

func (p *parser) uri(line string) error {
	if line == "" || p.tail || !p.hasInf {
		return fmt.Errorf("a URI without EXTINF")
	}
	p.open.URI, p.open.Map = line, p.current
	p.playlist.Segments = append(p.playlist.Segments, p.open)
	p.open = Segment{Number: p.open.Number + 1}
	p.hasInf, p.dangling = false, false
	return nil
}

func number(s string) float64 {
	v, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return math.NaN()
	}
	return v
}
