package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/bluenviron/gortmplib"
	"github.com/bluenviron/gortmplib/pkg/bytecounter"
	rtmpcodecs "github.com/bluenviron/gortmplib/pkg/codecs"
	"github.com/bluenviron/gortmplib/pkg/message"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h265"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mpegts"
	tscodecs "github.com/bluenviron/mediacommon/v2/pkg/formats/mpegts/codecs"

	"github.com/miju-live/miju/ingest/rtmp/chunk"
	"github.com/miju-live/miju/remux/flv"
)

// ffmpeg 5.1 knows no H.265 in FLV and RTMP, so gortmplib, an Enhanced RTMP
// implementation that is not ours, publishes and reads it here.

// timedUnits is a clip as access units with their times.
type timedUnits struct {
	vps, sps, pps []byte
	video         []timedUnit
	audio         []timedUnit
	aac           mpeg4audio.AudioSpecificConfig
}

type timedUnit struct {
	pts, dts time.Duration
	nalus    [][]byte // one, for sound
}

func ticks(n int64) time.Duration { return time.Duration(n) * time.Second / 90000 }

// loadHEVC reads h265-aac.mp4 with ffmpeg and mediacommon.
func loadHEVC(t *testing.T) timedUnits {
	t.Helper()
	ts := command(t, true, "ffmpeg", "-v", "error", "-i", clipPath("h265-aac.mp4"), "-c", "copy", "-f", "mpegts", "-muxdelay", "0", "-")
	r := &mpegts.Reader{R: bytes.NewReader(ts)}
	if err := r.Initialize(); err != nil {
		t.Fatal(err)
	}
	var u timedUnits
	for _, track := range r.Tracks() {
		switch c := track.Codec.(type) {
		case *tscodecs.H265:
			r.OnDataH265(track, func(pts, dts int64, au [][]byte) error {
				u.addPicture(timedUnit{ticks(pts), ticks(dts), au})
				return nil
			})
		case *tscodecs.MPEG4Audio:
			u.aac = c.Config
			r.OnDataMPEG4Audio(track, func(pts int64, aus [][]byte) error {
				for i, au := range aus {
					at := ticks(pts) + time.Duration(i)*1024*time.Second/time.Duration(u.aac.SampleRate)
					u.audio = append(u.audio, timedUnit{at, at, [][]byte{au}})
				}
				return nil
			})
		}
	}
	for {
		if err := r.Read(); errors.Is(err, io.EOF) {
			return u
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

// addPicture keeps the parameter sets apart: a track's record carries them.
func (u *timedUnits) addPicture(p timedUnit) {
	p.nalus = slices.DeleteFunc(slices.Clone(p.nalus), func(n []byte) bool {
		switch h265.NALUType(n[0] >> 1 & 0x3f) {
		case h265.NALUType_VPS_NUT:
			u.vps = n
		case h265.NALUType_SPS_NUT:
			u.sps = n
		case h265.NALUType_PPS_NUT:
			u.pps = n
		case h265.NALUType_AUD_NUT:
		default:
			return false
		}
		return true
	})
	u.video = append(u.video, p)
}

// publishHEVC sends u in a loop, in real time, by Enhanced RTMP, until ctx ends.
func publishHEVC(ctx context.Context, u timedUnits, target string) error {
	address, err := url.Parse(target)
	if err != nil {
		return err
	}
	c := &gortmplib.Client{URL: address, Publish: true}
	if err := c.Initialize(ctx); err != nil {
		return err
	}
	defer c.Close()
	video := &gortmplib.Track{Codec: &rtmpcodecs.H265{VPS: u.vps, SPS: u.sps, PPS: u.pps}}
	audio := &gortmplib.Track{Codec: &rtmpcodecs.MPEG4Audio{Config: &u.aac}}
	w := &gortmplib.Writer{Conn: c, Tracks: []*gortmplib.Track{video, audio}}
	if err := w.Initialize(); err != nil {
		return err
	}
	begun := time.Now()
	zero := min(u.video[0].dts, u.audio[0].dts)
	period := time.Duration(len(u.video)) * time.Second / 30
	for i, j := 0, 0; ; {
		v, a := u.video[i%len(u.video)], u.audio[j%len(u.audio)]
		vo, ao := time.Duration(i/len(u.video))*period-zero, time.Duration(j/len(u.audio))*period-zero
		next := min(v.dts+vo, a.dts+ao)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Until(begun.Add(next))):
		}
		if v.dts+vo <= a.dts+ao {
			err = w.WriteH265(video, v.pts+vo, v.dts+vo, v.nalus)
			i++
		} else {
			err = w.WriteMPEG4Audio(audio, a.pts+ao, a.nalus[0])
			j++
		}
		if err != nil {
			return err
		}
	}
}

// flvConn gives the tags of an HTTP-FLV answer to gortmplib as the RTMP
// messages that they are.
type flvConn struct{ r *message.Reader }

var _ gortmplib.Conn = flvConn{}

func newFLVConn(body io.Reader) flvConn {
	w := &tagWire{tags: flv.NewReader(body)}
	w.wire.Write(chunk.Append(nil, 128, chunk.Message{ChunkStream: 2, Type: chunk.TypeSetChunkSize, Body: []byte{0, 0, 0x10, 0}}))
	count := bytecounter.NewReader(w)
	return flvConn{message.NewReader(count, count, func(uint32) error { return nil })}
}

func (c flvConn) Read() (message.Message, error) { return c.r.Read() }
func (flvConn) Write(message.Message) error      { return nil }
func (flvConn) BytesReceived() uint64            { return 0 }
func (flvConn) BytesSent() uint64                { return 0 }

// tagWire is the tags as a chunk stream.
type tagWire struct {
	tags *flv.Reader
	wire bytes.Buffer
}

func (w *tagWire) Read(p []byte) (int, error) {
	for w.wire.Len() == 0 {
		typ, timestamp, body, err := w.tags.ReadTag()
		if err != nil {
			return 0, err
		}
		w.wire.Write(chunk.Append(nil, 4096, chunk.Message{
			ChunkStream: uint32(typ), Type: typ, Stream: 1, Timestamp: uint32(timestamp.Milliseconds()), Body: body,
		}))
	}
	return w.wire.Read(p)
}

// readHEVC reads ten seconds of H.265 FLV.
func readHEVC(t *testing.T, target string) timedUnits {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	r := &gortmplib.Reader{Conn: newFLVConn(res.Body)}
	if err := r.Initialize(); err != nil {
		t.Fatal(err)
	}
	var u timedUnits
	for _, track := range r.Tracks() {
		switch c := track.Codec.(type) {
		case *rtmpcodecs.H265:
			u.vps, u.sps, u.pps = c.VPS, c.SPS, c.PPS
			r.OnDataH265(track, func(pts, dts time.Duration, au [][]byte) {
				if h265.NALUType(au[0][0]>>1&0x3f) != h265.NALUType_VPS_NUT { // the legacy sequence header comes as a unit
					u.addPicture(timedUnit{pts, dts, au})
				}
			})
		case *rtmpcodecs.MPEG4Audio:
			u.aac = *c.Config
			r.OnDataMPEG4Audio(track, func(pts time.Duration, au []byte) {
				u.audio = append(u.audio, timedUnit{pts, pts, [][]byte{au}})
			})
		default:
			t.Errorf("track of %T", c)
		}
	}
	for len(u.video) < 300 {
		if err := r.Read(); err != nil {
			t.Fatal(err)
		}
	}
	return u
}

// TestEnhancedRTMP publishes H.265 as Enhanced RTMP and reads it back in both
// packings of FLV, and as HLS.
func TestEnhancedRTMP(t *testing.T) {
	s := start(t)
	pushed := loadHEVC(t)
	ctx, cancel := context.WithCancel(t.Context())
	published := make(chan error, 1)
	go func() { published <- publishHEVC(ctx, pushed, s.rtmpURL("hevc")) }()
	defer func() {
		cancel()
		if err := <-published; err != nil {
			t.Error(err)
		}
	}()
	s.waitLive(t, "hevc")
	t.Run("players", func(t *testing.T) {
		for _, query := range []string{"", "?hevc=enhanced", "?hevc=legacy"} {
			t.Run("flv"+query, func(t *testing.T) {
				t.Parallel()
				checkUnits(t, pushed, readHEVC(t, s.url("/live/hevc.flv"+query)))
			})
		}
		t.Run("hls", func(t *testing.T) {
			t.Parallel()
			checkPackets(t, "h265-aac.mp4", probePackets(t, s.url("/live/hevc.m3u8"), 10), true, true)
		})
		t.Run("hls decoded", func(t *testing.T) {
			t.Parallel()
			command(t, true, "ffmpeg", "-v", "error", "-xerror", "-i", s.url("/live/hevc.m3u8"), "-t", "10", "-f", "null", "-")
		})
	})
}

// checkUnits holds what was read against what was pushed: the same pictures
// and sounds in turn, none left out, DTS rising, both in step.
func checkUnits(t *testing.T, want, got timedUnits) {
	t.Helper()
	if !bytes.Equal(got.sps, want.sps) || !bytes.Equal(got.pps, want.pps) || !bytes.Equal(got.vps, want.vps) {
		t.Error("other parameter sets")
	}
	if got.aac.SampleRate != want.aac.SampleRate {
		t.Errorf("%+v", got.aac)
	}
	if !h265.IsRandomAccess(got.video[0].nalus) {
		t.Error("the first picture is no random access point")
	}
	v, a := unitOffsets(t, "picture", want.video, got.video), unitOffsets(t, "sound", want.audio, got.audio)
	best := time.Hour
	for _, i := range v {
		for _, j := range a {
			apart := (got.audio[0].pts - got.video[0].pts) - (want.audio[j].pts - want.video[i].pts)
			const period = 8 * time.Second
			best = min(best, ((apart+period/2+10*period)%period - period/2).Abs())
		}
	}
	if best > 40*time.Millisecond {
		t.Errorf("sound and picture are %v further apart than in the clip", best)
	}
}

func unitOffsets(t *testing.T, what string, want, got []timedUnit) []int {
	t.Helper()
	for i := 1; i < len(got); i++ {
		if got[i].dts <= got[i-1].dts {
			t.Errorf("%s %d has DTS %v after %v", what, i, got[i].dts, got[i-1].dts)
		}
	}
	var all []int
	for start := range want {
		same := true
		for i := range got {
			if same = sameNALUs(want[(start+i)%len(want)].nalus, got[i].nalus); !same {
				break
			}
		}
		if same {
			all = append(all, start)
		}
	}
	if len(all) == 0 {
		t.Errorf("the %d %ss are not those that were pushed", len(got), what)
	}
	return all
}

func sameNALUs(a, b [][]byte) bool { return slices.EqualFunc(a, b, bytes.Equal) }
