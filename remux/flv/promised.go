package flv

import (
	"strings"

	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/remux/amf0"
)

// Promised returns the tracks that onMetaData announced with a codec and that
// have no sequence header yet: their ID, codec, sample rate and channels, and
// no Config. Sample rate and channels are 0 if it does not tell.
func (d *Demuxer) Promised() []*media.Track {
	if !d.promised.audio || d.audio != nil || d.promised.audioCodec == 0 {
		return nil
	}
	return []*media.Track{{
		ID: AudioTrack, Codec: d.promised.audioCodec, SampleRate: d.promised.sampleRate, Channels: d.promised.channels,
		Bitrate: d.promised.audioBitrate,
	}}
}

// readSound reads what onMetaData says of a track of sound to come. Numbers
// that are none of live sound are 0.
func (p *promise) readSound(o amf0.Object) {
	switch id := o.Get("audiocodecid").(type) {
	case amf0.Number:
		if id == soundAAC || id == amf0.Number(fourCCAAC) {
			p.audioCodec = media.AAC
		}
	case amf0.String:
		if name := strings.ToLower(string(id)); strings.HasPrefix(name, "mp4a") || name == "aac" {
			p.audioCodec = media.AAC
		}
	}
	p.sampleRate = whole(o.Get("audiosamplerate"), 192000)
	p.channels = whole(o.Get("audiochannels"), 8)
	if stereo, ok := o.Get("stereo").(amf0.Boolean); ok && p.channels == 0 {
		p.channels = 1
		if stereo {
			p.channels = 2
		}
	}
}

// whole returns a number from 1 to most as such, any other value as 0.
func whole(v amf0.Value, most int) int {
	if n, ok := v.(amf0.Number); ok && n >= 1 && n <= amf0.Number(most) {
		return int(n)
	}
	return 0
}
