package stream

import (
	"sync"
	"sync/atomic"

	"github.com/miju-live/miju/media"
)

// Entry is one frame of a log, shared by all readers, and the wire forms that
// were made of it. Whoever holds an Entry holds all later ones in memory.
type Entry struct {
	Frame media.Frame

	wire atomic.Pointer[wire]
	mu   sync.Mutex
}

// WireKind numbers one wire form of frames, such as "FLV tag in an HTTP chunk".
type WireKind uint32

var wireKinds atomic.Uint32

// NewWireKind returns a kind that nobody else has. Egresses call it once per
// form that they make.
func NewWireKind() WireKind { return WireKind(wireKinds.Add(1)) }

type wire struct {
	kind  WireKind
	bytes [][]byte
	next  *wire
}

// Wire returns the frame's bytes in the form kind: the first caller has them
// made by build, later ones share them. They must not be changed. They may
// hold slices of Frame.Data.
func (e *Entry) Wire(kind WireKind, build func(*media.Frame) [][]byte) [][]byte {
	if b, ok := e.made(kind); ok {
		return b
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if b, ok := e.made(kind); ok {
		return b
	}
	w := &wire{kind: kind, bytes: build(&e.Frame), next: e.wire.Load()}
	e.wire.Store(w)
	return w.bytes
}

func (e *Entry) made(kind WireKind) ([][]byte, bool) {
	for w := e.wire.Load(); w != nil; w = w.next {
		if w.kind == kind {
			return w.bytes, true
		}
	}
	return nil, false
}
