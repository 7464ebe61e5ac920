package ingest

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"

	"github.com/miju-live/miju/media"
)

// clip makes n seconds of 25 fps and 48 kHz, sound lag behind the picture in
// arrival; from and to are when there is no sound.
func clip(n int, lag, from, to time.Duration) (all []media.Frame) {
	v, a := every(1, 25), every(1024, 48000)
	for vn, an := int64(0), int64(0); v(vn) < time.Duration(n)*time.Second; {
		f := media.Frame{Track: video, DTS: v(vn), RandomAccess: vn%50 == 0}
		f.Arrival = epoch.Add(f.DTS)
		if at := a(an); at+lag < f.DTS && at < time.Duration(n)*time.Second {
			f = media.Frame{Track: audio, DTS: at, RandomAccess: true, Arrival: epoch.Add(at + lag)}
			if an++; at >= from && at < to {
				continue
			}
		} else {
			vn++
		}
		f.PTS, f.Data = f.DTS, []byte{1}
		all = append(all, f)
	}
	return all
}

// loud reports whether a frame is one of the encoder's.
func loud(f *media.Frame) bool { return bytes.Equal(f.Data, []byte{1}) }

func TestSoundThatDoesNotCome(t *testing.T) {
	other, err := media.NewAACTrack(2, []byte{0x12, 0x10})
	if err != nil {
		t.Fatal(err)
	}
	const never = time.Duration(1<<63 - 1)
	for _, c := range []struct {
		name    string
		frames  []media.Frame
		promise []*media.Track
		// sound is filled from and to, within a picture or two.
		from, to time.Duration
		late     int // frames left out, at most
		track    *media.Track
	}{
		{"comes all the time", clip(20, 0, 0, 0), nil, 0, 0, 0, audio},
		{"is far behind all the time", clip(20, 3*time.Second, 0, 0), nil, 0, 0, 0, audio},
		{"was promised and comes late", clip(20, 0, 0, 5*time.Second), []*media.Track{{ID: 2, Codec: media.AAC, SampleRate: 48000, Channels: 2}}, 0, 5 * time.Second, 3, audio},
		{"was promised and comes late, behind the picture", clip(20, 400*time.Millisecond, 0, 5*time.Second), []*media.Track{{ID: 2, Codec: media.AAC}}, 0, 5 * time.Second, 22, audio},
		{"was promised and never comes", clip(20, 0, 0, never), []*media.Track{{ID: 2, Codec: media.AAC, SampleRate: 44100, Channels: 1}}, 0, 20 * time.Second, 0, nil},
		{"was promised otherwise", retracked(clip(20, 0, 0, 5*time.Second), other), []*media.Track{{ID: 2, Codec: media.AAC, SampleRate: 48000, Channels: 1}}, 0, 5 * time.Second, 3, other},
		{"stops", clip(20, 0, 8*time.Second, never), nil, 8 * time.Second, 20 * time.Second, 0, audio},
		{"stops for three seconds", clip(20, 0, 8*time.Second, 11*time.Second), nil, 8 * time.Second, 11 * time.Second, 3, audio},
		{"stops for three seconds, behind the picture", clip(20, 400*time.Millisecond, 8*time.Second, 11*time.Second), nil, 8 * time.Second, 11 * time.Second, 3, audio},
		{"stops for less than a second", clip(20, 0, 8*time.Second, 8900*time.Millisecond), nil, 0, 0, 0, audio},
		{"of a codec without silence", clip(20, 0, 0, never), []*media.Track{{ID: 2, Codec: media.MP3, SampleRate: 44100, Channels: 2}}, 0, 0, 0, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRun(t)
			r.begin(c.frames[:1], []*media.Track{video}, nil, 0)
			r.promise(c.promise)
			for _, f := range c.frames {
				r.write(f)
			}
			var from, to, last time.Duration
			silent := 0
			for i := range r.frames {
				f := &r.frames[i]
				if f.Track.Kind() != media.KindAudio {
					continue
				}
				if !loud(f) {
					if silent++; from == 0 {
						from = f.DTS
					}
					to = f.DTS
				}
				if last > 0 && f.DTS-last > 90*time.Millisecond && c.to > 0 {
					t.Errorf("nothing from %v to %v", last, f.DTS)
				}
				last = f.DTS
			}
			near := func(a, b time.Duration) bool { return (a - b).Abs() < 500*time.Millisecond }
			if (silent > 0) != (c.to > 0) || !near(from, c.from) || !near(to, c.to) {
				t.Errorf("%d frames of silence from %v to %v", silent, from, to)
			}
			if n := r.repairs[RepairLateSound]; n > c.late || r.repairs[RepairNotRising] > 0 || (r.repairs[RepairSilence] == 1) != (c.to > 0) {
				t.Error(r.repairs)
			}
			if got := r.set.Lookup(2); c.track != nil && (got == nil || !bytes.Equal(got.Config, c.track.Config)) || c.track == nil && (got != nil) != (c.to > 0) {
				t.Errorf("%+v", got)
			}
		})
	}
}

