package flv

import (
	"fmt"
	"time"

	"github.com/miju-live/miju/media"
)

// The default tracks that a Demuxer makes. Track n of Enhanced RTMP beyond
// them has the ID 10n higher: 11 and 21 are video, 12 and 22 audio.
const (
	VideoTrack = 1
	AudioTrack = 2
	DataTrack  = 3

	trackStep = 10
)

// MaxTracks bounds the tracks of sound and pictures of one Demuxer: an encoder
// has three to six of pictures and up to six of sound.
const MaxTracks = 16

// Demuxer makes frames of the bodies of tags, or of RTMP messages: Write takes
// one body, Next returns its frames. The zero Demuxer is ready for one file or
// connection.
type Demuxer struct {
	slots    []*slot // ordered by ID
	data     *media.Track
	promised promise
	tracks   []*media.Track

	frames []media.Frame // of the last body
	next   int           // in frames
}

// Write reads one body of type TypeAudio, TypeVideo or TypeScript; it ignores
// every other type. Next returns the frames of it that it has not returned yet
// when the next body is written, no more.
//
// Sequence headers and onMetaData make tracks instead. A frame that comes
// before its track's configuration is left out, so are silence (sound of no
// bytes) and what marks the end of a sequence. Where the encoder sends no
// usable sequence header, the parameter sets inside of the stream make the
// track, and where both differ they change it.
//
// An error wraps media.ErrUnsupportedCodec, media.ErrBadConfig, ErrMalformed or
// ErrTooLarge. An access unit whose NAL units do not fill it is ErrMalformed
// and not left out: nothing is lost on the way to us, so an encoder that makes
// one will make more, and leaving them out would show viewers broken pictures
// and the operator nothing.
func (d *Demuxer) Write(typ byte, timestamp time.Duration, body []byte) error {
	clear(d.frames)
	d.frames, d.next = d.frames[:0], 0
	if len(body) == 0 {
		return nil
	}
	switch typ {
	case TypeAudio:
		return d.writeAudio(timestamp, body)
	case TypeVideo:
		return d.writeVideo(timestamp, body)
	case TypeScript:
		return d.writeScript(timestamp, body)
	}
	return nil
}

// Next returns the next frame of the body that was written, false after the
// last. f.DTS is the body's timestamp, with the nanoseconds that Enhanced RTMP
// adds; f.Track is set, f.Set and f.Arrival are not. f.Data is a slice of the
// body, but for AV1 that had to be completed.
func (d *Demuxer) Next() (f media.Frame, ok bool) {
	if d.next == len(d.frames) {
		return f, false
	}
	f, d.frames[d.next].Data = d.frames[d.next], nil
	d.next++
	return f, true
}

func (d *Demuxer) queue(f media.Frame) { d.frames = append(d.frames, f) }

// Tracks returns the tracks known so far, ordered by ID, and whether they are
// all that onMetaData promised; without a promise they never are. The caller
// must not change the slice.
func (d *Demuxer) Tracks() (tracks []*media.Track, complete bool) {
	if !d.promised.video && !d.promised.audio {
		return d.tracks, false
	}
	for _, id := range d.promised.ids() {
		if s := d.lookup(id); s == nil || s.track == nil {
			return d.tracks, false
		}
	}
	return d.tracks, true
}

func (d *Demuxer) writeScript(timestamp time.Duration, body []byte) error {
	name, frame, values, err := cutScript(body)
	if err != nil || name == nameClearData || name == nameCuePoint && isClock(values) { // that of another stream's time
		return err
	}
	if name == nameMetadata {
		return d.setPromise(values)
	}
	if d.data == nil {
		d.data = &media.Track{ID: DataTrack, Codec: media.Script}
		d.collect()
	}
	d.queue(media.Frame{Track: d.data, DTS: timestamp, PTS: timestamp, RandomAccess: true, Data: frame})
	return nil
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
	for _, s := range d.slots {
		d.describe(s)
	}
	return nil
}

func unsupported(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{media.ErrUnsupportedCodec}, args...)...)
}

func cutShort(what string, n int) error {
	return fmt.Errorf("%w: %s of %d bytes", ErrMalformed, what, n)
}
