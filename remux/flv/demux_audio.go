package flv

import (
	"errors"
	"time"

	"github.com/miju-live/miju/media"
)

// soundNames are the formats that this package does not carry (E.4.2.1).
var soundNames = [16]string{
	0: "PCM", 1: "ADPCM", 3: "PCM", 4: "Nellymoser", 5: "Nellymoser", 6: "Nellymoser", 7: "G.711 A-law",
	8: "G.711 mu-law", 11: "Speex", 12: "sound format", 15: "device-specific sound",
}

// AudioPacketType Multitrack of Enhanced RTMP; video's has another number.
const exAudioMultitrack = 5

func (d *Demuxer) writeAudio(timestamp time.Duration, body []byte) error {
	switch format := body[0] >> 4; format {
	case soundExHead:
		return extended(body, timestamp, exAudioMultitrack, d.audioPacket)
	case soundAAC:
		if len(body) < 2 {
			return cutShort("AAC tag", len(body))
		}
		typ := byte(exCodedFrames)
		if body[1] == packetSequenceHeader {
			typ = exSequenceStart
		}
		return d.audioPacket(&packet{typ: typ, codec: media.AAC, time: timestamp, data: body[2:]})
	case soundMP3, soundMP3At8:
		return d.audioPacket(&packet{typ: exCodedFrames, codec: media.MP3, time: timestamp, data: body[1:]})
	case soundOpus:
		return d.audioPacket(oldOpus(timestamp, body[1:]))
	default:
		return unsupported("%s (sound format %d in FLV)", soundNames[format], format)
	}
}

// oldOpus reads what custom puts behind sound format 13: a packet type as in
// AAC, by some none. The packets 0 and 1 that it could be taken for are of
// narrow band telephony.
func oldOpus(timestamp time.Duration, data []byte) *packet {
	p := &packet{typ: exCodedFrames, codec: media.Opus, time: timestamp, data: data}
	if len(data) > 0 && data[0] <= packetCoded {
		if data[0] == packetSequenceHeader {
			p.typ = exSequenceStart
		}
		p.data = data[1:]
	}
	return p
}

var audioParsers = map[media.Codec]func(int, []byte) (*media.Track, error){
	media.AAC: media.NewAACTrack, media.Opus: media.NewOpusTrack, media.FLAC: media.NewFLACTrack,
}

func (d *Demuxer) audioPacket(p *packet) error {
	if p.codec.Kind() != media.KindAudio {
		return unsupported("%s as sound in Enhanced RTMP", p.codec)
	}
	if d.elsewhere(p, exMetadata, exSequenceEnd) {
		return nil
	}
	s, err := d.slot(p.codec, p.track)
	if err != nil {
		return err
	}
	switch p.typ {
	case exSequenceStart:
		parse := audioParsers[p.codec]
		if parse == nil { // its frames say it all
			return nil
		}
		if p.codec == media.Opus && len(p.data) == 0 {
			return d.configure(s, media.OpusConfig(s.channels), parse)
		}
		return d.configure(s, p.data, parse)
	case exCodedFrames:
		return d.sound(s, p.time, p.data)
	case exMetadata: // MultichannelConfig: order, count, mapping
		if len(p.data) >= 2 {
			s.channels = int(p.data[1])
		}
		return nil
	case exSequenceEnd:
		return nil
	}
	return unsupported("sound packet type %d in Enhanced RTMP", p.typ)
}

func (d *Demuxer) sound(s *slot, timestamp time.Duration, data []byte) error {
	if len(data) == 0 {
		return nil
	}
	switch s.coded {
	case media.AC3, media.EAC3, media.MP3:
		if d.refresh(s, data) != nil { // left out
			_, err := d.ready(s)
			return err
		}
	case media.Opus:
		if s.base == nil && s.bad == nil { // Opus needs no more than this
			if err := d.configure(s, media.OpusConfig(s.channels), media.NewOpusTrack); err != nil {
				return err
			}
		}
	}
	if ok, err := d.ready(s); !ok {
		return err
	}
	d.queue(media.Frame{Track: s.track, DTS: timestamp, PTS: timestamp, RandomAccess: true, Data: data})
	return nil
}

// unusable reports whether an error is about a record that may be followed by
// a better one.
func unusable(err error) bool {
	return errors.Is(err, media.ErrBadConfig) && !errors.Is(err, media.ErrUnsupportedCodec)
}
