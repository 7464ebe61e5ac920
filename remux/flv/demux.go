package flv

import (
	"bytes"
	"fmt"
	"time"

	"github.com/miju-live/miju/media"
)

// The tracks that a Demuxer makes.
const (
	VideoTrack = 1
	AudioTrack = 2
	DataTrack  = 3
)

// Demuxer makes frames of the bodies of tags, or of RTMP messages. The zero
// Demuxer is ready for one file or connection.
type Demuxer struct {
	video, audio, data *media.Track
	promised           promise

	tracks []*media.Track
}

// Demux reads one body of type TypeAudio, TypeVideo or TypeScript; it ignores
// every other type. It returns ok with a frame: f.Data is a slice of body,
// f.DTS is timestamp, f.Track is set, f.Set and f.Arrival are not.
//
// Sequence headers and onMetaData make tracks instead. A frame that comes
// before its track's sequence header is left out, so are silence (sound of no
// bytes) and what marks the end of a sequence.
//
// An error wraps media.ErrUnsupportedCodec, media.ErrBadConfig, ErrMalformed or
// ErrTooLarge. An access unit whose NAL units do not fill it is ErrMalformed
// and not left out: nothing is lost on the way to us, so an encoder that makes
// one will make more, and leaving them out would show viewers broken pictures
// and the operator nothing.
func (d *Demuxer) Demux(typ byte, timestamp time.Duration, body []byte) (f media.Frame, ok bool, err error) {
	if len(body) == 0 {
		return f, false, nil
	}
	switch typ {
	case TypeAudio:
		return d.demuxAudio(timestamp, body)
	case TypeVideo:
		return d.demuxVideo(timestamp, body)
	case TypeScript:
		return d.demuxScript(timestamp, body)
	}
	return f, false, nil
}

// Tracks returns the tracks known so far, ordered by ID, and whether they are
// all that onMetaData promised; without a promise they never are. The caller
// must not change the slice.
func (d *Demuxer) Tracks() (tracks []*media.Track, complete bool) {
	p := d.promised
	return d.tracks, (p.video || p.audio) && (!p.video || d.video != nil) && (!p.audio || d.audio != nil)
}

func (d *Demuxer) demuxScript(timestamp time.Duration, body []byte) (f media.Frame, ok bool, err error) {
	name, frame, values, err := cutScript(body)
	if err != nil || name == nameClearData {
		return f, false, err
	}
	if name == nameMetadata {
		return f, false, d.setPromise(values)
	}
	if d.data == nil {
		d.data = &media.Track{ID: DataTrack, Codec: media.Script}
		d.collect()
	}
	return media.Frame{Track: d.data, DTS: timestamp, PTS: timestamp, RandomAccess: true, Data: frame}, true, nil
}

// setPromise reads onMetaData, which some encoders send again and again.
func (d *Demuxer) setPromise(values []byte) error {
	p, err := readPromise(values)
	if err != nil {
		return err
	}
	if !p.video && !p.audio {
		p.video, p.audio = d.promised.video, d.promised.audio
	}
	d.promised = p
	if d.video != nil {
		d.setVideo(d.video)
	}
	if d.audio != nil {
		d.setAudio(d.audio)
	}
	return nil
}

// sameConfig reports whether t is made of this record: encoders repeat it.
func sameConfig(t *media.Track, c media.Codec, record []byte) bool {
	return t != nil && t.Codec == c && bytes.Equal(t.Config, record)
}

// setVideo makes t the video track, with what only onMetaData tells.
func (d *Demuxer) setVideo(t *media.Track) {
	described := *t
	if t.FrameRate == 0 {
		described.FrameRate = d.promised.frameRate
	}
	if d.promised.videoBitrate != 0 {
		described.Bitrate = d.promised.videoBitrate
	}
	d.video = replace(d.video, t, described)
	d.collect()
}

// setAudio makes t the audio track, with what only onMetaData tells.
func (d *Demuxer) setAudio(t *media.Track) {
	described := *t
	if d.promised.audioBitrate != 0 {
		described.Bitrate = d.promised.audioBitrate
	}
	d.audio = replace(d.audio, t, described)
	d.collect()
}

// replace returns old if it is t and described changes nothing about it.
func replace(old, t *media.Track, described media.Track) *media.Track {
	if old == t && t.FrameRate == described.FrameRate && t.Bitrate == described.Bitrate {
		return old
	}
	return &described
}

func (d *Demuxer) collect() {
	d.tracks = nil
	for _, t := range []*media.Track{d.video, d.audio, d.data} {
		if t != nil {
			d.tracks = append(d.tracks, t)
		}
	}
}

func unsupported(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{media.ErrUnsupportedCodec}, args...)...)
}

func cutShort(what string, n int) error {
	return fmt.Errorf("%w: %s of %d bytes", ErrMalformed, what, n)
}
