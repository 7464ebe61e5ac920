package ingest

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/miju-live/miju/media"
)

// FuzzTimeline plays frames of random times and tracks. What comes out keeps
// the promises of stream.Publisher.Write, and the tracks' distance unless a
// repair that changes it was counted.
func FuzzTimeline(f *testing.F) {
	// A record is a track, milliseconds since the frame before by DTS and by
	// arrival, and a composition time.
	record := func(b []byte, track byte, step, passed int32, composition int16) []byte {
		b = append(b, track)
		b = binary.BigEndian.AppendUint32(b, uint32(step))
		b = binary.BigEndian.AppendUint32(b, uint32(passed))
		return binary.BigEndian.AppendUint16(b, uint16(composition))
	}
	seed := func(resumed byte, steps ...int32) []byte {
		b := []byte{resumed}
		for i := 0; i+1 < len(steps); i += 2 {
			b = record(b, byte(i/2), steps[i], steps[i+1], int16(i%5-1)*40)
		}
		return b
	}
	f.Add(seed(0, 0, 0, 10, 10, 23, 23, 33, 33))
	f.Add(seed(1, 100000, 0, 10, 10, -100000, 23, 33, 33, 10, 1))
	f.Add(seed(0, 0, 0, 1<<24, 33, -1<<24, 33, 5000, 5000, 5000, 0))
	f.Add(seed(1, 5, 5, 3600000, 20, 3600000, 20, 0, 0, 0, 0, -500, 3))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < 12 {
			return
		}
		var prev *media.TrackSet
		var newest time.Duration
		if b[0]&1 == 1 {
			prev, newest = &media.TrackSet{Tracks: []*media.Track{video, audio}}, time.Hour
		}
		m := fuzzed{t: t, floor: newest, last: map[int]time.Duration{}, distance: map[int]time.Duration{}}
		r := newTimeline(m.take, func(k Repair) { m.repairs[k]++ })
		arrival, dts := epoch, time.Duration(0)
		for b = b[1:]; len(b) >= 11; b = b[11:] {
			track := []*media.Track{video, audio, data}[b[0]%3]
			dts += ms(int(int32(binary.BigEndian.Uint32(b[1:]))))
			arrival = arrival.Add(ms(int(binary.BigEndian.Uint32(b[5:]) % 20000)))
			composition := ms(int(int16(binary.BigEndian.Uint16(b[9:]))))
			frame := media.Frame{Track: track, DTS: dts, PTS: dts + composition, RandomAccess: b[0]&4 == 0, Arrival: arrival}
			frame.Data = binary.BigEndian.AppendUint64(nil, uint64(frame.PTS)) // 8 bytes, which silence has not
			if r.set == nil && !r.begin([]media.Frame{frame}, []*media.Track{track}, prev, newest) {
				continue
			}
			r.write(frame)
			m.hold()
		}
		r.flush()
		m.hold()
	})
}

type fuzzed struct {
	t       *testing.T
	floor   time.Duration
	last    map[int]time.Duration
	repairs [repairKinds]int
	// distance is from the encoder's PTS to the stream's by track, as of when
	// the repairs were seen.
	distance map[int]time.Duration
	seen     [repairKinds]int
	made     int
}

func (m *fuzzed) take(f media.Frame) {
	id := f.Track.ID
	if before, ok := m.last[id]; ok && f.DTS < before+tick || f.DTS < m.floor || f.PTS < f.DTS {
		m.t.Fatalf("%v: DTS %v, PTS %v after %v", f.Track.Codec, f.DTS, f.PTS, before)
	}
	if f.Set == nil || f.Set.Lookup(id) != f.Track || f.Set.Anchor.Wall.IsZero() {
		m.t.Fatalf("set %+v", f.Set)
	}
	m.last[id] = f.DTS
	if m.made++; len(f.Data) == 8 && f.Track.Kind() != media.KindData {
		m.distance[id] = f.PTS - time.Duration(binary.BigEndian.Uint64(f.Data))
	}
}

// hold compares the tracks' distances as long as nothing was repaired.
func (m *fuzzed) hold() {
	if m.made > 1000 {
		m.t.Fatalf("%d frames of one", m.made)
	}
	m.made = 0
	if m.seen != m.repairs {
		m.seen = m.repairs
		clear(m.distance)
		return
	}
	v, hasVideo := m.distance[1]
	a, hasAudio := m.distance[2]
	if hasVideo && hasAudio && v != a && m.repairs[RepairBack]+m.repairs[RepairForward]+m.repairs[RepairBase] == 0 {
		m.t.Fatalf("video is %v from where it was, audio %v", v, a)
	}
}
