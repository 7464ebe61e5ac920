package flv

import (
	"fmt"
	"time"

	"github.com/miju-live/miju/media"
)

// videoNames are the codecs of the old header that this package does not
// carry (E.4.3.1).
var videoNames = map[byte]string{
	2: "Sorenson H.263", 3: "Screen video", 4: "VP6", 5: "VP6 with alpha", 6: "Screen video 2", 8: "H.263", 9: "MPEG-4 part 2",
}

func (d *Demuxer) writeVideo(timestamp time.Duration, body []byte) error {
	if body[0]&exVideo != 0 {
		return d.writeExVideo(timestamp, body)
	}
	frameType, id := body[0]>>4, body[0]&0x0f
	codec := media.H264
	switch {
	case frameType == frameCommand:
		return nil
	case id == videoH265:
		codec = media.H265
	case id == videoAV1:
		codec = media.AV1
	case id != videoH264:
		name, known := videoNames[id]
		if !known {
			name = "video codec"
		}
		return unsupported("%s (id %d in FLV)", name, id)
	}
	if len(body) < 5 {
		if len(body) >= 2 && body[1] > packetCoded { // the end of the sequence, by some without its composition time
			return nil
		}
		return cutShort("video tag", len(body))
	}
	s, err := d.slot(codec, 0)
	if err != nil {
		return err
	}
	switch body[1] {
	case packetSequenceHeader:
		return d.configure(s, body[5:], videoParsers[codec])
	case packetCoded:
		return d.picture(s, frameType, timestamp, int24(body[2:]), body[5:])
	}
	return nil
}

var videoParsers = map[media.Codec]func(int, []byte) (*media.Track, error){
	media.H264: media.NewH264Track, media.H265: media.NewH265Track, media.AV1: media.NewAV1Track, media.VP9: media.NewVP9Track,
}

// writeExVideo reads a body of Enhanced RTMP.
func (d *Demuxer) writeExVideo(timestamp time.Duration, body []byte) error {
	// A command has one byte that no codec follows; of Metadata the frame type
	// is to be ignored.
	if body[0]>>4&7 == frameCommand && body[0]&0x0f != exMetadata {
		return nil
	}
	return extended(body, timestamp, exMultitrack, d.videoPacket)
}

func (d *Demuxer) videoPacket(p *packet) error {
	if p.codec.Kind() != media.KindVideo {
		return unsupported("%s as video in Enhanced RTMP", p.codec)
	}
	if d.elsewhere(p, exMetadata, exSequenceEnd, exTSSequenceStart) {
		return nil
	}
	s, err := d.slot(p.codec, p.track)
	if err != nil {
		return err
	}
	frameType := p.head >> 4 & 7
	switch p.typ {
	case exSequenceStart:
		return d.configure(s, p.data, videoParsers[p.codec])
	case exCodedFrames:
		if p.codec != media.H264 && p.codec != media.H265 {
			return d.picture(s, frameType, p.time, 0, p.data)
		}
		if len(p.data) < 3 {
			return cutShort("coded frame of Enhanced RTMP", len(p.data))
		}
		return d.picture(s, frameType, p.time, int24(p.data), p.data[3:])
	case exCodedFramesX:
		return d.picture(s, frameType, p.time, 0, p.data)
	case exMetadata:
		if color, ok := readColor(p.data); ok {
			s.color = color
			d.describe(s)
		}
		return nil
	case exSequenceEnd, exTSSequenceStart: // AV1's descriptor says less than the stream itself
		return nil
	}
	return unsupported("video packet type %d in Enhanced RTMP", p.typ)
}

// picture makes a frame. It is a random access point if the bitstream says so
// and the frame type does not deny it; the frame type alone is not believed,
// and where an encoder leaves it 0 it is no denial.
func (d *Demuxer) picture(s *slot, frameType byte, dts, offset time.Duration, data []byte) error {
	if s.coded == media.AV1 {
		data = cutTemporalDelimiter(data)
	}
	if len(data) == 0 {
		return nil
	}
	track := s.track
	if s.base == nil || track == nil {
		track = &media.Track{Codec: s.coded}
	}
	randomAccess, err := track.Check(data)
	if err != nil {
		return fmt.Errorf("%w: %s: %w", ErrMalformed, s.coded, err)
	}
	if frameType == frameInter || frameType == frameDisposable {
		randomAccess = false
	}
	if randomAccess || frameType == frameKey {
		// Nonsense inside of a frame is the decoder's, as long as there is a record.
		_ = d.refresh(s, data)
		if randomAccess && s.base == nil && s.bad != nil { // neither here nor there
			return s.bad
		}
	}
	if ok, err := d.ready(s); !ok {
		return err
	}
	if randomAccess && s.coded == media.AV1 {
		data = media.CompleteAV1(s.track, data)
	}
	// Encoders exist whose composition times are negative: their pictures are
	// shown in decoding order.
	d.queue(media.Frame{Track: s.track, DTS: dts, PTS: dts + max(offset, 0), RandomAccess: randomAccess, Data: data})
	return nil
}

// cutTemporalDelimiter removes what stands before every temporal unit in a
// stream and is left out in containers (AV1 in ISOBMFF, 2.4).
func cutTemporalDelimiter(data []byte) []byte {
	if len(data) >= 2 && data[0] == 0x12 && data[1] == 0 {
		return data[2:]
	}
	return data
}

// int24 reads a composition time, signed milliseconds (SI24).
func int24(b []byte) time.Duration {
	n := int32(uint32(b[0])<<24|uint32(b[1])<<16|uint32(b[2])<<8) >> 8
	return time.Duration(n) * time.Millisecond
}
