package media

import (
	"errors"
	"fmt"
	"time"
)

// errNoFrame says that a frame holds nothing.
var errNoFrame = errors.New("empty frame")

// Check reports whether data is whole, as far as its outer syntax tells, and
// whether decoding may start at it. See CheckNALUs for H.264 and H.265; AV1 is
// a key frame that is shown, with a sequence header in the temporal unit or the
// record; VP9 is a key frame; all sound and data is.
func (t *Track) Check(data []byte) (randomAccess bool, err error) {
	if len(data) == 0 {
		return false, errNoFrame
	}
	switch t.Codec {
	case H264, H265:
		return CheckNALUs(t.Codec, data)
	case AV1:
		return checkAV1(t, data)
	case VP9:
		return checkVP9(data)
	}
	return true, nil
}

// Refresh returns the track that a random access point decodes with: t, or
// what the frame itself says if that is more or another thing. It needs only
// ID and Codec of t where the frame brings all the rest: parameter sets in
// H.264 and H.265, the sequence header in AV1, the header of every frame in
// VP9, AC-3, E-AC-3 and MP3. On an error, which wraps ErrBadConfig, t is as it
// was. What no frame tells (bitrate, language, name) is copied.
func (t *Track) Refresh(data []byte) (*Track, error) {
	var fresh *Track
	var err error
	switch t.Codec {
	case H264, H265:
		fresh, err = refreshNALUs(t, data)
	case AV1:
		fresh, err = refreshAV1(t, data)
	case VP9:
		fresh, err = refreshVP9(t, data)
	case AC3:
		fresh, err = NewAC3Track(t.ID, data)
	case EAC3:
		fresh, err = NewEAC3Track(t.ID, data)
	case MP3:
		fresh, err = NewMP3Track(t.ID, data)
	default:
		return t, nil
	}
	if err != nil {
		if !errors.Is(err, ErrBadConfig) {
			err = fmt.Errorf("%w: %w", ErrBadConfig, err)
		}
		return t, err
	}
	if fresh == t || fresh.Kind() == KindAudio && string(fresh.Config) == string(t.Config) {
		return t, nil
	}
	fresh.Bitrate, fresh.Language, fresh.Name = t.Bitrate, t.Language, t.Name
	if fresh.FrameRate == 0 {
		fresh.FrameRate = t.FrameRate
	}
	if fresh.Color == nil {
		fresh.Color = t.Color
	}
	return fresh, nil
}

// opusFrame is the usual length of an Opus packet.
const opusFrame = 20 * time.Millisecond

// SoundDuration returns how long a frame of an audio track lasts, by its own
// header where the codec has one. Without a frame (nil) it is what frames of
// the track usually last. It is 0 where nothing tells.
func SoundDuration(t *Track, frame []byte) time.Duration {
	samples := 0
	switch t.Codec {
	case AAC:
		return AACFrameDuration(t)
	case Opus:
		if samples = opusSamples(frame); samples == 0 {
			return opusFrame
		}
	case FLAC:
		samples = flacSamples(t)
	case AC3:
		samples = ac3Samples
	case EAC3:
		if samples = eac3Duration(frame); samples == 0 {
			samples = ac3Samples
		}
	case MP3:
		header := frame
		if len(header) == 0 {
			header = t.Config
		}
		if h, err := parseMP3Header(header); err == nil {
			samples = h.samples
		}
	}
	if t.SampleRate <= 0 {
		return 0
	}
	return time.Duration(samples) * time.Second / time.Duration(t.SampleRate)
}
