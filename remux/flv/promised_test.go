package flv

import (
	"math"
	"testing"

	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/remux/amf0"
)

func TestPromised(t *testing.T) {
	object := func(p ...amf0.Property) []byte {
		return amf0.Append(nil, amf0.String("onMetaData"), amf0.ECMAArray(p))
	}
	n := func(name string, v float64) amf0.Property { return amf0.Property{Name: name, Value: amf0.Number(v)} }
	for _, c := range []struct {
		name     string
		metadata []byte
		want     media.Track // none if its ID is 0
	}{
		{"as OBS says it", object(n("audiocodecid", 10), n("audiosamplerate", 44100), n("audiochannels", 2)), media.Track{ID: AudioTrack, Codec: media.AAC, SampleRate: 44100, Channels: 2}},
		{"a FourCC", object(n("audiocodecid", float64(fourCCAAC)), n("audiosamplerate", 48000), amf0.Property{Name: "stereo", Value: amf0.Boolean(false)}), media.Track{ID: AudioTrack, Codec: media.AAC, SampleRate: 48000, Channels: 1}},
		{"a name", object(amf0.Property{Name: "audiocodecid", Value: amf0.String("mp4a")}, amf0.Property{Name: "stereo", Value: amf0.Boolean(true)}), media.Track{ID: AudioTrack, Codec: media.AAC, Channels: 2}},
		{"numbers that are none", object(n("audiocodecid", 10), n("audiosamplerate", math.NaN()), n("audiochannels", 1e300)), media.Track{ID: AudioTrack, Codec: media.AAC}},
		{"a codec that is not carried", object(n("audiocodecid", 11), n("audiosamplerate", 16000)), media.Track{}},
		{"no codec", object(amf0.Property{Name: "hasAudio", Value: amf0.Boolean(true)}), media.Track{}},
		{"no sound", object(n("framerate", 30)), media.Track{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var d Demuxer
			if err := d.Write(TypeScript, 0, c.metadata); err != nil {
				t.Fatal(err)
			}
			got := d.Promised()
			if c.want.ID == 0 {
				if got != nil {
					t.Errorf("%+v", got[0])
				}
				return
			}
			if len(got) != 1 || got[0].ID != c.want.ID || got[0].Codec != c.want.Codec || got[0].SampleRate != c.want.SampleRate || got[0].Channels != c.want.Channels || got[0].Config != nil {
				t.Fatalf("%+v", got)
			}
			if err := d.Write(TypeAudio, 0, []byte{0xaf, 0, 0x12, 0x10}); err != nil {
				t.Fatal(err)
			}
			if got := d.Promised(); got != nil {
				t.Errorf("%+v has come", got[0])
			}
		})
	}
}