// retracked gives the sound of frames another track.
func retracked(frames []media.Frame, track *media.Track) []media.Frame {
	for i := range frames {
		if frames[i].Track.ID == track.ID {
			frames[i].Track = track
		}
	}
	return frames
}

// TestPromisedSoundIsAnnounced says what viewers are told of it.
func TestPromisedSoundIsAnnounced(t *testing.T) {
	r := newRun(t)
	f := in{video, 0, 0, 0}.frame()
	r.begin([]media.Frame{f}, []*media.Track{video}, nil, 0)
	r.promise([]*media.Track{{ID: 2, Codec: media.AAC, SampleRate: 44100, Channels: 1}})
	r.write(f)
	track := r.frames[0].Set.Lookup(2)
	if track == nil || track.SampleRate != 44100 || track.Channels != 1 || len(r.frames) != 2 || r.frames[1].Track != track {
		t.Fatalf("%+v, %d frames", track, len(r.frames))
	}
	// The same record is no news but for what it says of itself.
	came := *track
	came.Bitrate = 128000
	r.write(in{&came, 100, 100, 100}.frame())
	if got := r.frames[2].Track; got != &came || !bytes.Equal(got.Config, track.Config) {
		t.Errorf("%+v", got)
	}
}

// TestPauseIsNotFilled: when pictures and sound pause together, the sound after
// the pause is not taken for late because the picture comes first.
func TestPauseIsNotFilled(t *testing.T) {
	r := newRun(t)
	r.play(in{video, 0, 0, 0}.frame(), in{audio, 0, 0, 1}.frame())
	for i := 1; i < 20; i++ {
		at := i * 5000
		r.play(in{video, at, at, at}.frame(), in{audio, at - 100, at - 100, at + 1}.frame())
	}
	if len(r.frames) != 40 || len(r.repairs) != 0 {
		t.Error(len(r.frames), r.repairs)
	}
}

// TestStillScreenWithoutSound: pictures that are far apart are no reason to
// make minutes of silence at once.
func TestStillScreenWithoutSound(t *testing.T) {
	r := newRun(t)
	r.play(in{video, 0, 0, 0}.frame(), in{audio, 0, 0, 1}.frame())
	for i := 1; i < 10; i++ {
		before := len(r.frames)
		at := i * 600_000
		r.play(in{video, at, at, at}.frame())
		if n := len(r.frames) - before; n > 500 {
			t.Fatalf("%d frames at once", n)
		}
	}
}

// TestPromisedPicturesAreAnnounced says what viewers are told of pictures that
// the encoder has announced: until they come, or for ten seconds.
func TestPromisedPicturesAreAnnounced(t *testing.T) {
	for _, c := range []struct {
		name           string
		pictures       int // come then, in ms
		at             int // in ms
		video, promise bool
	}{
		{"before they come", 4000, 3000, false, true},
		{"when they have come", 4000, 4100, true, false},
		{"when they do not come", 20000, 9000, false, true},
		{"when they do not come for long", 20000, 11000, false, false},
		{"when they come after all", 20000, 20100, true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRun(t)
			f := in{audio, 0, 0, 0}.frame()
			r.begin([]media.Frame{f}, []*media.Track{audio}, nil, 0)
			r.promise([]*media.Track{{ID: 1, Codec: media.H264}})
			for at := 0; at <= c.at; at += 100 {
				r.write(in{audio, at, at, at}.frame())
				if at >= c.pictures {
					r.write(in{video, at, at, at}.frame())
				}
			}
			set := r.frames[len(r.frames)-1].Set
			if announced := set.Announced(media.KindVideo); (set.First(media.KindVideo) != nil) != c.video || (len(set.Promised) > 0) != c.promise || (announced != nil) != (c.video || c.promise) {
				t.Errorf("%+v", set)
			}
		})
	}
}

// A track may claim any rate. No silence takes the place of frames that would
// last microseconds: there would be thousands for each picture.
func TestNoSilenceOfTinyFrames(t *testing.T) {
	rate := uint64(1<<24 - 1)
	config := binary.BigEndian.AppendUint64(nil, 2<<59|15<<55|rate<<31|1<<27)
	fast, err := media.NewAACTrack(2, config[:5])
	if err != nil || fast.SampleRate != int(rate) {
		t.Fatal(fast, err)
	}
	r := newRun(t)
	r.begin([]media.Frame{in{video, 0, 0, 0}.frame()}, []*media.Track{video, fast}, nil, 0)
	for n := range 100 {
		r.write(in{video, n * 900, n * 900, n * 33}.frame())
	}
	r.flush()
	if n := len(r.frames); n != 100 {
		t.Errorf("100 pictures became %d frames", n)
	}
}
