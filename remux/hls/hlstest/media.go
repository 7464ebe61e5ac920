package hlstest

import (
	"bytes"
	"math"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4"
)

// Fetched is what was fetched of a whole segment.
type Fetched struct {
	Init, Whole []byte
	// Parts are the parts' bytes in their order, nil if they were not listed.
	Parts [][]byte
}

// media is what a Walker knows of the files.
type media struct {
	init      []byte
	timescale float64
	codec     string // as CODECS must say it, or how that begins
	video     bool
	width     int
	height    int

	number   int64 // of the segment that was fetched last
	next     int64 // where it ends, in ticks
	sequence uint32
	measured []measured
	// offsets are what must be added to a segment's media times to have
	// program date time, by media sequence number.
	offsets map[int64]float64
}

// measured is the size of a segment.
type measured struct {
	bits, seconds float64
	frames        int
}

// Fetched takes the files of the whole segment number, which Look has seen,
// in the order of segments.
func (w *Walker) Fetched(number int64, f Fetched) {
	s, ok := w.known[number]
	if !ok || s.URI == "" || s.Gap {
		w.find("segment %d was fetched, and no playlist lists it whole", number)
		return
	}
	if !bytes.Equal(f.Init, w.init) {
		if !w.describe(f.Init) {
			return
		}
	}
	var fragments fmp4.Parts
	if err := fragments.Unmarshal(f.Whole); err != nil {
		w.find("segment %d: %v", number, err)
		return
	}
	if f.Parts != nil && !bytes.Equal(bytes.Join(f.Parts, nil), f.Whole) {
		w.find("segment %d is not what its parts are", number)
	}
	if len(fragments) == 0 || len(s.Parts) > 0 && len(s.Parts) != len(fragments) {
		w.find("segment %d has %d fragments and lists %d parts", number, len(fragments), len(s.Parts))
		return
	}
	w.fragments(&s, fragments, len(f.Whole))
	w.number = number
}

// fragments checks what a segment holds.
func (w *Walker) fragments(s *Segment, fragments fmp4.Parts, size int) {
	begin := w.next
	total := measured{bits: float64(8 * size)}
	for i, f := range fragments {
		if len(f.Tracks) != 1 || len(f.Tracks[0].Samples) == 0 {
			w.find("fragment %d of segment %d has no track or no sample", i, s.Number)
			return
		}
		t := f.Tracks[0]
		base := int64(t.BaseTime)
		follows := i > 0 || w.number > 0 && s.Number == w.number+1 && !s.Discontinuity
		hole := w.Irregular && i == 0 && base > w.next
		if follows && base != w.next && !hole {
			w.find("fragment %d of segment %d begins at %d, the one before ends at %d", i, s.Number, base, w.next)
		}
		if w.number > 0 && f.SequenceNumber <= w.sequence {
			w.find("fragment %d of segment %d has sequence number %d after %d", i, s.Number, f.SequenceNumber, w.sequence)
		}
		w.sequence = f.SequenceNumber
		if i == 0 {
			begin = base
			w.place(s, float64(base)+float64(t.Samples[0].PTSOffset))
		}
		w.next = base
		for _, sample := range t.Samples {
			if sample.Duration == 0 && !w.Irregular {
				w.find("a sample of segment %d has no duration", s.Number)
			}
			w.next += int64(sample.Duration)
			total.frames++
		}
		if len(s.Parts) > 0 {
			w.part(s, &s.Parts[i], t, float64(w.next-base)/w.timescale)
		}
	}
	total.seconds = float64(w.next-begin) / w.timescale
	// Each end may be rounded to a tick.
	if math.Abs(total.seconds-s.Duration) > printed+1/w.timescale {
		w.find("segment %d lasts %v s, the playlist says %v", s.Number, total.seconds, s.Duration)
	}
	w.measured = append(w.measured, total)
}

// part checks what a part holds against its tag.
func (w *Walker) part(s *Segment, p *Part, t *fmp4.PartTrack, seconds float64) {
	independent := false
	for _, sample := range t.Samples {
		independent = independent || !sample.IsNonSyncSample
	}
	if p.Independent != independent {
		w.find("part %s says independent %v", p.URI, p.Independent)
	}
	if w.last.Independent && p == &s.Parts[0] && t.Samples[0].IsNonSyncSample {
		w.find("segment %d does not begin at a random access point", s.Number)
	}
	long := w.Irregular && p.Duration == w.last.PartTarget && seconds > p.Duration
	if math.Abs(seconds-p.Duration) > printed && !long {
		w.find("part %s lasts %v s, the playlist says %v", p.URI, seconds, p.Duration)
	}
}

// place takes note of when the stream's clock says a segment's first sample,
// shown at so many ticks, is.
func (w *Walker) place(s *Segment, ticks float64) {
	if w.offsets == nil {
		w.offsets = map[int64]float64{}
	}
	w.offsets[s.Number] = float64(s.Time.UnixNano())/float64(time.Second) - ticks/w.timescale
}

// peak is the highest bit rate of a run of segments that lasts half the target
// duration to one and a half of it (RFC 8216bis, 4.4.6.2).
func (w *Walker) peak() float64 {
	if w.last == nil {
		return 0
	}
	highest := 0.0
	for i := range w.measured {
		var run measured
		for _, m := range w.measured[i:] {
			run.bits, run.seconds = run.bits+m.bits, run.seconds+m.seconds
			if run.seconds > 1.5*w.last.Target {
				break
			}
			if run.seconds >= 0.5*w.last.Target-0.001 {
				highest = max(highest, run.bits/run.seconds)
			}
		}
	}
	return highest
}

// sum is all that was measured.
func (w *Walker) sum() measured {
	var all measured
	for _, m := range w.measured {
		all.bits, all.seconds, all.frames = all.bits+m.bits, all.seconds+m.seconds, all.frames+m.frames
	}
	return all
}
