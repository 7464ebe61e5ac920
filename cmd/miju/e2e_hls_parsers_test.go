package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bluenviron/gohlslib/v2/pkg/playlist"

	"github.com/miju-live/miju/remux/hls/hlstest"
)

// readBy is what a parser found in a media playlist, or in a multivariant one.
// Others wrote the parsers, so they understand the standard by themselves.
type readBy struct {
	Error    string
	Target   int
	Skipped  int
	Sequence int64
	Ended    bool
	Segments []struct {
		URI              string
		Duration         float64
		Time             time.Time
		Number, Sequence int64 // of discontinuities
		Map              string
	}
	Parts []struct {
		URI         string
		Duration    float64
		Independent bool
	}
	Hint       string
	PartTarget float64
	HoldBack   float64
	SkipUntil  float64
	Reports    []struct {
		URI       string
		MSN, Part int64
	}
	Variants, Sounds int
}

// readByNPM has hls-parser read playlists, in its strict mode.
func readByNPM(t *testing.T, texts []string) []readBy {
	t.Helper()
	in, err := json.Marshal(texts)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "node", filepath.Join("..", "..", "origin", "web", "e2e", "parse.mjs"))
	cmd.Stdin = bytes.NewReader(in)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var all []readBy
	if err := json.Unmarshal(out, &all); err != nil || len(all) != len(texts) {
		t.Fatalf("%d results, %v: %s", len(all), err, tail(string(out)))
	}
	return all
}

// secondOpinions holds what hlstest reads in playlists against what hls-parser
// and gohlslib read in them. It returns how many are delta updates that skip
// something, and whether discontinuity sequence numbers rose.
func secondOpinions(t *testing.T, texts []string) (deltas int, rose bool) {
	t.Helper()
	if len(texts) < 20 {
		t.Errorf("%d playlists only", len(texts))
	}
	sequences := map[int64]bool{}
	for i, r := range readByNPM(t, texts) {
		l, err := hlstest.Parse([]byte(texts[i]))
		if err != nil {
			t.Fatal(err)
		}
		sequences[l.DiscontinuitySequence] = true
		if l.Skipped > 0 {
			deltas++
		}
		for by, what := range map[string]string{"hls-parser": r.differs(l), "gohlslib": gohlslibDiffers(texts[i], l)} {
			if what != "" {
				t.Fatalf("%s reads %s in\n%s", by, what, texts[i])
			}
		}
	}
	t.Logf("hls-parser and gohlslib agree on %d playlists, %d of them delta updates", len(texts), deltas)
	return deltas, len(sequences) > 1
}

// differs says in what a parser differs from hlstest; empty if in nothing.
func (r readBy) differs(l *hlstest.Playlist) string {
	switch {
	case r.Error != "":
		return r.Error
	case float64(r.Target) != l.Target || r.PartTarget != l.PartTarget || r.HoldBack != l.HoldBack || r.SkipUntil != l.SkipUntil || r.Ended != l.Ended:
		return fmt.Sprintf("targets %d and %v, hold back %v, skip boundary %v, ended %v", r.Target, r.PartTarget, r.HoldBack, r.SkipUntil, r.Ended)
	case r.Sequence != l.MediaSequence || r.Skipped != l.Skipped || r.Hint != l.Hint:
		return fmt.Sprintf("sequence %d, skipped %d, hint %s", r.Sequence, r.Skipped, r.Hint)
	}
	segments, parts := split(l)
	if len(r.Segments) != len(segments) || len(r.Parts) != len(parts) || len(r.Reports) != len(l.Reports) {
		return fmt.Sprintf("%d segments, %d parts, %d reports", len(r.Segments), len(r.Parts), len(r.Reports))
	}
	for i, s := range r.Segments {
		if w := segments[i]; s.URI != w.URI || s.Duration != w.Duration || !s.Time.Equal(w.Time) || s.Number != w.Number || s.Map != strings.TrimPrefix(w.Map, "skipped") {
			return fmt.Sprintf("segment %+v", s)
		}
	}
	for i, p := range r.Parts {
		if p.URI != parts[i].URI || p.Duration != parts[i].Duration || p.Independent != parts[i].Independent {
			return fmt.Sprintf("part %+v", p)
		}
	}
	for i, p := range r.Reports {
		if p.URI != l.Reports[i].URI || p.MSN != l.Reports[i].LastMSN || p.Part != l.Reports[i].LastPrt {
			return fmt.Sprintf("report %+v", p)
		}
	}
	return ""
}

// split returns the whole segments and all parts.
func split(l *hlstest.Playlist) (segments []hlstest.Segment, parts []hlstest.Part) {
	for _, s := range l.Segments {
		parts = append(parts, s.Parts...)
		if s.URI != "" {
			segments = append(segments, s)
		}
	}
	return segments, parts
}

// gohlslibDiffers says in what gohlslib's parser differs from hlstest.
func gohlslibDiffers(text string, l *hlstest.Playlist) string {
	var m playlist.Media
	if err := m.Unmarshal([]byte(text)); err != nil {
		return err.Error()
	}
	segments, parts := split(l)
	var got []*playlist.MediaPart
	for _, s := range m.Segments {
		got = append(got, s.Parts...)
	}
	got = append(got, m.Parts...)
	if float64(m.TargetDuration) != l.Target || int64(m.MediaSequence) != l.MediaSequence || m.Endlist != l.Ended || len(m.Segments) != len(segments) || len(got) != len(parts) {
		return fmt.Sprintf("target %d, sequence %d, ended %v, %d segments, %d parts", m.TargetDuration, m.MediaSequence, m.Endlist, len(m.Segments), len(got))
	}
	seconds := func(d time.Duration, s float64) bool {
		return (d - time.Duration(s*float64(time.Second))).Abs() < time.Microsecond
	}
	for i, s := range m.Segments {
		if w := segments[i]; s.URI != w.URI || !seconds(s.Duration, w.Duration) || s.DateTime == nil || !s.DateTime.Equal(w.Time) {
			return fmt.Sprintf("segment %+v", s)
		}
	}
	if i := slices.IndexFunc(got, func(p *playlist.MediaPart) bool { return p.URI == "" }); i >= 0 {
		return "a part without URI"
	}
	for i, p := range got {
		if w := parts[i]; p.URI != w.URI || !seconds(p.Duration, w.Duration) || p.Independent != w.Independent {
			return fmt.Sprintf("part %+v", p)
		}
	}
	if hint := m.PreloadHint; (hint != nil) != (l.Hint != "") || hint != nil && hint.URI != l.Hint {
		return fmt.Sprintf("hint %+v", hint)
	}
	if (m.Skip != nil) != (l.Skipped > 0) || m.Skip != nil && m.Skip.SkippedSegments != l.Skipped {
		return fmt.Sprintf("skip %+v", m.Skip)
	}
	return ""
}
