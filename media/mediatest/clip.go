package mediatest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	mcfmp4 "github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4"

	"github.com/miju-live/miju/media"
)

// Codecs are the codecs of which testdata has a clip of their own, by name.
var Codecs = map[string]media.Codec{
	"av1": media.AV1, "vp9": media.VP9, "opus": media.Opus, "flac": media.FLAC, "ac3": media.AC3, "eac3": media.EAC3, "mp3": media.MP3,
}

// Clip reads a clip of Codecs from testdata: the frames of a real encoder, of
// a track with the given ID.
func Clip(tb testing.TB, name string, id int) []media.Frame {
	tb.Helper()
	_, here, _, _ := runtime.Caller(0)
	b, err := os.ReadFile(filepath.Join(filepath.Dir(here), "..", "..", "testdata", name+".mp4"))
	if err != nil {
		tb.Fatal(err)
	}
	frames, err := readClip(b, Codecs[name], id)
	if err != nil {
		tb.Fatalf("%s: %v", name, err)
	}
	return frames
}

func readClip(b []byte, codec media.Codec, id int) (frames []media.Frame, err error) {
	moof := bytes.Index(b, []byte("moof")) - 4
	if moof < 0 {
		return nil, fmt.Errorf("it has no fragments")
	}
	end := len(b)
	if i := bytes.LastIndex(b, []byte("mfra")); i > 0 {
		end = i - 4
	}
	var parts mcfmp4.Parts
	if err := parts.Unmarshal(b[moof:end]); err != nil {
		return nil, err
	}
	scale := time.Duration(binary.BigEndian.Uint32(box(b, "mdhd")[12:]))
	track, err := clipTrack(b, codec, id)
	if err != nil {
		return nil, err
	}
	for _, part := range parts {
		dts := int64(part.Tracks[0].BaseTime)
		for _, s := range part.Tracks[0].Samples {
			f := media.Frame{Data: s.Payload, DTS: time.Duration(dts) * time.Second / scale}
			f.PTS = f.DTS
			dts += int64(s.Duration)
			if f.RandomAccess, err = track.Check(f.Data); err != nil {
				return nil, err
			}
			if f.RandomAccess {
				if track, err = track.Refresh(f.Data); err != nil {
					return nil, err
				}
			}
			f.Track = track
			frames = append(frames, f)
		}
	}
	set := &media.TrackSet{Tracks: []*media.Track{track}, Anchor: media.Anchor{Wall: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}}
	for i := range frames {
		frames[i].Set = set
		frames[i].Arrival = set.Anchor.At(frames[i].DTS)
	}
	return frames, nil
}

// clipTrack makes the track of the record in the clip's sample entry.
func clipTrack(b []byte, codec media.Codec, id int) (*media.Track, error) {
	switch codec {
	case media.AV1:
		return media.NewAV1Track(id, box(b, "av1C"))
	case media.VP9:
		return media.NewVP9Track(id, box(b, "vpcC"))
	case media.FLAC:
		return media.NewFLACTrack(id, box(b, "dfLa")[4:])
	case media.Opus:
		d := box(b, "dOps")
		head := append([]byte("OpusHead"), 1, d[1])
		head = binary.LittleEndian.AppendUint16(head, binary.BigEndian.Uint16(d[2:]))
		head = binary.LittleEndian.AppendUint32(head, binary.BigEndian.Uint32(d[4:]))
		head = binary.LittleEndian.AppendUint16(head, binary.BigEndian.Uint16(d[8:]))
		return media.NewOpusTrack(id, append(head, d[10:]...))
	}
	return &media.Track{ID: id, Codec: codec}, nil
}

// box returns what the first box of a type inside of the movie box holds; a
// brand of the file may have the same name.
func box(b []byte, typ string) []byte {
	b = b[max(0, bytes.Index(b, []byte("moov"))):]
	i := bytes.Index(b, []byte(typ))
	if i < 4 {
		return make([]byte, 64) // of nonsense, which every parser refuses
	}
	return b[i+4 : i-4+int(binary.BigEndian.Uint32(b[i-4:]))]
}
