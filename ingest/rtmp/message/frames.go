package message

import (
	"bytes"
	"time"

	"github.com/miju-live/miju/ingest/rtmp/chunk"
	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/remux/amf0"
	"github.com/miju-live/miju/remux/flv"
)

// Demuxer makes frames of the messages of sound, pictures and data, those in
// aggregates and those marked as AMF3 included. The zero Demuxer is ready for
// one connection.
type Demuxer struct {
	flv   flv.Demuxer
	clock Clock
	size  int // of the message that was added, in bytes
	parts []chunk.Message
	one   [1]chunk.Message // what parts mostly is
}

// maxSlack is what a message may have beside a frame, in bytes, if that is more
// than the frame itself: less is not worth a copy.
const maxSlack = 64

// Add takes one message. It may be called when Next has nothing more.
func (d *Demuxer) Add(m chunk.Message) (err error) {
	d.size = len(m.Body)
	if m.Type == TypeAggregate {
		d.parts, err = Parts(m)
		return err
	}
	d.one[0] = m
	d.parts = d.one[:]
	return nil
}

// Next returns the next frame of what was added, without Set and Arrival; ok is
// false if there is none. Errors are those of flv.Demuxer.Write.
func (d *Demuxer) Next() (f media.Frame, ok bool, err error) {
	for {
		if f, ok = d.flv.Next(); ok && d.size-len(f.Data) > len(f.Data)+maxSlack {
			// A frame in a log would hold all of the message, and what bounds the
			// log knows nothing of that.
			f.Data = bytes.Clone(f.Data)
		}
		if ok || len(d.parts) == 0 {
			return f, ok, nil
		}
		m := d.parts[0]
		d.parts[0].Body = nil
		d.parts = d.parts[1:]
		var dts time.Duration
		switch m.Type {
		case TypeAudio, TypeVideo:
			dts = d.clock.Time(m.Timestamp)
		case TypeDataAMF3:
			m.Type, m.Body = TypeData, StripAMF3(m.Body)
			fallthrough
		case TypeData:
			dts = d.clock.Peek(m.Timestamp)
		}
		if err := d.flv.Write(m.Type, dts, m.Body); err != nil {
			return f, false, err
		}
	}
}

// Tracks is that of flv.Demuxer.
func (d *Demuxer) Tracks() (tracks []*media.Track, complete bool) { return d.flv.Tracks() }

// Promised is that of flv.Demuxer.
func (d *Demuxer) Promised() []*media.Track { return d.flv.Promised() }

const (
	// StreamID is the message stream of media.
	StreamID = 1
	// The chunk streams of data, sound and pictures.
	csData, csAudio, csVideo = 5, 4, 6
	// maxBodyHead is the most that stands before a frame in its body, in bytes.
	maxBodyHead = 8
)

// Announcer says which messages must come before a frame: metadata before the
// first, a sequence header before the first of a changed track. What was neither
// there nor promised at the first frame stays out.
type Announcer struct {
	// Packing is the form of H.265.
	Packing flv.Packing
	// Publish puts metadata into the envelope that servers want.
	Publish bool

	begun        bool
	video, audio *media.Track // as last announced
}

// Before returns the messages that come before f; ok is false if f must be
// left out.
func (a *Announcer) Before(f *media.Frame) (all []chunk.Message, ok bool) {
	if !a.begun {
		a.begun = true
		all = a.begin(f)
	}
	if !flv.Carries(f.Track.Codec) {
		return all, false
	}
	switch sent := a.sent(f.Track.Kind()); {
	case sent == nil: // data
	case *sent == nil || !flv.Follows(*sent, f):
		return all, false
	case *sent != f.Track:
		all = a.appendHeaders(all, *sent, f.Track, f.DTS)
		*sent = f.Track
	}
	return all, true
}

func (a *Announcer) sent(k media.Kind) **media.Track {
	switch k {
	case media.KindVideo:
		return &a.video
	case media.KindAudio:
		return &a.audio
	}
	return nil
}

func (a *Announcer) begin(f *media.Frame) (all []chunk.Message) {
	a.video, a.audio = f.Set.Announced(media.KindVideo), f.Set.Announced(media.KindAudio)
	var tracks []*media.Track
	for _, t := range []*media.Track{a.video, a.audio} {
		if t != nil && flv.Carries(t.Codec) {
			tracks = append(tracks, t)
		}
	}
	metadata := newMessage(TypeData, 0)
	if a.Publish {
		metadata.Body = amf0.Append(nil, amf0.String("@setDataFrame"))
	}
	metadata.Body = flv.AppendMetadataBody(metadata.Body, tracks, a.Packing)
	all = append(all, metadata)
	for _, t := range tracks {
		all = a.appendHeaders(all, nil, t, f.DTS)
	}
	return all
}

// appendHeaders appends what tells of a track that was sent as sent before: its
// colours, as Enhanced RTMP has them, and its sequence header, if its codec has
// one.
func (a *Announcer) appendHeaders(all []chunk.Message, sent, t *media.Track, dts time.Duration) []chunk.Message {
	m := newMessage(flv.TypeOf(t), dts)
	renewed := sent == nil || sent.Codec != t.Codec || !bytes.Equal(sent.Config, t.Config)
	if renewed || !t.Color.Equal(sent.Color) {
		if m.Body = flv.AppendColorBody(nil, t, a.Packing); len(m.Body) > 0 {
			all = append(all, m)
		}
	}
	if renewed {
		if m.Body = flv.AppendSequenceBody(nil, t, a.Packing); len(m.Body) > 0 {
			all = append(all, m)
		}
	}
	return all
}

// OfFrame returns a frame's message without f.Data, which belongs behind the
// body. The frame's codec must be one that flv.Carries.
func OfFrame(f *media.Frame, p flv.Packing) chunk.Message {
	m := newMessage(flv.TypeOf(f.Track), f.DTS)
	m.Body = flv.AppendBodyHead(make([]byte, 0, maxBodyHead), f, p)
	return m
}

func newMessage(typ byte, dts time.Duration) chunk.Message {
	m := chunk.Message{ChunkStream: csData, Type: typ, Stream: StreamID, Timestamp: milliseconds(dts)}
	switch typ {
	case TypeAudio:
		m.ChunkStream = csAudio
	case TypeVideo:
		m.ChunkStream = csVideo
	}
	return m
}

// milliseconds rounds a time, as FLV does with composition times, and wraps.
func milliseconds(d time.Duration) uint32 {
	return uint32((max(d, 0) + time.Millisecond/2) / time.Millisecond)
}
