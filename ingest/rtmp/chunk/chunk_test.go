package chunk

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"testing"
	"testing/iotest"
	"time"
)

var limits = Limits{MaxMessage: 1 << 20, MaxChunkStreams: 8, MaxPartial: 2 << 20}

func cat(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func rep(c byte, n int) []byte { return bytes.Repeat([]byte{c}, n) }

type msg struct {
	stream    uint32
	typ       byte
	timestamp uint32
	body      []byte
}

var readCases = []struct {
	name string
	in   []byte
	want []msg
	err  error
}{
	{"nothing", nil, nil, io.EOF},
	{"one message in one chunk", []byte{3, 0, 0, 5, 0, 0, 2, 20, 1, 0, 0, 0, 'h', 'i'}, []msg{{3, 20, 5, []byte("hi")}}, io.EOF},
	{"a message over two chunks", cat([]byte{3, 0, 0, 5, 0, 0, 130, 20, 1, 0, 0, 0}, rep('a', 128), []byte{0xc3, 'b', 'c'}), []msg{{3, 20, 5, cat(rep('a', 128), []byte("bc"))}}, io.EOF},
	{
		"headers of all types",
		[]byte{
			4, 0, 0, 100, 0, 0, 1, 9, 1, 0, 0, 0, 'a',
			0x44, 0, 0, 20, 0, 0, 2, 8, 'b', 'b',
			0x84, 0, 0, 30, 'c', 'c',
			0xc4, 'd', 'd',
		},
		[]msg{{4, 9, 100, []byte("a")}, {4, 8, 120, []byte("bb")}, {4, 8, 150, []byte("cc")}, {4, 8, 180, []byte("dd")}},
		io.EOF,
	},
	{"type 3 after type 0 begins a message", []byte{4, 0, 0, 7, 0, 0, 1, 9, 1, 0, 0, 0, 'a', 0xc4, 'b'}, []msg{{4, 9, 7, []byte("a")}, {4, 9, 14, []byte("b")}}, io.EOF},
	{"two-byte basic header", []byte{0, 6, 0, 0, 0, 0, 0, 1, 9, 0, 0, 0, 0, 'a'}, []msg{{70, 9, 0, []byte("a")}}, io.EOF},
	{"three-byte basic header", []byte{1, 1, 2, 0, 0, 0, 0, 0, 1, 9, 0, 0, 0, 0, 'a'}, []msg{{64 + 1 + 2*256, 9, 0, []byte("a")}}, io.EOF},
	{"first and last ID of a two-byte basic header", []byte{0, 0, 0, 0, 0, 0, 0, 1, 9, 0, 0, 0, 0, 'a', 0, 255, 0, 0, 0, 0, 0, 1, 9, 0, 0, 0, 0, 'b'}, []msg{{64, 9, 0, []byte("a")}, {319, 9, 0, []byte("b")}}, io.EOF},
	{"last ID of a three-byte basic header, and its type 3", []byte{1, 255, 255, 0, 0, 0, 0, 0, 1, 9, 0, 0, 0, 0, 'a', 0xc1, 255, 255, 'b'}, []msg{{65599, 9, 0, []byte("a")}, {65599, 9, 0, []byte("b")}}, io.EOF},
	{"one chunk stream, its ID in two forms", []byte{0, 6, 0, 0, 0, 0, 0, 1, 9, 0, 0, 0, 0, 'a', 0xc1, 6, 0, 'b'}, []msg{{70, 9, 0, []byte("a")}, {70, 9, 0, []byte("b")}}, io.EOF},
	{"interleaved messages", cat(
		[]byte{4, 0, 0, 0, 0, 0, 129, 9, 1, 0, 0, 0}, rep('v', 128),
		[]byte{5, 0, 0, 3, 0, 0, 1, 8, 1, 0, 0, 0, 's'},
		[]byte{0xc4, 'v'}), []msg{{5, 8, 3, []byte("s")}, {4, 9, 0, rep('v', 129)}}, io.EOF},
	{"chunk size changed inside a message", cat(
		[]byte{4, 0, 0, 0, 0, 1, 0x80, 9, 1, 0, 0, 0}, rep('v', 128),
		[]byte{2, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0, 0, 0, 1, 0},
		[]byte{0xc4}, rep('w', 256)), []msg{{4, 9, 0, cat(rep('v', 128), rep('w', 256))}}, io.EOF},
	{
		"chunk size changed between and inside interleaved messages", cat(
			[]byte{4, 0, 0, 0, 0, 1, 0x80, 9, 1, 0, 0, 0}, rep('v', 128),
			[]byte{5, 0, 0, 3, 0, 0, 0xc8, 8, 1, 0, 0, 0}, rep('s', 128),
			[]byte{2, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0, 0, 0, 0, 64},
			[]byte{0xc5}, rep('t', 64), []byte{0xc4}, rep('w', 64),
			[]byte{2, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0, 0, 0, 1, 0},
			[]byte{0xc4}, rep('x', 192), []byte{0xc5}, rep('u', 8)),
		[]msg{{4, 9, 0, cat(rep('v', 128), rep('w', 64), rep('x', 192))}, {5, 8, 3, cat(rep('s', 128), rep('t', 64), rep('u', 8))}},
		io.EOF,
	},
	{"largest chunk size", []byte{2, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 4, 0, 0, 0, 0, 0, 1, 9, 0, 0, 0, 0, 'x'}, []msg{{4, 9, 0, []byte("x")}}, io.EOF},
	{"aborted message of a two-byte chunk stream, and nothing to abort", cat(
		[]byte{0, 36, 0, 0, 0, 0, 0, 200, 9, 1, 0, 0, 0}, rep('v', 128),
		[]byte{2, 0, 0, 0, 0, 0, 4, 2, 0, 0, 0, 0, 0, 0, 0, 100},
		[]byte{0xc2, 0, 0, 0, 100}, // once more, and it has none
		[]byte{0xc0, 36}, rep('x', 128), []byte{0xc0, 36}, rep('x', 72)), []msg{{100, 9, 0, rep('x', 200)}}, io.EOF},
	{"aborted message", cat(
		[]byte{4, 0, 0, 0, 0, 0, 200, 9, 1, 0, 0, 0}, rep('v', 128),
		[]byte{2, 0, 0, 0, 0, 0, 4, 2, 0, 0, 0, 0, 0, 0, 0, 4},
		[]byte{4, 0, 0, 9, 0, 0, 1, 9, 1, 0, 0, 0, 'x'}), []msg{{4, 9, 9, []byte("x")}}, io.EOF},
	{"extended timestamp on types 0 and 3", cat(
		[]byte{4, 0xff, 0xff, 0xff, 0, 0, 129, 9, 1, 0, 0, 0, 1, 0, 0, 5}, rep('v', 128),
		[]byte{0xc4, 1, 0, 0, 5, 'v'}), []msg{{4, 9, 0x01000005, rep('v', 129)}}, io.EOF},
	{"extended timestamp left out of type 3", cat(
		[]byte{4, 0xff, 0xff, 0xff, 0, 0, 132, 9, 1, 0, 0, 0, 1, 0, 0, 5}, rep('v', 128),
		[]byte{0xc4, 'v', 'v', 'v', 'v'}), []msg{{4, 9, 0x01000005, rep('v', 132)}}, io.EOF},
	{"extended timestamp left out, and the end right after", cat(
		[]byte{4, 0xff, 0xff, 0xff, 0, 0, 129, 9, 1, 0, 0, 0, 1, 0, 0, 5}, rep('v', 128),
		[]byte{0xc4, 'v'}), []msg{{4, 9, 0x01000005, rep('v', 129)}}, io.EOF},
	{"extended delta", []byte{
		4, 0, 0, 1, 0, 0, 1, 9, 1, 0, 0, 0, 'a',
		0x84, 0xff, 0xff, 0xff, 2, 0, 0, 0, 'b',
		0xc4, 2, 0, 0, 0, 'c',
	}, []msg{{4, 9, 1, []byte("a")}, {4, 9, 0x02000001, []byte("b")}, {4, 9, 0x04000001, []byte("c")}}, io.EOF},
	{"extended delta of type 1, repeated on type 3", cat(
		[]byte{4, 0, 0, 1, 0, 0, 1, 9, 1, 0, 0, 0, 'a'},
		[]byte{0x44, 0xff, 0xff, 0xff, 0, 0, 130, 9, 2, 0, 0, 0}, rep('b', 128), []byte{0xc4, 2, 0, 0, 0, 'b', 'b'},
		[]byte{0xc4, 2, 0, 0, 0}, rep('c', 128), []byte{0xc4, 2, 0, 0, 0, 'c', 'c'},
	), []msg{{4, 9, 1, []byte("a")}, {4, 9, 0x02000001, rep('b', 130)}, {4, 9, 0x04000001, rep('c', 130)}}, io.EOF},
	{"extended delta, left out of type 3", cat(
		[]byte{4, 0, 0, 1, 0, 0, 1, 9, 1, 0, 0, 0, 'a'},
		[]byte{0x44, 0xff, 0xff, 0xff, 0, 0, 134, 9, 2, 0, 0, 0}, rep('b', 128), []byte{0xc4, 'b', 'b', 'b', 'b', 'b', 'b'},
	), []msg{{4, 9, 1, []byte("a")}, {4, 9, 0x02000001, rep('b', 134)}}, io.EOF},
	{"extended delta, the message's own time on type 3", cat(
		[]byte{4, 0, 0, 1, 0, 0, 1, 9, 1, 0, 0, 0, 'a'},
		[]byte{0x44, 0xff, 0xff, 0xff, 0, 0, 130, 9, 2, 0, 0, 0}, rep('b', 128), []byte{0xc4, 2, 0, 0, 1, 'b', 'b'},
	), []msg{{4, 9, 1, []byte("a")}, {4, 9, 0x02000001, rep('b', 130)}}, io.EOF},
	{"extended timestamp of exactly 24 ones", []byte{4, 0xff, 0xff, 0xff, 0, 0, 1, 9, 1, 0, 0, 0, 0, 0xff, 0xff, 0xff, 'a'}, []msg{{4, 9, 0xffffff, []byte("a")}}, io.EOF},
	{"extended timestamp, then a delta that needs none", cat(
		[]byte{4, 0xff, 0xff, 0xff, 0, 0, 1, 9, 1, 0, 0, 0, 1, 0, 0, 5, 'a'},
		[]byte{0x44, 0, 0, 40, 0, 0, 132, 9}, rep('b', 128), []byte{0xc4, 1, 0, 0, 5},
		[]byte{0xc4}, rep('c', 128), []byte{0xc4, 1, 0, 0, 5},
	), []msg{{4, 9, 0x01000005, []byte("a")}, {4, 9, 0x01000005 + 40, cat(rep('b', 128), []byte{1, 0, 0, 5})}, {4, 9, 0x01000005 + 80, cat(rep('c', 128), []byte{1, 0, 0, 5})}}, io.EOF},
	{"extended timestamps of interleaved messages", cat(
		[]byte{4, 0xff, 0xff, 0xff, 0, 0, 129, 9, 1, 0, 0, 0, 1, 0, 0, 5}, rep('v', 128),
		[]byte{5, 0xff, 0xff, 0xff, 0, 0, 129, 8, 1, 0, 0, 0, 1, 0, 0, 9}, rep('s', 128),
		[]byte{0xc4, 1, 0, 0, 5, 'v'}, []byte{0xc5, 1, 0, 0, 9, 's'}), []msg{{4, 9, 0x01000005, rep('v', 129)}, {5, 8, 0x01000009, rep('s', 129)}}, io.EOF},
	{"timestamp wraps at 32 bits", []byte{
		4, 0xff, 0xff, 0xff, 0, 0, 1, 9, 1, 0, 0, 0, 0xff, 0xff, 0xff, 0xf0, 'a',
		0x84, 0, 0, 0x20, 'b',
	}, []msg{{4, 9, 0xfffffff0, []byte("a")}, {4, 9, 0x10, []byte("b")}}, io.EOF},
	{"empty message", []byte{5, 0, 0, 3, 0, 0, 0, 8, 1, 0, 0, 0}, []msg{{5, 8, 3, nil}}, io.EOF},
	{"cut in a header", []byte{3, 0, 0}, nil, io.ErrUnexpectedEOF},
	{"cut in a body", []byte{3, 0, 0, 5, 0, 0, 2, 20, 1, 0, 0, 0, 'h'}, nil, io.ErrUnexpectedEOF},
	{"first header of type 3", []byte{0xc3, 1}, nil, ErrMalformed},
	{"a full header repeated inside a message", cat(
		[]byte{3, 0, 0, 5, 0, 0, 130, 20, 1, 0, 0, 0}, rep('a', 128),
		[]byte{3, 0, 0, 5, 0, 0, 130, 20, 1, 0, 0, 0, 'b', 'c'}), []msg{{3, 20, 5, cat(rep('a', 128), []byte("bc"))}}, io.EOF},
	{
		"headers of types 1 and 2 repeated inside a message", cat(
			[]byte{3, 0, 0, 5, 0, 0, 1, 20, 1, 0, 0, 0, 'x'},
			[]byte{0x43, 0, 0, 7, 0, 1, 2, 20}, rep('a', 128),
			[]byte{0x43, 0, 0, 7, 0, 1, 2, 20}, rep('b', 128),
			[]byte{0x83, 0, 0, 0, 'c', 'd'},
			[]byte{0xc3}, rep('y', 128), []byte{0xc3}, rep('y', 128), []byte{0xc3, 'y', 'y'}),
		[]msg{{3, 20, 5, []byte("x")}, {3, 20, 12, cat(rep('a', 128), rep('b', 128), []byte("cd"))}, {3, 20, 19, rep('y', 258)}},
		io.EOF,
	},
	{"a full header repeated with an extended timestamp", cat(
		[]byte{4, 0xff, 0xff, 0xff, 0, 0, 129, 9, 1, 0, 0, 0, 1, 0, 0, 5}, rep('v', 128),
		[]byte{4, 0xff, 0xff, 0xff, 0, 0, 129, 9, 1, 0, 0, 0, 1, 0, 0, 5, 'v'}), []msg{{4, 9, 0x01000005, rep('v', 129)}}, io.EOF},
	{"another message begun inside of one", cat(
		[]byte{3, 0, 0, 5, 0, 0, 130, 20, 1, 0, 0, 0}, rep('a', 128),
		[]byte{3, 0, 0, 6, 0, 0, 1, 20, 1, 0, 0, 0, 'x'}), []msg{{3, 20, 6, []byte("x")}}, io.EOF},
	{"the same length at another time begun inside of a message", cat(
		[]byte{3, 0, 0, 5, 0, 0, 130, 20, 1, 0, 0, 0}, rep('a', 128),
		[]byte{3, 0, 0, 6, 0, 0, 130, 20, 1, 0, 0, 0}, rep('b', 128), []byte{0xc3, 'b', 'b'}), []msg{{3, 20, 6, rep('b', 130)}}, io.EOF},
	{"chunk size 0", []byte{2, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0, 0, 0, 0, 0}, nil, ErrMalformed},
	{"chunk size over 31 bits", []byte{2, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0, 0x80, 0, 0, 0}, nil, ErrMalformed},
	{"short Set Chunk Size", []byte{2, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 1}, nil, ErrMalformed},
	{"short Abort", []byte{2, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 1}, nil, ErrMalformed},
	{"message of 16 MiB", []byte{3, 0, 0, 0, 0xff, 0xff, 0xff, 20, 0, 0, 0, 0}, nil, ErrTooLarge},
	{"too much in unfinished messages", cat(
		[]byte{3, 0, 0, 0, 0x10, 0, 0, 9, 0, 0, 0, 0}, rep(0, 128),
		[]byte{4, 0, 0, 0, 0x10, 0, 0, 9, 0, 0, 0, 0}, rep(0, 128),
		[]byte{5, 0, 0, 0, 0x10, 0, 0, 9, 0, 0, 0, 0}), nil, ErrTooLarge},
	{"too many chunk streams", func() []byte {
		var b []byte
		for id := byte(3); id < 12; id++ {
			b = append(b, id, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0)
		}
		return b
	}(), []msg{{3, 9, 0, nil}, {4, 9, 0, nil}, {5, 9, 0, nil}, {6, 9, 0, nil}, {7, 9, 0, nil}, {8, 9, 0, nil}, {9, 9, 0, nil}, {10, 9, 0, nil}}, ErrTooLarge},
}

func TestReadMessage(t *testing.T) {
	for _, c := range readCases {
		t.Run(c.name, func(t *testing.T) {
			for _, in := range []io.Reader{bytes.NewReader(c.in), iotest.OneByteReader(bytes.NewReader(c.in))} {
				r := NewReader(bufio.NewReader(in), limits)
				for i, want := range c.want {
					m, err := r.ReadMessage()
					if err != nil {
						t.Fatalf("message %d: %v", i, err)
					}
					if m.ChunkStream != want.stream || m.Type != want.typ || m.Timestamp != want.timestamp || !bytes.Equal(m.Body, want.body) {
						t.Fatalf("message %d: %+v, want %+v", i, m, want)
					}
				}
				if m, err := r.ReadMessage(); !errors.Is(err, c.err) {
					t.Fatalf("%+v, error %v, want %v", m, err, c.err)
				}
				if c.err == io.EOF && r.Bytes() != uint64(len(c.in)) {
					t.Errorf("%d bytes counted of %d", r.Bytes(), len(c.in))
				}
			}
		})
	}
}

func TestAppendIsReadBack(t *testing.T) {
	for _, size := range []int{1, 128, 4096} {
		for _, m := range []Message{
			{ChunkStream: 3, Type: 20, Stream: 1, Timestamp: 7, Body: []byte("hello")},
			{ChunkStream: 4, Type: 9, Stream: 1, Timestamp: 0xffffff, Body: rep('v', 1000)},
			{ChunkStream: 5, Type: 8, Stream: 1, Timestamp: 0xfffffff0, Body: rep('s', 128)},
			{ChunkStream: 6, Type: 18},
		} {
			wire := Append([]byte{2, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0, 0, 0, byte(size >> 8), byte(size)}, size, m)
			got, err := NewReader(bufio.NewReader(bytes.NewReader(wire)), limits).ReadMessage()
			if err != nil || got.Type != m.Type || got.Timestamp != m.Timestamp || got.Stream != m.Stream || !bytes.Equal(got.Body, m.Body) {
				t.Errorf("size %d: %+v, %v", size, got, err)
			}
		}
	}
}

// TestClaimsCostLittle: a header alone does not make the reader allocate what
// it claims.
func TestClaimsCostLittle(t *testing.T) {
	r := NewReader(bufio.NewReader(bytes.NewReader([]byte{3, 0, 0, 0, 0x10, 0, 0, 9, 0, 0, 0, 0})), limits)
	if _, err := r.ReadMessage(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatal(err)
	}
	if c := cap(r.streams[3].body); c > firstGrant {
		t.Errorf("%d bytes were allocated", c)
	}
	big := Message{ChunkStream: 3, Type: 9, Body: rep('x', firstGrant*3)}
	m, err := NewReader(bufio.NewReader(bytes.NewReader(Append(nil, 128, big))), limits).ReadMessage()
	if err != nil || !bytes.Equal(m.Body, big.Body) {
		t.Errorf("%d bytes, %v", len(m.Body), err)
	}
}

func TestSplitIsReadBack(t *testing.T) {
	for _, size := range []int{16, 128, 60000} {
		for _, timestamp := range []uint32{7, 0xfffffe, 0xffffff, 0xfffffff0} {
			for _, n := range []int{0, 1, 15, 16, 123, 128, 1000, 70000} {
				m := Message{ChunkStream: 4, Type: 9, Stream: 1, Timestamp: timestamp, Body: []byte("head")}
				data := rep('v', n)
				wire := cat(Split(size, m, data)...)
				split := AppendSplit(nil, size, m, data)
				m.Body = append(m.Body, data...)
				if whole := Append(nil, size, m); !bytes.Equal(wire, whole) || !bytes.Equal(split, whole) {
					t.Fatalf("size %d, %d bytes at %d: Split, AppendSplit and Append differ", size, n, timestamp)
				}
			}
		}
	}
}

// A peer that leaves out the extended timestamp may wait for an answer with
// fewer bytes behind it than that has.
func TestLeftOutExtensionIsSeenWithoutWaiting(t *testing.T) {
	ours, theirs := net.Pipe()
	defer ours.Close()
	defer theirs.Close()
	ours.SetDeadline(time.Now().Add(20 * time.Second))
	go theirs.Write(cat([]byte{4, 0xff, 0xff, 0xff, 0, 0, 130, 9, 1, 0, 0, 0, 1, 0, 0, 5}, rep('v', 128), []byte{0xc4, 1, 'v'}))
	m, err := NewReader(bufio.NewReader(ours), limits).ReadMessage()
	if err != nil || !bytes.Equal(m.Body, cat(rep('v', 128), []byte{1, 'v'})) {
		t.Errorf("%d bytes, %v", len(m.Body), err)
	}
}

// The budget is shared by Readers, taken as bytes come, and given back by
// whole, aborted and abandoned messages and by the end of a Reader.
func TestBudget(t *testing.T) {
	budget := NewBudget(3 * firstGrant)
	l := Limits{MaxMessage: 4 << 20, MaxChunkStreams: 8, MaxPartial: 8 << 20, Budget: budget}
	begin := []byte{4, 0, 0, 0, 0x20, 0, 0, 9, 1, 0, 0, 0} // 2 MiB
	reader := func(in ...[]byte) *Reader { return NewReader(bufio.NewReader(bytes.NewReader(cat(in...))), l) }
	used := func(want int64) {
		t.Helper()
		if got := budget.Used(); got != want {
			t.Errorf("%d bytes of the budget are used, want %d", got, want)
		}
	}
	var readers []*Reader
	for range 3 {
		r := reader(begin, rep('v', 128))
		if _, err := r.ReadMessage(); !errors.Is(err, io.ErrUnexpectedEOF) && err != io.EOF {
			t.Fatal(err)
		}
		readers = append(readers, r)
	}
	used(3 * firstGrant)
	if _, err := reader(begin).ReadMessage(); !errors.Is(err, ErrTooLarge) {
		t.Error(err)
	}
	readers[0].End()
	readers[0].End()
	used(2 * firstGrant)
	abort := []byte{2, 0, 0, 0, 0, 0, 4, 2, 0, 0, 0, 0, 0, 0, 0, 4}
	r := reader([]byte{4, 0, 0, 0, 0, 1, 0, 9, 1, 0, 0, 0}, rep('v', 128), abort, []byte{5, 0, 0, 0, 0, 0, 1, 9, 0, 0, 0, 0, 'x'})
	if _, err := r.ReadMessage(); err != nil {
		t.Error(err)
	}
	used(2 * firstGrant)
	if _, err := reader([]byte{2, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0, 0, 0x40, 0, 0}, begin, rep('v', 1<<20)).ReadMessage(); !errors.Is(err, ErrTooLarge) {
		t.Error(err)
	}
	readers[1].End()
	readers[2].End()
}

func FuzzReader(f *testing.F) {
	for _, c := range readCases {
		f.Add(c.in)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		l := limits
		l.Budget = NewBudget(1 << 20)
		r := NewReader(bufio.NewReader(bytes.NewReader(b)), l)
		for {
			m, err := r.ReadMessage()
			if err != nil {
				break
			}
			if len(m.Body) > limits.MaxMessage {
				t.Fatalf("a message of %d bytes", len(m.Body))
			}
			if used := l.Budget.Used(); used < 0 || used > int64(r.partial) {
				t.Fatalf("%d bytes of the budget are used for %d", used, r.partial)
			}
			if r.partial < 0 || r.partial > limits.MaxPartial || len(r.streams) > limits.MaxChunkStreams {
				t.Fatalf("%d bytes in unfinished messages, %d streams", r.partial, len(r.streams))
			}
		}
		if r.End(); l.Budget.Used() != 0 {
			t.Fatalf("%d bytes of the budget are used at the end", l.Budget.Used())
		}
		if r.Bytes() > uint64(len(b)) {
			t.Fatalf("%d bytes counted of %d", r.Bytes(), len(b))
		}
	})
}

// BenchmarkReadMessage is a 10 kB frame in chunks of 4096 bytes: one
// allocation, its body.
func BenchmarkReadMessage(b *testing.B) {
	wire := Append(nil, 4096, Message{ChunkStream: 4, Type: 9, Body: make([]byte, 10000)})
	in := bytes.NewReader(nil)
	br := bufio.NewReaderSize(in, 4096)
	r := NewReader(br, limits)
	r.size = 4096
	b.SetBytes(int64(len(wire)))
	b.ReportAllocs()
	for b.Loop() {
		in.Reset(wire)
		if _, err := r.ReadMessage(); err != nil {
			b.Fatal(err)
		}
	}
}
