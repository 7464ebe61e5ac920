package origin

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miju-live/miju/auth"
	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/media/mediatest"
	"github.com/miju-live/miju/remux/hls"
	"github.com/miju-live/miju/remux/hls/hlstest"
	"github.com/miju-live/miju/stream"
	"github.com/miju-live/miju/streamkey"
)

// stage is a server with one publisher, in a bubble whose clock is fake.
type stage struct {
	t         *testing.T
	hub       *stream.Hub
	server    *Server
	publisher *stream.Publisher
	source    *mediatest.Source
	next      *media.Frame
}

// onStage runs f in a bubble and ends everything afterwards; that all
// goroutines are gone is checked by synctest.
func onStage(t *testing.T, f func(*stage), change ...func(*Config)) {
	synctest.Test(t, func(t *testing.T) {
		s := &stage{t: t, hub: stream.NewHub(stream.DefaultConfig(), nil)}
		c := DefaultConfig()
		for _, f := range change {
			f(&c)
		}
		s.server = NewServer(c, s.hub, auth.Open{}, http.NotFoundHandler(), slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			s.server.Run(ctx)
			close(done)
		}()
		s.publish(&mediatest.Source{Video: mediatest.H264Track(1), Audio: mediatest.AACTrack(2)})
		f(s)
		s.publisher.Close()
		cancel()
		<-done
	})
}

func (s *stage) publish(source *mediatest.Source) {
	s.t.Helper()
	key, err := streamkey.Parse("live/alice")
	if err != nil {
		s.t.Fatal(err)
	}
	if s.publisher, err = s.hub.Publish(key, stream.Source{}); err != nil {
		s.t.Fatal(err)
	}
	s.source, s.next = source, nil
}

// play publishes up to a DTS and waits until all of it is packaged.
func (s *stage) play(until time.Duration) {
	for {
		if s.next == nil {
			f := s.source.Next()
			s.next = &f
		}
		if s.next.DTS >= until {
			break
		}
		s.publisher.Write(*s.next)
		s.next = nil
	}
	synctest.Wait()
}

// get requests a path below /live/ and returns the answer, which must not block.
func (s *stage) get(path string, header ...string) *httptest.ResponseRecorder {
	s.t.Helper()
	got, w := s.ask(context.Background(), path, header...)
	select {
	case <-got:
	default:
		s.t.Fatalf("%s blocks", path)
	}
	return w
}

// ask requests a path and returns when it is answered or waits.
func (s *stage) ask(ctx context.Context, path string, header ...string) (<-chan struct{}, *httptest.ResponseRecorder) {
	method := http.MethodGet
	if after, ok := strings.CutPrefix(path, "HEAD "); ok {
		method, path = http.MethodHead, after
	}
	r := httptest.NewRequestWithContext(ctx, method, "/live/"+path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	done := make(chan struct{})
	go func() {
		s.server.ServeHTTP(w, r)
		close(done)
	}()
	synctest.Wait()
	return done, w
}

func (s *stage) playlist(path string) *hlstest.Playlist {
	s.t.Helper()
	w := s.get(path)
	l, err := hlstest.Parse(w.Body.Bytes())
	if w.Code != http.StatusOK || err != nil {
		s.t.Fatalf("%s: %d %v\n%s", path, w.Code, err, w.Body)
	}
	return l
}

func answered(done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	default:
		return false
	}
}

