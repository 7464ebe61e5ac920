package flv

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/miju-live/miju/media"
)

// soundNames are the formats that this package does not carry (E.4.2.1), 13
// after the custom that video's 12 comes from.
var soundNames = [16]string{
	0: "PCM", 1: "ADPCM", 2: "MP3", 3: "PCM", 4: "Nellymoser", 5: "Nellymoser", 6: "Nellymoser", 7: "G.711 A-law",
	8: "G.711 mu-law", 11: "Speex", 12: "sound format", 13: "Opus", 14: "MP3", 15: "device-specific sound",
}

// AudioPacketType Multitrack of Enhanced RTMP; video's has another number.
const exAudioMultitrack = 5

func (d *Demuxer) demuxAudio(timestamp time.Duration, body []byte) (f media.Frame, ok bool, err error) {
	switch format := body[0] >> 4; format {
	case soundExHead:
		return d.demuxExAudio(timestamp, body)
	case soundAAC:
	default:
		return f, false, unsupported("%s (sound format %d in FLV)", soundNames[format], format)
	}
	if len(body) < 2 {
		return f, false, cutShort("AAC tag", len(body))
	}
	if body[1] == packetSequenceHeader {
		return f, false, d.audioConfig(body[2:])
	}
	return d.audioFrame(timestamp, body[2:])
}

// demuxExAudio reads the header of Enhanced RTMP ("Extended AudioTagHeader").
func (d *Demuxer) demuxExAudio(timestamp time.Duration, body []byte) (f media.Frame, ok bool, err error) {
	packetType := body[0] & 0x0f
	switch {
	case packetType == exAudioMultitrack:
		return f, false, unsupported("multitrack sound in Enhanced RTMP")
	case packetType == exModEx:
		return f, false, unsupported("ModEx sound in Enhanced RTMP")
	case len(body) < 5:
		return f, false, cutShort("extended sound tag", len(body))
	case fourCC(binary.BigEndian.Uint32(body[1:])) != fourCCAAC:
		return f, false, unsupportedFourCC(body[1:5])
	}
	switch packetType {
	case exSequenceStart:
		return f, false, d.audioConfig(body[5:])
	case exCodedFrames:
		return d.audioFrame(timestamp, body[5:])
	case exSequenceEnd, exMetadata: // AAC's record says its channels
		return f, false, nil
	}
	return f, false, unsupported("sound packet type %d in Enhanced RTMP", packetType)
}

// audioConfig reads a sequence header. One without a record says nothing.
func (d *Demuxer) audioConfig(record []byte) error {
	if len(record) == 0 || sameConfig(d.audio, media.AAC, record) {
		return nil
	}
	t, err := media.NewAACTrack(AudioTrack, record)
	if err != nil {
		return fmt.Errorf("AAC sequence header: %w", err)
	}
	d.setAudio(t)
	return nil
}

func (d *Demuxer) audioFrame(timestamp time.Duration, data []byte) (f media.Frame, ok bool, err error) {
	if len(data) == 0 || d.audio == nil {
		return f, false, nil
	}
	return media.Frame{Track: d.audio, DTS: timestamp, PTS: timestamp, RandomAccess: true, Data: data}, true, nil
}
