package flv

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/miju-live/miju/media"
)

// videoNames are the codecs of the old header that this package does not
// carry (E.4.3.1), 13 after the custom that 12 comes from.
var videoNames = map[byte]string{
	2: "Sorenson H.263", 3: "Screen video", 4: "VP6", 5: "VP6 with alpha", 6: "Screen video 2", 8: "H.263", 9: "MPEG-4 part 2", 13: "AV1",
}

// fourCCNames are codecs that Enhanced RTMP names and this package does not carry.
var fourCCNames = map[string]string{
	"av01": "AV1", "vp08": "VP8", "vp09": "VP9", "vvc1": "H.266",
	"ac-3": "AC-3", "ec-3": "E-AC-3", "Opus": "Opus", ".mp3": "MP3", "fLaC": "FLAC",
}

func unsupportedFourCC(b []byte) error {
	name, known := fourCCNames[string(b)]
	if !known {
		return unsupported("FourCC %q in Enhanced RTMP", b)
	}
	return unsupported("%s (%s) in Enhanced RTMP", name, b)
}

func (d *Demuxer) demuxVideo(timestamp time.Duration, body []byte) (f media.Frame, ok bool, err error) {
	if body[0]&exVideo != 0 {
		return d.demuxExVideo(timestamp, body)
	}
	frameType, id := body[0]>>4, body[0]&0x0f
	codec := media.H264
	switch {
	case frameType == frameCommand:
		return f, false, nil
	case id == videoH265:
		codec = media.H265
	case id != videoH264:
		name, known := videoNames[id]
		if !known {
			name = "video codec"
		}
		return f, false, unsupported("%s (id %d in FLV)", name, id)
	}
	if len(body) < 5 {
		if len(body) >= 2 && body[1] > packetCoded { // the end of the sequence, by some without its composition time
			return f, false, nil
		}
		return f, false, cutShort("video tag", len(body))
	}
	switch body[1] {
	case packetSequenceHeader:
		return f, false, d.videoConfig(codec, body[5:])
	case packetCoded:
		return d.accessUnit(codec, frameType, timestamp, int24(body[2:]), body[5:])
	}
	return f, false, nil
}

// demuxExVideo reads the header of Enhanced RTMP ("Extended VideoTagHeader").
func (d *Demuxer) demuxExVideo(timestamp time.Duration, body []byte) (f media.Frame, ok bool, err error) {
	frameType, packetType := body[0]>>4&7, body[0]&0x0f
	switch {
	case packetType == exMultitrack:
		return f, false, unsupported("multitrack video in Enhanced RTMP")
	case packetType == exModEx:
		return f, false, unsupported("ModEx video in Enhanced RTMP")
	case packetType == exMetadata || frameType == frameCommand:
		return f, false, nil
	case len(body) < 5:
		return f, false, cutShort("extended video tag", len(body))
	}
	var codec media.Codec
	switch fourCC(binary.BigEndian.Uint32(body[1:])) {
	case fourCCAVC:
		codec = media.H264
	case fourCCHEVC:
		codec = media.H265
	default:
		return f, false, unsupportedFourCC(body[1:5])
	}
	switch packetType {
	case exSequenceStart:
		return f, false, d.videoConfig(codec, body[5:])
	case exCodedFrames:
		if len(body) < 8 {
			return f, false, cutShort("extended video tag", len(body))
		}
		return d.accessUnit(codec, frameType, timestamp, int24(body[5:]), body[8:])
	case exCodedFramesX:
		return d.accessUnit(codec, frameType, timestamp, 0, body[5:])
	case exSequenceEnd:
		return f, false, nil
	}
	return f, false, unsupported("video packet type %d in Enhanced RTMP", packetType)
}

// videoConfig reads a sequence header. One without a record says nothing.
func (d *Demuxer) videoConfig(codec media.Codec, record []byte) error {
	if len(record) == 0 || sameConfig(d.video, codec, record) {
		return nil
	}
	parse := media.NewH264Track
	if codec == media.H265 {
		parse = media.NewH265Track
	}
	t, err := parse(VideoTrack, record)
	if err != nil {
		return fmt.Errorf("%s sequence header: %w", codec, err)
	}
	d.setVideo(t)
	return nil
}

// accessUnit makes a frame of length-prefixed NAL units. It is a random access
// point if a NAL unit is one and the frame type does not deny it; the frame
// type alone is not believed, and where an encoder leaves it 0 it is no denial.
func (d *Demuxer) accessUnit(codec media.Codec, frameType byte, dts, offset time.Duration, data []byte) (f media.Frame, ok bool, err error) {
	if len(data) == 0 || d.video == nil || d.video.Codec != codec {
		return f, false, nil
	}
	randomAccess, err := media.CheckNALUs(codec, data)
	if err != nil {
		return f, false, fmt.Errorf("%w: %s: %w", ErrMalformed, codec, err)
	}
	if frameType == frameInter || frameType == frameDisposable {
		randomAccess = false
	}
	// Encoders exist whose composition times are negative: their pictures are
	// shown in decoding order.
	pts := dts + max(offset, 0)
	return media.Frame{Track: d.video, DTS: dts, PTS: pts, RandomAccess: randomAccess, Data: data}, true, nil
}

// int24 reads a composition time, signed milliseconds (SI24).
func int24(b []byte) time.Duration {
	n := int32(uint32(b[0])<<24|uint32(b[1])<<16|uint32(b[2])<<8) >> 8
	return time.Duration(n) * time.Millisecond
}
