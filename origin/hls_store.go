package origin

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miju-live/miju/remux/hls"
)

// storeRetry is for how long nothing is stored after that failed.
const storeRetry = 10 * time.Second

// hlsStore bounds what the windows of all streams hold in memory. What is more
// goes to files, the oldest segments of each stream first.
type hlsStore struct {
	dir   string // empty: windows become shorter instead
	limit int64
	held  atomic.Int64
	files atomic.Int64

	emptied sync.Once
}

func newHLSStore(c HLSConfig) *hlsStore {
	return &hlsStore{dir: c.Dir, limit: int64(c.MemoryMiB) << 20}
}

// shelf is where one packager's segments are stored. It belongs to the
// packager's goroutine, which waits for the one that writes.
type shelf struct {
	store *hlsStore
	log   *slog.Logger
	dir   string
	held  int
	files []shelved // oldest first
	// writing is the segment that is on its way to its file, wrote tells of its
	// end.
	writing hls.Segment
	wrote   chan error
	failed  time.Time
	short   bool // it was said that the window becomes shorter
}

// shelved is a file by its rendition and number.
type shelved struct {
	rendition, name string
	number          int64
}

// shelf returns the place of a packager. With the first one the directory is
// emptied: what an earlier server left there is in no playlist any more. Before
// that this server may yet turn out to be a second one that finds its ports
// taken.
func (s *hlsStore) shelf(first int64, log *slog.Logger) *shelf {
	if s.dir != "" {
		s.emptied.Do(func() {
			if err := os.RemoveAll(s.dir); err != nil {
				log.Error("old HLS segments cannot be removed", "err", err)
			}
		})
	}
	return &shelf{store: s, log: log, dir: filepath.Join(s.dir, strconv.FormatInt(first, 10)+"-"+strconv.FormatInt(shelves.Add(1), 10))}
}

// shelves tells the directories of packagers apart.
var shelves atomic.Int64

// keep stores or drops what is more than the memory may hold, a segment at a
// time. It never waits for a disk.
func (s *shelf) keep(m *hls.Muxer, w *hls.Window) {
	if s.wrote != nil {
		select {
		case err := <-s.wrote:
			s.end(m, err)
		default:
			return
		}
	}
	s.account(m.Held())
	s.remove(w)
	if s.store.held.Load() <= s.store.limit {
		return
	}
	next, ok := m.Oldest()
	switch {
	case !ok:
	case s.store.dir == "" || time.Since(s.failed) < storeRetry:
		if m.Shorten() && !s.short {
			s.short = true
			s.log.Warn("the HLS window becomes shorter: --hls-memory is used up and its segments cannot be stored")
		}
	default:
		s.writing, s.wrote = next, make(chan error, 1)
		go func(wrote chan<- error) { wrote <- write(filepath.Join(s.dir, next.Name), next.Chunks) }(s.wrote)
	}
}

// end takes note of a file that was written, or not.
func (s *shelf) end(m *hls.Muxer, err error) {
	done := s.writing
	s.writing, s.wrote = hls.Segment{}, nil
	s.files = append(s.files, shelved{done.Rendition, done.Name, done.Number})
	s.store.files.Add(1)
	if err != nil {
		s.failed = time.Now()
		s.log.Error("an HLS segment cannot be stored", "err", err)
		return
	}
	m.Store(done.Rendition, done.Number)
}

func (s *shelf) account(held int) {
	s.store.held.Add(int64(held - s.held))
	s.held = held
}

// remove removes the files of segments that have left the window.
func (s *shelf) remove(w *hls.Window) {
	for len(s.files) > 0 {
		f := s.files[0]
		if r := w.Rendition(f.rendition); r != nil && r.Keeps(f.number) {
			return
		}
		s.discard(f)
		s.files = s.files[1:]
	}
}

func (s *shelf) discard(f shelved) {
	s.store.files.Add(-1)
	if err := os.Remove(filepath.Join(s.dir, f.name)); err != nil && !os.IsNotExist(err) {
		s.log.Error("an old HLS segment cannot be removed", "err", err)
	}
}

// close removes all that is left, when nobody can ask for it any more.
func (s *shelf) close() {
	if s.wrote != nil {
		<-s.wrote
		os.Remove(filepath.Join(s.dir, s.writing.Name))
	}
	s.account(0)
	for _, f := range s.files {
		s.discard(f)
	}
	if s.store.dir != "" {
		os.Remove(s.dir) // it may never have been made
	}
}

func write(path string, chunks [][]byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	for _, c := range chunks {
		if _, err := f.Write(c); err != nil {
			f.Close()
			return err
		}
	}
	return f.Close()
}

// open returns what a stored file holds. It must be closed.
func (s *shelf) open(f hls.File) (*storedFile, error) {
	file, err := os.Open(filepath.Join(s.dir, f.Stored))
	if err != nil {
		return nil, fmt.Errorf("stored HLS segment: %w", err)
	}
	return &storedFile{io.NewSectionReader(file, f.Offset, int64(f.Size)), file}, nil
}

// storedFile is a part or a segment in a file.
type storedFile struct {
	*io.SectionReader
	io.Closer
}
