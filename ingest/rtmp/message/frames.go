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
	parts []chunk.Message
	one   [1]chunk.Message // what parts mostly is
}

// Add takes one message. It may be called when Next has nothing more.
func (d *Demuxer) Add(m chunk.Message) (err error) {
	if m.Type == TypeAggregate {
		d.parts, err = Parts(m)
		return err
	}
	d.one[0] = m
	d.parts = d.one[:]
	return nil
}

// Next returns the next frame of what was added, without Set and Arrival; ok is
// false if there is none. Errors are those of flv.Demuxer.Demux.
func (d *Demuxer) Next() (f media.Frame, ok bool, err error) {
	for len(d.parts) > 0 && !ok && err == nil {
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
		f, ok, err = d.flv.Demux(m.Type, dts, m.Body)
	}
	return f, ok, err
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
	// The sizes of what stands around the body in an FLV tag, in bytes.
	tagHeader, tagTrailer = 11, 4
)

// Announcer says which messages must come before a frame: metadata before the
// first, a sequence header before the first of a changed track. What was not
// there at the first frame stays out.
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
	case *sent == nil:
		return all, false
	case *sent != f.Track:
		if (*sent).Codec != f.Track.Codec || !bytes.Equal((*sent).Config, f.Track.Config) {
			all = appendTags(all, flv.AppendSequenceHeader(nil, f.Track, f.DTS, a.Packing))
		}
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
	a.video, a.audio = f.Set.First(media.KindVideo), f.Set.First(media.KindAudio)
	var tracks []*media.Track
	var headers []byte
	for _, t := range []*media.Track{a.video, a.audio} {
		if t != nil && flv.Carries(t.Codec) {
			tracks = append(tracks, t)
			headers = flv.AppendSequenceHeader(headers, t, f.DTS, a.Packing)
		}
	}
	all = appendTags(all, flv.AppendMetadata(nil, tracks, a.Packing))
	if a.Publish {
		all[0].Body = append(amf0.Append(nil, amf0.String("@setDataFrame")), all[0].Body...)
	}
	return appendTags(all, headers)
}

// appendTags appends the messages that FLV tags are.
func appendTags(all []chunk.Message, tags []byte) []chunk.Message {
	for len(tags) > 0 {
		n := tagHeader + int(tags[1])<<16 + int(tags[2])<<8 + int(tags[3])
		all = append(all, ofTag(tags[:n]))
		tags = tags[n+tagTrailer:]
	}
	return all
}

// OfFrame returns a frame's message without f.Data, which belongs behind the
// body. The frame's codec must be one that flv.Carries.
func OfFrame(f *media.Frame, p flv.Packing) chunk.Message {
	return ofTag(flv.AppendFrameHead(make([]byte, 0, 2*tagHeader), f, p))
}

func ofTag(tag []byte) chunk.Message {
	m := chunk.Message{
		ChunkStream: csData, Type: tag[0], Stream: StreamID, Body: tag[tagHeader:],
		Timestamp: uint32(tag[7])<<24 | uint32(tag[4])<<16 | uint32(tag[5])<<8 | uint32(tag[6]),
	}
	switch m.Type {
	case TypeAudio:
		m.ChunkStream = csAudio
	case TypeVideo:
		m.ChunkStream = csVideo
	}
	return m
}
