package flv_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/bluenviron/gortmplib/pkg/bytecounter"
	gmessage "github.com/bluenviron/gortmplib/pkg/message"
	"github.com/bluenviron/gortmplib/pkg/rawmessage"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/flac"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/opus"

	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/media/mediatest"
	"github.com/miju-live/miju/remux/amf0"
	"github.com/miju-live/miju/remux/flv"

	gamf0 "github.com/bluenviron/gortmplib/pkg/amf0"
)

// theirs has gortmplib write a message and returns its body.
func theirs(t *testing.T, m gmessage.Message) *rawmessage.Message {
	t.Helper()
	var wire bytes.Buffer
	if err := gmessage.NewWriter(&wire, bytecounter.NewWriter(&wire), false).Write(m); err != nil {
		t.Fatal(err)
	}
	raw, err := rawmessage.NewReader(&wire, bytecounter.NewReader(&wire), nil).Read()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// TestGortmplibWritesWeRead: an encoder that was written elsewhere.
func TestGortmplibWritesWeRead(t *testing.T) {
	const track = 3
	frame := func(name string) media.Frame { return mediatest.Clip(t, name, 1)[0] }
	info := &flac.StreamInfo{}
	if err := info.Unmarshal(frame("flac").Track.Config); err != nil {
		t.Fatal(err)
	}
	record := frame("av1").Track.Config
	// Their messages hold types of another library, which their reader fills.
	start := func(body string) gmessage.Message {
		return ours(t, &media.Track{Codec: media.AV1}, []byte(body))
	}
	for _, c := range []struct {
		name          string
		start, frames gmessage.Message
		codec         media.Codec
		data          []byte
		check         func(*media.Track) bool
	}{
		{
			"AV1", start("\x90av01" + string(record)),
			&gmessage.VideoExCodedFrames{ChunkStreamID: 6, FourCC: gmessage.FourCCAV1, Payload: frame("av1").Data}, media.AV1, frame("av1").Data,
			func(t *media.Track) bool { return t.Width == 320 && bytes.Equal(t.Config, record) },
		},
		{
			"AV1 with a record of another stream", start("\x90av01\x81\x08\x0c\x00\x0a\x0b\x00\x00\x00\x42\xab\xbf\xc3\x70\x0b\xe0\x01"),
			&gmessage.VideoExFramesX{ChunkStreamID: 6, FourCC: gmessage.FourCCAV1, Payload: frame("av1").Data}, media.AV1, frame("av1").Data,
			func(t *media.Track) bool { return t.Width == 320 && bytes.Equal(t.Config, record) },
		},
		{
			"VP9", start("\x90vp09\x01\x00\x00\x00\x00\x0b\x82\x02\x02\x02\x00\x00"),
			&gmessage.VideoExCodedFrames{ChunkStreamID: 6, FourCC: gmessage.FourCCVP9, Payload: frame("vp9").Data}, media.VP9, frame("vp9").Data,
			func(t *media.Track) bool { return t.Width == 320 && t.CodecString() == "vp09.00.11.08" },
		},
		{
			"Opus", &gmessage.AudioExSequenceStart{ChunkStreamID: 4, FourCC: gmessage.FourCCOpus, OpusConfig: &opus.IDHeader{Version: 1, ChannelCount: 2, PreSkip: 312, InputSampleRate: 48000}},
			&gmessage.AudioExCodedFrames{ChunkStreamID: 4, FourCC: gmessage.FourCCOpus, Payload: frame("opus").Data}, media.Opus, frame("opus").Data,
			func(t *media.Track) bool { return bytes.Equal(t.Config, media.OpusConfig(2)) }, // theirs are in network order
		},
		{
			"FLAC", &gmessage.AudioExSequenceStart{ChunkStreamID: 4, FourCC: gmessage.FourCCFLAC, FlacConfig: info},
			&gmessage.AudioExCodedFrames{ChunkStreamID: 4, FourCC: gmessage.FourCCFLAC, Payload: frame("flac").Data}, media.FLAC, frame("flac").Data,
			func(t *media.Track) bool { return t.SampleRate == 44100 && t.Channels == 1 },
		},
		{
			"AC-3", &gmessage.AudioExSequenceStart{ChunkStreamID: 4, FourCC: gmessage.FourCCAC3},
			&gmessage.AudioExCodedFrames{ChunkStreamID: 4, FourCC: gmessage.FourCCAC3, Payload: frame("ac3").Data}, media.AC3, frame("ac3").Data,
			func(t *media.Track) bool { return t.SampleRate == 48000 && t.Channels == 2 },
		},
		{
			"MP3", &gmessage.AudioExSequenceStart{ChunkStreamID: 4, FourCC: gmessage.FourCCMP3},
			&gmessage.AudioExCodedFrames{ChunkStreamID: 4, FourCC: gmessage.FourCCMP3, Payload: frame("mp3").Data}, media.MP3, frame("mp3").Data,
			func(t *media.Track) bool { return t.SampleRate == 44100 },
		},
		{
			"AAC", &gmessage.AudioExSequenceStart{ChunkStreamID: 4, FourCC: gmessage.FourCCMP4A, AACConfig: &mpeg4audio.AudioSpecificConfig{Type: 2, SampleRate: 48000, ChannelConfig: 2, ChannelCount: 2}},
			&gmessage.AudioExCodedFrames{ChunkStreamID: 4, FourCC: gmessage.FourCCMP4A, Payload: []byte("aac")}, media.AAC, []byte("aac"),
			func(t *media.Track) bool { return t.SampleRate == 48000 },
		},
	} {
		for _, multitrack := range []bool{false, true} {
			name, start, coded, id := c.name, c.start, c.frames, flv.AudioTrack
			if c.codec.Kind() == media.KindVideo {
				id = flv.VideoTrack
			}
			if multitrack {
				name += " on track 3"
				id += 10 * track
				if c.codec.Kind() == media.KindVideo {
					start, coded = &gmessage.VideoExMultitrack{TrackID: track, Wrapped: start}, &gmessage.VideoExMultitrack{TrackID: track, Wrapped: coded}
				} else {
					start, coded = &gmessage.AudioExMultitrack{TrackID: track, Wrapped: start}, &gmessage.AudioExMultitrack{TrackID: track, Wrapped: coded}
				}
			}
			t.Run(name, func(t *testing.T) {
				var d flv.Demuxer
				for _, m := range []gmessage.Message{start, coded} {
					raw := theirs(t, m)
					if err := d.Write(raw.Type, 0, raw.Body); err != nil {
						t.Fatal(err)
					}
				}
				f, ok := d.Next()
				if !ok || !bytes.Equal(f.Data, c.data) || !f.RandomAccess || f.Track.ID != id || f.Track.Codec != c.codec || !c.check(f.Track) {
					t.Errorf("%v, %+v", ok, f.Track)
				}
			})
		}
	}
}

// ours has gortmplib read a body.
func ours(t *testing.T, track *media.Track, body []byte) gmessage.Message {
	t.Helper()
	var wire bytes.Buffer
	raw := &rawmessage.Message{ChunkStreamID: 4, Type: flv.TypeOf(track), MessageStreamID: 1, Timestamp: 40 * time.Millisecond, Body: body}
	if err := rawmessage.NewWriter(&wire, bytecounter.NewWriter(&wire), false).Write(raw); err != nil {
		t.Fatal(err)
	}
	m, err := gmessage.NewReader(&wire, bytecounter.NewReader(&wire), nil).Read()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestWeWriteGortmplibReads: a player that was written elsewhere.
func TestWeWriteGortmplibReads(t *testing.T) {
	hdr := *mediatest.H265Track(1)
	hdr.Color = &media.Color{BitDepth: 10, Primaries: 9, Transfer: media.TransferHLG, Matrix: 9}
	frames := []media.Frame{
		{Track: &hdr, Data: []byte(irap), RandomAccess: true, PTS: 3 * time.Millisecond},
		{Track: &hdr, Data: []byte(irap), RandomAccess: true},
	}
	for _, name := range []string{"av1", "opus", "ac3", "vp9", "flac"} {
		frames = append(frames, mediatest.Clip(t, name, 1)[0])
	}
	for _, f := range frames {
		t.Run(f.Track.Codec.String(), func(t *testing.T) {
			var payload []byte
			switch m := ours(t, f.Track, append(flv.AppendBodyHead(nil, &f, flv.Enhanced), f.Data...)).(type) {
			case *gmessage.VideoExCodedFrames:
				payload = m.Payload
				if m.PTSDelta != f.PTS-f.DTS {
					t.Error(m.PTSDelta)
				}
			case *gmessage.VideoExFramesX:
				payload = m.Payload
			case *gmessage.AudioExCodedFrames:
				payload = m.Payload
			default:
				t.Fatalf("%T", m)
			}
			if !bytes.Equal(payload, f.Data) {
				t.Error("other data")
			}
			body := flv.AppendSequenceBody(nil, f.Track, flv.Enhanced)
			if len(body) == 0 {
				return
			}
			switch m := ours(t, f.Track, body).(type) {
			case *gmessage.VideoExSequenceStart:
				if f.Track.Codec == media.VP9 && (m.VP9Config == nil || m.VP9Config.BitDepth != 8 || m.VP9Config.Level != 11) ||
					f.Track.Codec == media.AV1 && (m.AV1Config == nil || !bytes.Equal(m.AV1Config.ConfigOBUs, f.Track.Config[4:])) ||
					f.Track.Codec == media.H265 && m.HEVCConfig == nil {
					t.Errorf("%+v", m)
				}
			case *gmessage.AudioExSequenceStart:
				if f.Track.Codec == media.Opus && m.OpusConfig.ChannelCount != 2 || f.Track.Codec == media.FLAC && m.FlacConfig.SampleRate != 44100 {
					t.Errorf("%+v", m)
				}
			default:
				t.Fatalf("%T", m)
			}
			color := flv.AppendColorBody(nil, f.Track, flv.Enhanced)
			if len(color) == 0 {
				return
			}
			m, ok := ours(t, f.Track, color).(*gmessage.VideoExMetadata)
			if !ok || len(m.Payload) != 2 || m.Payload[0] != "colorInfo" {
				t.Fatalf("%+v", m)
			}
			transfer, ok := m.Payload[1].(gamf0.Object)
			if !ok {
				t.Fatalf("%T", m.Payload[1])
			}
			config, _ := transfer.Get("colorConfig")
			if o, ok := config.(gamf0.Object); !ok {
				t.Errorf("%T", config)
			} else if n, _ := o.Get("transferCharacteristics"); n != float64(media.TransferHLG) {
				t.Error(n)
			}
		})
	}
	values, err := gamf0.Unmarshal(flv.AppendMetadataBody(nil, []*media.Track{&hdr, frames[3].Track}, flv.Enhanced))
	if err != nil || len(values) != 2 {
		t.Fatal(values, err)
	}
	o, ok := values[1].(gamf0.ECMAArray)
	if !ok {
		t.Fatalf("%T", values[1])
	}
	for name, want := range map[string]amf0.Number{"videocodecid": 1752589105, "audiocodecid": 1332770163, "audiosamplerate": 48000} {
		if v, _ := gamf0.Object(o).Get(name); v != float64(want) {
			t.Errorf("%s is %v", name, v)
		}
	}
}