func TestHLSAnswers(t *testing.T) {
	onStage(t, func(s *stage) {
		s.play(3 * time.Second)
		first, _ := s.ask(s.t.Context(), "alice.m3u8") // starts the packager, which begins at the newest GOP
		if answered(first) {
			t.Fatal("a playlist without a whole segment")
		}
		s.play(9*time.Second + 450*time.Millisecond)
		if !answered(first) {
			t.Fatal("the multivariant playlist does not come")
		}
		l := s.playlist("alice/video.m3u8")
		msn := l.Segments[len(l.Segments)-1].Number
		at := func(format string, args ...any) string { return "alice/video.m3u8?" + fmt.Sprintf(format, args...) }
		for _, c := range []struct {
			name, path  string
			status      int
			cache, body string
		}{
			{"multivariant", "alice.m3u8", 200, "max-age=2", "alice/video.m3u8"},
			{"media playlist", "alice/audio.m3u8", 200, "max-age=2", l.Segments[0].URI[5:]},
			{"HEAD", "HEAD alice/audio.m3u8", 200, "max-age=2", ""},
			{"a part that is there", at("_HLS_msn=%d&_HLS_part=0", msn), 200, "max-age=24", l.Hint},
			{"a whole segment that is there", at("_HLS_msn=%d", msn-1), 200, "max-age=24", l.Hint},
			{"long gone: the whole playlist", at("_HLS_msn=0&_HLS_part=0&_HLS_skip=YES"), 200, "max-age=24", l.Segments[0].URI},
			{"a part beyond its segment is the next one's first", at("_HLS_msn=%d&_HLS_part=99", msn-1), 200, "max-age=24", l.Hint},
			{"a token is no business of the playlist", at("token=secret&_HLS_msn=%d", msn-1), 200, "max-age=24", l.Hint},
			{"part without segment", at("_HLS_part=1"), 400, "no-store", "bad_directive"},
			{"no number", at("_HLS_msn=x"), 400, "no-store", "bad_directive"},
			{"three segments ahead", at("_HLS_msn=%d", msn+3), 400, "no-store", "too_far"},
			{"too many parts ahead", at("_HLS_msn=%d&_HLS_part=%d", msn, len(l.Segments[len(l.Segments)-1].Parts)+15), 400, "no-store", "too_far"},
			{"too many parts ahead in the next segment", at("_HLS_msn=%d&_HLS_part=15", msn+1), 400, "no-store", "too_far"},
			{"initialization section", "alice/" + l.Segments[0].Map, 200, "max-age=3600, immutable", "avcC"},
			{"segment", "alice/" + l.Segments[0].URI, 200, "max-age=3600, immutable", "moof"},
			{"part", "alice/" + l.Segments[0].Parts[0].URI, 200, "max-age=3600, immutable", "moof"},
			{"a part of before the window", "alice/video-0-1.mp4", 404, "max-age=4", "no_such_file"},
			{"a part that its segment did not have", fmt.Sprintf("alice/video-%d-99.mp4", msn-1), 404, "max-age=4", "no_such_file"},
			{"a part after the next", fmt.Sprintf("alice/video-%d-9.mp4", msn), 404, "no-store", "no_such_file"},
			{"a part of a segment to come", fmt.Sprintf("alice/video-%d-0.mp4", msn+1), 404, "no-store", "no_such_file"},
			{"a segment that grows", fmt.Sprintf("alice/video-%d.mp4", msn), 404, "no-store", "no_such_file"},
			{"a segment to come", fmt.Sprintf("alice/audio-%d.mp4", msn+1), 404, "no-store", "no_such_file"},
			{"an initialization section to come", "alice/video-init-99.mp4", 404, "no-store", "no_such_file"},
			{"a number with a zero before it", "alice/video-0" + l.Segments[0].URI[6:], 404, "max-age=4", "no_such_file"},
			{"unknown playlist", "alice/subtitles.m3u8", 404, "max-age=4", "no_such_file"},
			{"unknown playlist with directives", "alice/subtitles.m3u8?_HLS_msn=1", 404, "max-age=16", "no_such_file"},
			{"a stream that is not live", "bob.m3u8", 404, "max-age=1", "not_live"},
			{"a file of a stream that is not live", "bob/video.m3u8", 404, "max-age=1", "not_live"},
		} {
			w := s.get(c.path)
			if w.Code != c.status || w.Header().Get("Cache-Control") != c.cache || !strings.Contains(w.Body.String(), c.body) {
				t.Errorf("%s: %s: %d, Cache-Control %q, %.300q", c.name, c.path, w.Code, w.Header().Get("Cache-Control"), w.Body)
			}
			if w.Code >= 400 && !json.Valid(w.Body.Bytes()) {
				t.Errorf("%s: %s: no JSON: %s", c.name, c.path, w.Body)
			}
		}
	})
}

func TestHLSBlockingReload(t *testing.T) {
	onStage(t, func(s *stage) {
		s.play(time.Millisecond)
		started, _ := s.ask(s.t.Context(), "alice.m3u8")
		s.play(4*time.Second + 450*time.Millisecond)
		<-started
		l := s.playlist("alice/video.m3u8")
		open := l.Segments[len(l.Segments)-1]
		part, playlist := s.askPart(open, len(open.Parts))
		segment, whole := s.ask(s.t.Context(), fmt.Sprintf("alice/video.m3u8?_HLS_msn=%d", open.Number))
		hint, file := s.ask(s.t.Context(), "alice/"+l.Hint)
		if answered(part) || answered(segment) || answered(hint) {
			t.Fatal("an answer before its time")
		}
		s.play(4*time.Second + 650*time.Millisecond)
		if !answered(part) || !answered(hint) || answered(segment) {
			t.Fatal("part, its file and segment are", answered(part), answered(hint), answered(segment))
		}
		if !strings.Contains(playlist.Body.String(), `URI="`+l.Hint) || file.Code != 200 || file.Body.Len() == 0 {
			t.Errorf("the playlist of the part: %s", playlist.Body)
		}
		s.play(6*time.Second + 50*time.Millisecond)
		if !answered(segment) || !strings.Contains(whole.Body.String(), fmt.Sprintf("\nvideo-%d.mp4\n", open.Number)) {
			t.Errorf("no whole segment: %s", whole.Body)
		}
	})
}

