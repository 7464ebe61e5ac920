package fanout

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/media/mediatest"
	"github.com/miju-live/miju/stream"
	"github.com/miju-live/miju/streamkey"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// numbered makes of each frame its number, in an envelope that shows where one
// ends: the frames' data begin with their numbers.
type numbered struct{ form int }

var _ Muxer = (*numbered)(nil)

func (m *numbered) Append(bufs [][]byte, e *stream.Entry) [][]byte {
	return append(bufs, []byte{'<', byte(m.form)}, e.Frame.Data, []byte{'>'})
}

func (m *numbered) AppendBytes(dst []byte, e *stream.Entry) []byte {
	for _, b := range m.Append(nil, e) {
		dst = append(dst, b...)
	}
	return dst
}

func (m *numbered) Same(other Muxer) bool { o, ok := other.(*numbered); return ok && *m == *o }

func (m *numbered) Twin() Muxer { twin := *m; return &twin }

func (m *numbered) Become(other Muxer) { *m = *other.(*numbered) }

const numberSize = 400

// socket takes what chance says, and checks what it gets.
type socket struct {
	mu       sync.Mutex
	got      []byte
	chance   *rand.Rand
	stubborn float64 // how often it takes less than all
	owed     bool    // a Write must come next
	tried    int
	fail     error
}

var _ TrySocket = (*socket)(nil)

func (s *socket) Write(_ context.Context, bufs [][]byte) (n int64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.owed = false
	for _, b := range bufs {
		s.got = append(s.got, b...)
		n += int64(len(b))
	}
	clear(bufs)
	return n, s.fail
}

func (s *socket) TryWrite(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return 0, s.fail
	}
	if s.owed {
		return 0, errors.New("TryWrite before the rest was written")
	}
	n := len(b)
	if s.chance.Float64() < s.stubborn {
		n = s.chance.IntN(len(b))
		s.owed = true
	}
	s.tried++
	s.got = append(s.got, b[:n]...)
	return n, nil
}

// numbers returns the frames that came, which must be whole.
func (s *socket) numbers(t *testing.T, form int) (all []uint64) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	const size = numberSize + 3
	if len(s.got)%size != 0 {
		t.Fatalf("%d bytes are no whole frames", len(s.got))
	}
	for b := s.got; len(b) > 0; b = b[size:] {
		if b[0] != '<' || b[1] != byte(form) || b[size-1] != '>' {
			t.Fatalf("frame %d is broken: %x", len(all), b[:size])
		}
		all = append(all, binary.BigEndian.Uint64(b[2:]))
	}
	return all
}

func publish(t testing.TB) *stream.Publisher {
	t.Helper()
	c := stream.DefaultConfig()
	c.MaxLag, c.MaxLagMiB, c.MaxGOPMiB = time.Hour, 1024, 1024
	hub := stream.NewHub(c, nil)
	t.Cleanup(hub.Close)
	key, err := streamkey.Parse("live/x")
	if err != nil {
		t.Fatal(err)
	}
	p, err := hub.Publish(key, stream.Source{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// source makes frames that begin with their number.
func source() func() media.Frame {
	s := &mediatest.Source{Video: mediatest.H264Track(1), GOP: 30}
	n := uint64(0)
	return func() media.Frame {
		f := s.Next()
		f.Data = binary.BigEndian.AppendUint64(nil, n)
		f.Data = append(f.Data, make([]byte, numberSize-8)...)
		n++
		return f
	}
}

// Viewers of two forms come and go at any time, with sockets of all tempers. Each
// gets every frame once, whole and in order, from a random access point to the
// end of the stream or of its stay.
func TestEveryFrameOnceForEveryViewer(t *testing.T) {
	const frames, viewers = 3000, 200
	p := publish(t)
	next := source()
	p.Write(next())
	var g Group
	var watching sync.WaitGroup
	var begun, carried atomic.Int64
	watch := func(i int) {
		chance := rand.New(rand.NewPCG(1, uint64(i)))
		ctx, leave := context.WithCancel(t.Context())
		defer leave()
		if i%10 == 9 {
			time.AfterFunc(time.Duration(chance.IntN(20))*time.Millisecond, leave)
		}
		s := &socket{chance: chance, stubborn: []float64{0, 0, 0, 0.01, 0.5}[i%5]}
		r := p.Stream().NewReader(stream.ReaderOptions{})
		defer r.Close()
		begun.Add(1)
		err := g.Serve(ctx, p.Stream(), r, &numbered{form: i % 2}, s)
		all := s.numbers(t, i%2)
		if len(all) > 0 && all[0]%30 != 0 {
			t.Errorf("viewer %d begins with frame %d", i, all[0])
		}
		for j := 1; j < len(all); j++ {
			if all[j] != all[j-1]+1 {
				t.Errorf("viewer %d: %d comes after %d", i, all[j], all[j-1])
			}
		}
		if err == io.EOF && (len(all) == 0 || all[len(all)-1] != frames-1) {
			t.Errorf("viewer %d does not get the end", i)
		}
		if err != io.EOF && (err != context.Canceled || i%10 != 9) {
			t.Errorf("viewer %d: %v", i, err)
		}
		carried.Add(int64(s.tried))
	}
	for n := 1; n < frames; n++ {
		if i := n / 10; n%10 == 0 && i < viewers {
			watching.Go(func() { watch(i) })
		}
		if n == frames-50 {
			waitFor(t, "all viewers", func() bool { return begun.Load() == viewers-1 })
		}
		p.Write(next())
		runtime.Gosched()
	}
	p.Close()
	watching.Wait()
	g.Wait()
	if len(g.carriers) != 0 {
		t.Errorf("%d streams have carriers", len(g.carriers))
	}
	if carried.Load() == 0 {
		t.Error("nobody was carried")
	}
}

// A viewer whose socket fails while it is carried is gone with that error, the
// others stay.
func TestCarriedViewerFails(t *testing.T) {
	p := publish(t)
	defer p.Close()
	next := source()
	p.Write(next())
	var g Group
	broken := errors.New("broken")
	sockets := []*socket{{chance: rand.New(rand.NewPCG(1, 1))}, {chance: rand.New(rand.NewPCG(1, 2))}}
	ends := make(chan error, len(sockets))
	ctx, cancel := context.WithCancel(t.Context())
	for i, s := range sockets {
		go func() {
			r := p.Stream().NewReader(stream.ReaderOptions{})
			defer r.Close()
			ends <- fmt.Errorf("%d: %w", i, g.Serve(ctx, p.Stream(), r, &numbered{}, s))
		}()
	}
	waitFor(t, "both to be carried", func() bool {
		p.Write(next())
		return sockets[0].isTried() && sockets[1].isTried()
	})
	sockets[0].mu.Lock()
	sockets[0].fail = broken
	sockets[0].mu.Unlock()
	waitFor(t, "the end of one", func() bool { p.Write(next()); return len(ends) > 0 })
	if err := <-ends; !errors.Is(err, broken) {
		t.Error(err)
	}
	before := len(sockets[1].numbers(t, 0))
	p.Write(next())
	waitFor(t, "a frame for the other", func() bool { return len(sockets[1].numbers(t, 0)) > before })
	cancel()
	if err := <-ends; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	g.Wait()
}

func (s *socket) isTried() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tried > 0
}

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for tick := time.NewTicker(time.Millisecond); !ok(); {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}
