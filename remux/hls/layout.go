package hls

import (
	"strconv"

	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/remux/fmp4"
)

// layout says which rendition carries which track of a set: the first video
// track is "video", the second "video2", the first audio track "audio". The
// name is that of the place, not of the track, so that an encoder that comes
// back by another protocol, with other IDs, goes on in the same renditions.
type layout struct {
	set *media.TrackSet
	// places are those of video and then those of audio. The first one is the
	// lead, which decides where segments begin.
	places []place
}

// place is a rendition and its track.
type place struct {
	name  string
	track *media.Track
}

var kinds = [...]media.Kind{media.KindVideo, media.KindAudio}

// layoutOf places the tracks of a set that can be carried.
func layoutOf(set *media.TrackSet) *layout {
	l := &layout{set: set}
	for _, k := range kinds {
		n := 0
		for _, t := range set.Tracks {
			if t.Kind() == k && fmp4.Check(t) == nil {
				n++
				l.places = append(l.places, place{placeName(k, n), t})
			}
		}
	}
	return l
}

func placeName(k media.Kind, n int) string {
	if n == 1 {
		return k.String()
	}
	return k.String() + strconv.Itoa(n)
}

// lead is the place that decides where segments begin, nil if there is none.
func (l *layout) lead() *place {
	if len(l.places) == 0 {
		return nil
	}
	return &l.places[0]
}

// of returns the place of a track, nil if it has none.
func (l *layout) of(id int) *place {
	for i := range l.places {
		if l.places[i].track.ID == id {
			return &l.places[i]
		}
	}
	return nil
}

// named returns the track at a place, nil if there is none.
func (l *layout) named(name string) *media.Track {
	for i := range l.places {
		if l.places[i].name == name {
			return l.places[i].track
		}
	}
	return nil
}

// layout returns the layout of a frame's set. Sets change seldom.
func (m *Muxer) layout(set *media.TrackSet) *layout {
	if m.placed == nil || m.placed.set != set {
		m.placed = layoutOf(set)
	}
	return m.placed
}

// leads reports whether f is of the track that decides where segments begin.
func (m *Muxer) leads(f *media.Frame) bool {
	lead := m.layout(f.Set).lead()
	return lead != nil && lead.track.ID == f.Track.ID
}