func (s *stage) askPart(open hlstest.Segment, part int) (<-chan struct{}, *httptest.ResponseRecorder) {
	return s.ask(s.t.Context(), fmt.Sprintf("alice/video.m3u8?_HLS_msn=%d&_HLS_part=%d", open.Number, part))
}

func TestHLSBlockedTooLong(t *testing.T) {
	onStage(t, func(s *stage) {
		s.play(time.Millisecond)
		started, _ := s.ask(s.t.Context(), "alice.m3u8")
		s.play(4*time.Second + 450*time.Millisecond)
		<-started
		l := s.playlist("alice/video.m3u8")
		open := l.Segments[len(l.Segments)-1]
		begun := time.Now()
		done, w := s.askPart(open, len(open.Parts))
		<-done
		if took := time.Since(begun); w.Code != 503 || took != 12*time.Second || w.Header()[lateCacheControl][0] != "no-store" || w.Header().Get("X-Accel-Expires") != "1" {
			t.Errorf("%d after %v with %v", w.Code, took, w.Header())
		}
		ctx, leave := context.WithCancel(s.t.Context())
		done, w = s.ask(ctx, "alice/"+l.Hint)
		leave()
		<-done // or synctest says deadlock
		if w.Body.Len() > 0 {
			t.Errorf("an answer for nobody: %s", w.Body)
		}
	})
}

func TestHLSFirstPlaylistTooLong(t *testing.T) {
	onStage(t, func(s *stage) {
		s.play(time.Second)
		begun := time.Now()
		done, w := s.ask(s.t.Context(), "alice/video.m3u8")
		<-done
		if took := time.Since(begun); w.Code != 503 || took != startWait {
			t.Errorf("%d after %v", w.Code, took)
		}
	})
}

func TestHLSEnd(t *testing.T) {
	onStage(t, func(s *stage) {
		s.play(time.Millisecond)
		started, _ := s.ask(s.t.Context(), "alice.m3u8")
		s.play(5*time.Second + 450*time.Millisecond)
		<-started
		l := s.playlist("alice/video.m3u8")
		last := l.Segments[len(l.Segments)-1]
		waiting, w := s.ask(s.t.Context(), fmt.Sprintf("alice/video.m3u8?_HLS_msn=%d&_HLS_part=0&_HLS_skip=YES", last.Number+1))
		s.publisher.Close()
		synctest.Wait()
		if !answered(waiting) || !strings.Contains(w.Body.String(), "#EXT-X-ENDLIST") || w.Header().Get("Cache-Control") != "max-age=1" {
			t.Fatalf("no end: %d %v\n%s", w.Code, w.Header(), w.Body)
		}
		l = s.playlist("alice/video.m3u8?_HLS_msn=999999999") // directives mean nothing any more
		if end := l.Segments[len(l.Segments)-1]; !l.Ended || end.Number != last.Number || end.URI == "" {
			t.Errorf("ends with %+v", end)
		}
		<-time.After(11 * time.Second) // of the fake clock
		if w := s.get("alice/" + l.Segments[0].URI); w.Code != 200 {
			t.Errorf("segment of an ended stream: %d", w.Code)
		}
		<-time.After(2 * time.Second)
		if w := s.get("alice/video.m3u8"); w.Code != 404 || s.server.HLSStats().Packagers != 0 {
			t.Errorf("%d with %d packagers after the end", w.Code, s.server.HLSStats().Packagers)
		}
	})
}

