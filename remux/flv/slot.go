package flv

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"

	"github.com/miju-live/miju/media"
)

// maxRecord bounds a configuration record, in bytes. Those of real encoders
// stay under 1 KiB.
const maxRecord = 64 << 10

// maxUnusable is how many frames of the only track may come without a usable
// configuration: some five seconds of sound.
const maxUnusable = 250

// slot is one track of the encoder's, and what its tracks here are made of.
type slot struct {
	id   int
	kind media.Kind
	// coded is the codec of the last packet, record its last sequence header as
	// it came: encoders repeat it.
	coded  media.Codec
	record []byte
	// bad is why record is of no use, nil if it is.
	bad error
	// unusable counts frames that were left out because of bad.
	unusable int
	// base is what record and frames tell, track has in it what metadata tells,
	// too; both are nil at first.
	base, track *media.Track
	// color is what a Metadata packet told.
	color *media.Color
	// channels is what MultichannelConfig told.
	channels int
}

func (d *Demuxer) lookup(id int) *slot {
	i, ok := d.search(id)
	if !ok {
		return nil
	}
	return d.slots[i]
}

func (d *Demuxer) search(id int) (int, bool) {
	return slices.BinarySearchFunc(d.slots, id, func(s *slot, id int) int { return cmp.Compare(s.id, id) })
}

// slot returns the slot of the encoder's track number, which a body names. The
// codec is what that body is of.
func (d *Demuxer) slot(codec media.Codec, number int) (*slot, error) {
	id := trackID(codec.Kind(), number)
	i, ok := d.search(id)
	if !ok {
		if len(d.slots) == MaxTracks {
			return nil, fmt.Errorf("%w: more than %d tracks", ErrTooLarge, MaxTracks)
		}
		d.slots = slices.Insert(d.slots, i, &slot{id: id, kind: codec.Kind()})
	}
	s := d.slots[i]
	if s.coded != codec { // what was there decodes none of this
		s.coded, s.record, s.bad, s.unusable = codec, nil, nil, 0
		s.base = nil
	}
	return s, nil
}

// elsewhere reports whether a packet is of one of these types, which neither
// begin a sequence nor are part of it, and of another codec than its track:
// FFmpeg 8.1 sends Metadata and MultichannelConfig of every track as if they
// were of the first.
func (d *Demuxer) elsewhere(p *packet, types ...byte) bool {
	s := d.lookup(trackID(p.codec.Kind(), p.track))
	return s != nil && s.coded != p.codec && slices.Contains(types, p.typ)
}

// trackID returns the ID of the encoder's track number of a kind.
func trackID(k media.Kind, number int) int {
	if k == media.KindVideo {
		return VideoTrack + trackStep*number
	}
	return AudioTrack + trackStep*number
}

// configure reads a sequence header. One without a record says nothing. One
// that is of no use is put up with until frames show that they say nothing
// better, but forms that are not carried are refused at once.
func (d *Demuxer) configure(s *slot, record []byte, parse func(id int, record []byte) (*media.Track, error)) error {
	if len(record) == 0 || s.record != nil && bytes.Equal(s.record, record) {
		return nil
	}
	if len(record) > maxRecord {
		return fmt.Errorf("%w: %s sequence header of %d bytes", ErrTooLarge, s.coded, len(record))
	}
	t, err := parse(s.id, record)
	if err != nil {
		err = fmt.Errorf("%s sequence header: %w", s.coded, err)
		if s.base == nil {
			s.bad = err
		}
		if unusable(err) {
			return nil
		}
		return err
	}
	s.record, s.bad, s.unusable = bytes.Clone(record), nil, 0
	s.base = t
	if s.kind == media.KindVideo && t.Width == 0 { // only a frame tells
		return nil
	}
	d.describe(s)
	return nil
}

// ready reports whether a frame can be used. Where it can not because of a bad
// sequence header, and there is no other track to live on, it is an error.
func (d *Demuxer) ready(s *slot) (bool, error) {
	if s.track != nil && s.base != nil {
		return true, nil
	}
	if s.bad == nil {
		return false, nil
	}
	s.unusable++
	if len(d.tracks) == 0 && s.unusable > maxUnusable {
		return false, s.bad
	}
	return false, nil
}

// refresh takes from a frame what it tells of its track. Where it tells
// nonsense, which is an error, what was known stays.
func (d *Demuxer) refresh(s *slot, data []byte) error {
	from := s.base
	if from == nil {
		from = &media.Track{ID: s.id, Codec: s.coded}
	}
	fresh, err := from.Refresh(data)
	if err != nil {
		if s.base == nil && s.bad == nil {
			s.bad = err
		}
		return err
	}
	if fresh == from && (s.base == nil || s.track != nil) {
		return nil
	}
	s.base, s.bad = fresh, nil
	d.describe(s)
	return nil
}

// describe makes the slot's track of its base and of what only metadata tells.
func (d *Demuxer) describe(s *slot) {
	if s.base == nil {
		return
	}
	t := *s.base
	info := d.promised.of(s.id)
	if t.FrameRate == 0 && s.kind == media.KindVideo {
		t.FrameRate = info.frameRate
	}
	if info.bitrate != 0 {
		t.Bitrate = info.bitrate
	}
	if s.color != nil {
		t.Color = mergeColor(s.color, t.Color)
	}
	if s.track != nil && sameTrack(s.track, &t) {
		return
	}
	s.track = &t
	d.collect()
}

func sameTrack(a, b *media.Track) bool {
	return a.Codec == b.Codec && bytes.Equal(a.Config, b.Config) && a.Width == b.Width && a.Height == b.Height &&
		a.FrameRate == b.FrameRate && a.SampleRate == b.SampleRate && a.Channels == b.Channels &&
		a.Bitrate == b.Bitrate && a.Color.Equal(b.Color)
}

// collect makes the list of tracks anew: those handed out do not change.
func (d *Demuxer) collect() {
	d.tracks = nil
	for _, s := range d.slots {
		if s.track != nil {
			d.tracks = append(d.tracks, s.track)
		}
	}
	if d.data != nil {
		i, _ := slices.BinarySearchFunc(d.tracks, DataTrack, func(t *media.Track, id int) int { return cmp.Compare(t.ID, id) })
		d.tracks = slices.Insert(d.tracks, i, d.data)
	}
}
