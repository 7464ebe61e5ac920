package origin

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// rewind plays a minute of a stream whose window is longer, and remembers every
// segment and part as it was when it was new.
func rewind(s *stage) map[string][]byte {
	s.play(time.Millisecond)
	started, _ := s.ask(s.t.Context(), "alice.m3u8")
	files := map[string][]byte{}
	for at := 500 * time.Millisecond; at <= time.Minute; at += 500 * time.Millisecond {
		s.play(at)
		if !answered(started) {
			continue
		}
		for _, name := range []string{"video", "audio"} {
			for _, seg := range s.playlist("alice/" + name + ".m3u8").Segments {
				uris := []string{seg.URI}
				for _, p := range seg.Parts {
					uris = append(uris, p.URI)
				}
				for _, uri := range uris {
					if uri != "" && files[uri] == nil {
						files[uri] = bytes.Clone(s.get("alice/" + uri).Body.Bytes())
					}
				}
			}
		}
	}
	return files
}

// TestHLSWindowInFiles: what is more than the memory may hold goes to files,
// from which it is served as it was.
func TestHLSWindowInFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "hls")
	if err := os.MkdirAll(filepath.Join(dir, "old"), 0o700); err != nil {
		t.Fatal(err)
	}
	onStage(t, func(s *stage) {
		files := rewind(s)
		if left, err := filepath.Glob(dir + "/*"); err != nil || len(left) != 1 {
			t.Errorf("%s: an earlier server's are left (%v)", left, err)
		}
		stats := s.server.HLSStats()
		if stats.Stored < 40 || stats.Held > stats.Stored*300_000/10 {
			t.Errorf("%d segments in files, %d bytes in memory", stats.Stored, stats.Held)
		}
		listed := s.playlist("alice/video.m3u8").Segments
		if len(listed) < 28 {
			t.Errorf("%d segments are listed", len(listed))
		}
		for uri, want := range files {
			w := s.get("alice/" + uri)
			if w.Code != 200 || !bytes.Equal(w.Body.Bytes(), want) || w.Header().Get("Cache-Control") != "max-age=3600, immutable" || w.Header().Get("Content-Length") != strconv.Itoa(len(want)) {
				t.Fatalf("%s: %d, %d bytes, want %d; %v", uri, w.Code, w.Body.Len(), len(want), w.Header())
			}
		}
		old := "alice/" + listed[0].URI
		if w := s.get(old, "Range", "bytes=10-19"); w.Code != 206 || !bytes.Equal(w.Body.Bytes(), files[listed[0].URI][10:20]) {
			t.Errorf("a range: %d, % x", w.Code, w.Body.Bytes())
		}
		if w := s.get("HEAD " + old); w.Code != 200 || w.Body.Len() > 0 || w.Header().Get("Content-Length") != strconv.Itoa(len(files[listed[0].URI])) {
			t.Errorf("HEAD: %d %v", w.Code, w.Header())
		}
		s.publisher.Close()
		<-time.After(13 * time.Second) // of the fake clock; the window goes with the stream
		if left, err := filepath.Glob(dir + "/*"); err != nil || len(left) > 0 || s.server.HLSStats().Held != 0 || s.server.HLSStats().Stored != 0 {
			t.Errorf("%s is left (%v), %+v", left, err, s.server.HLSStats())
		}
	}, func(c *Config) {
		c.HLS.Window, c.HLS.MemoryMiB, c.HLS.Dir = 10*time.Minute, 0, dir
	})
}

// TestHLSWindowLeavesItsFiles: segments that leave the window leave the disk.
func TestHLSWindowLeavesItsFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "hls")
	onStage(t, func(s *stage) {
		rewind(s)
		files, err := filepath.Glob(dir + "/*/*.mp4")
		if err != nil || len(files) < 4 || len(files) > 24 {
			t.Errorf("%d files (%v)", len(files), err)
		}
	}, func(c *Config) { c.HLS.MemoryMiB, c.HLS.Dir = 0, dir })
}

// TestHLSWindowWithoutRoom: where nothing can be stored the window is as short
// as players can stand.
func TestHLSWindowWithoutRoom(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, dir := range map[string]string{"no directory": "", "a directory that cannot be made": file + "/hls"} {
		t.Run(name, func(t *testing.T) {
			onStage(t, func(s *stage) {
				rewind(s)
				var sum float64
				for _, seg := range s.playlist("alice/video.m3u8").Segments {
					if sum += seg.Duration; seg.URI != "" && s.get("alice/"+seg.URI).Code != 200 {
						t.Errorf("%s is listed and not there", seg.URI)
					}
				}
				if sum < 24 || sum > 30 {
					t.Errorf("%v s are listed", sum)
				}
				if stats := s.server.HLSStats(); stats.Held == 0 || stats.Stored > 3 {
					t.Errorf("%+v", stats)
				}
			}, func(c *Config) { c.HLS.Window, c.HLS.MemoryMiB, c.HLS.Dir = 10*time.Minute, 0, dir })
		})
	}
}