func TestHLSNumbersRiseOverANewStream(t *testing.T) {
	onStage(t, func(s *stage) {
		s.play(time.Millisecond)
		started, _ := s.ask(s.t.Context(), "alice.m3u8")
		s.play(5 * time.Second)
		<-started
		before := s.playlist("alice/video.m3u8")
		s.publisher.Close()
		synctest.Wait()
		s.publish(&mediatest.Source{Video: mediatest.H265Track(1)})
		s.play(time.Millisecond)
		started, _ = s.ask(s.t.Context(), "alice.m3u8")
		s.play(5 * time.Second)
		if !answered(started) {
			t.Fatal("the new stream has no playlist")
		}
		after := s.playlist("alice/video.m3u8")
		if after.MediaSequence <= before.Segments[len(before.Segments)-1].Number || after.DiscontinuitySequence <= before.DiscontinuitySequence {
			t.Errorf("numbers go from %d/%d to %d/%d", before.MediaSequence, before.DiscontinuitySequence, after.MediaSequence, after.DiscontinuitySequence)
		}
		if w := s.get("alice/audio.m3u8"); w.Code != 404 {
			t.Errorf("sound of the old stream: %d", w.Code)
		}
	})
}

func TestHLSNumbersOfTheClock(t *testing.T) {
	at := func(year int) (n hls.Numbers) { return firstNumbers(time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC)) }
	for _, c := range []struct {
		name string
		year int
		want hls.Numbers
	}{
		{"a clock that was never set", 1970, hls.Numbers{Segment: 1}},
		{"the beginning", 2026, hls.Numbers{Segment: 1}},
		{"a year later", 2027, hls.Numbers{Segment: 1 + 365*86400*4, Discontinuity: 365 * 24 * 12}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := at(c.year); got != c.want {
				t.Errorf("numbers %+v, want %+v", got, c.want)
			}
		})
	}
	if n := at(2042).Segment; n > math.MaxInt32 {
		t.Errorf("media sequence number %d has more than 31 bits", n)
	}
}

func TestHLSUnsupportedCodec(t *testing.T) {
	onStage(t, func(s *stage) {
		s.publisher.Close()
		s.publish(&mediatest.Source{Video: mediatest.H264Track(1)})
		f := s.source.Next()
		opus := &media.Track{ID: 2, Codec: media.Opus, Config: []byte{1}, SampleRate: 48000}
		f.Set = &media.TrackSet{Tracks: []*media.Track{f.Track, opus}}
		s.publisher.Write(f)
		if w := s.get("alice.m3u8"); w.Code != 406 || !strings.Contains(w.Body.String(), "Opus") {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	})
}

func TestHLSAlways(t *testing.T) {
	onStage(t, func(s *stage) {
		s.play(time.Millisecond)
		s.server.StreamChanged(s.publisher.Stream().Key())
		if n := s.server.HLSStats().Packagers; n != 0 {
			t.Errorf("%d packagers that nobody asked for", n)
		}
		s.server.config.HLS.Always = true
		s.server.StreamChanged(s.publisher.Stream().Key())
		synctest.Wait() // it begins to follow
		s.play(3 * time.Second)
		if s.playlist("alice/video.m3u8"); s.server.HLSStats().Segments != 2 {
			t.Errorf("stats %+v", s.server.HLSStats())
		}
	})
}

func TestHLSEncodingAndRanges(t *testing.T) {
	onStage(t, func(s *stage) {
		s.play(time.Millisecond)
		started, _ := s.ask(s.t.Context(), "alice.m3u8")
		s.play(5 * time.Second)
		<-started
		plain := s.get("alice/video.m3u8", "Accept-Encoding", "br, gzip;q=0")
		small := s.get("alice/video.m3u8", "Accept-Encoding", "br, gzip")
		if plain.Header().Get("Content-Encoding") != "" || small.Header().Get("Content-Encoding") != "gzip" || small.Header().Get("Vary") != "Accept-Encoding" {
			t.Fatalf("%v and %v", plain.Header(), small.Header())
		}
		z, err := gzip.NewReader(small.Body)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(z); err != nil || !bytes.Equal(got, plain.Body.Bytes()) {
			t.Errorf("gzip holds something else: %v", err)
		}
		l := s.playlist("alice/video.m3u8")
		path := "alice/" + l.Segments[0].URI
		whole := s.get(path).Body.Bytes()
		for _, c := range []struct {
			name, header string
			status       int
			want         []byte
		}{
			{"over the border of parts", "bytes=1000-9999", 206, whole[1000:10000]},
			{"the end", "bytes=-10", 206, whole[len(whole)-10:]},
			{"beyond the end", "bytes=99999999-", 416, []byte("invalid range: failed to overlap\n")},
		} {
			if w := s.get(path, "Range", c.header); w.Code != c.status || !bytes.Equal(w.Body.Bytes(), c.want) {
				t.Errorf("%s: %d with %d bytes, want %d", c.name, w.Code, w.Body.Len(), len(c.want))
			}
		}
	})
}
