package flv

import (
	"fmt"

	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/remux/amf0"
)

const (
	nameMetadata   = "onMetaData"
	nameSetData    = "@setDataFrame"
	nameClearData  = "@clearDataFrame"
	audioBits      = 16 // AAC has none; the field is for PCM, and all write 16
	encoderName    = "Miju"
	bitsPerKilobit = 1000
)

// AppendMetadata appends a whole script tag at timestamp 0 with the body of
// AppendMetadataBody.
func AppendMetadata(dst []byte, tracks []*media.Track, p Packing) []byte {
	return appendTag(dst, TypeScript, AppendMetadataBody(nil, tracks, p), 0)
}

// AppendMetadataBody appends the body of a script tag or data message,
// onMetaData (E.5), that describes the first video and the first audio track.
func AppendMetadataBody(dst []byte, tracks []*media.Track, p Packing) []byte {
	set := media.TrackSet{Tracks: tracks}
	video, audio := set.First(media.KindVideo), set.First(media.KindAudio)
	m := amf0.ECMAArray{
		{Name: "hasVideo", Value: amf0.Boolean(video != nil)},
		{Name: "hasAudio", Value: amf0.Boolean(audio != nil)},
	}
	number := func(name string, n float64) {
		if n > 0 {
			m = append(m, amf0.Property{Name: name, Value: amf0.Number(n)})
		}
	}
	if video != nil {
		number("width", float64(video.Width))
		number("height", float64(video.Height))
		number("framerate", video.FrameRate)
		number("videocodecid", codecID(video, p))
		number("videodatarate", float64(video.Bitrate)/bitsPerKilobit)
	}
	if audio != nil {
		number("audiocodecid", codecID(audio, p))
		number("audiosamplerate", float64(audio.SampleRate))
		number("audiosamplesize", audioBits)
		number("audiochannels", float64(audio.Channels))
		m = append(m, amf0.Property{Name: "stereo", Value: amf0.Boolean(audio.Channels >= 2)})
		number("audiodatarate", float64(audio.Bitrate)/bitsPerKilobit)
	}
	m = append(m, amf0.Property{Name: "encoder", Value: amf0.String(encoderName)})
	return amf0.Append(dst, amf0.String(nameMetadata), m)
}

// codecID is a track's codec as onMetaData has it: the old header's id, or the
// FourCC as a number.
func codecID(t *media.Track, p Packing) float64 {
	f := formOf(t, p)
	return float64(max(uint32(f.legacy), uint32(f.four)))
}

// cutScript splits script data into its name and the values that make a frame
// of it: the name and what follows, without the envelope that RTMP encoders
// put around it.
func cutScript(body []byte) (name string, frame, values []byte, err error) {
	if len(body) > maxScript {
		return "", nil, nil, fmt.Errorf("%w: %d bytes", ErrTooLarge, len(body))
	}
	d := amf0.NewDecoder(body)
	for frame = body; ; frame = d.Rest() {
		v, err := d.Next()
		if err != nil {
			return "", nil, nil, fmt.Errorf("%w: name of script data: %w", ErrMalformed, err)
		}
		s, ok := v.(amf0.String)
		if !ok {
			return "", nil, nil, fmt.Errorf("%w: script data without a name", ErrMalformed)
		}
		if s != nameSetData {
			return string(s), frame, d.Rest(), nil
		}
	}
}
