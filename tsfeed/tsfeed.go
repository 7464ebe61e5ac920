// Package tsfeed turns a live stream into MPEG-TS packets that all its viewers
// share.
package tsfeed

import (
	"context"
	"fmt"
	"time"

	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/remux/mpegts"
	"github.com/miju-live/miju/stream"
)

// kind is the one wire form: a frame's packets in one slice, and their span.
var kind = stream.NewWireKind()

// Reader brings one viewer's packets. It belongs to one goroutine.
//
// The packets of a frame are made by the viewer that comes to it first, to fit
// to what that one read before, and are the same memory for all. Where viewers
// that read something else before come together (one lagged, and a newer one
// was ahead of it), packets of a viewer's own stand between that say where the
// continuity counters jump.
type Reader struct {
	reader  *stream.Reader
	batch   []*stream.Entry
	state   mpegts.State
	program *mpegts.Program
	set     *media.TrackSet
	begun   bool
	build   func(*media.Frame) [][]byte // pack, made once for all frames
	// err ends the reader once what came before it is read.
	err error
}

// NewReader returns a reader of s from its newest random access point on, which
// wakes as stream.ReaderOptions.Wake says. It must be closed. The error wraps
// media.ErrUnsupportedCodec and names what MPEG-TS cannot carry.
func NewReader(s *stream.Stream, wake time.Duration) (*Reader, error) {
	if _, err := mpegts.NewProgram(s.Tracks()); err != nil {
		return nil, err
	}
	r := &Reader{reader: s.NewReader(stream.ReaderOptions{Wake: wake})}
	r.build = r.pack
	return r, nil
}

// Close ends the reader.
func (r *Reader) Close() { r.reader.Close() }

// Park is for an owner that goes to write what the reader brought, Unpark for one
// that has: see stream.Reader.
func (r *Reader) Park() { r.reader.Park() }

// Unpark ends Park.
func (r *Reader) Unpark() { r.reader.Unpark() }

// Skipped counts how often the reader lagged too far and jumped forward.
func (r *Reader) Skipped() uint64 { return r.reader.Skipped() }

// Next waits until the reader wakes and returns the packets that came since, at
// least one, in the buffer of bufs, which it overwrites: slices of whole packets
// that must not be changed. It returns io.EOF at the end of the stream, the
// context's error at the end of ctx, and one that wraps
// media.ErrUnsupportedCodec when the stream's tracks change to what MPEG-TS
// cannot carry.
func (r *Reader) Next(ctx context.Context, bufs [][]byte) ([][]byte, error) {
	clear(bufs[:cap(bufs)])
	bufs = bufs[:0]
	for len(bufs) == 0 && r.err == nil {
		var err error
		if r.batch, err = r.reader.NextBatch(ctx, r.batch); err != nil {
			return bufs, err
		}
		for _, e := range r.batch {
			if bufs, r.err = r.append(bufs, e); r.err != nil {
				break
			}
		}
		clear(r.batch) // an entry holds all later ones
	}
	if len(bufs) > 0 {
		return bufs, nil
	}
	return bufs, r.err
}

func (r *Reader) append(bufs [][]byte, e *stream.Entry) ([][]byte, error) {
	f := &e.Frame
	if r.set != f.Set {
		p, err := mpegts.NewProgram(f.Set)
		if err != nil {
			return bufs, fmt.Errorf("stream changed its tracks: %w", err)
		}
		r.set = f.Set
		if !p.Same(r.program) {
			r.program = p
		}
	}
	wire := e.Wire(kind, r.build)
	shared, span := wire[0], mpegts.Span(wire[1])
	if len(shared) == 0 {
		return bufs, nil
	}
	if !r.begun && !mpegts.BeginsWithTables(shared) || r.begun && r.state.Lacks(r.program, shared) {
		own := mpegts.AppendTables(nil, r.state, r.program)
		r.state.Follow(r.program, f, mpegts.SpanOf(own))
		bufs = append(bufs, own)
	}
	r.begun = true
	if glue := mpegts.Glue(nil, &r.state, span); len(glue) > 0 {
		bufs = append(bufs, glue)
	}
	r.state.Follow(r.program, f, span)
	return append(bufs, shared), nil
}

// pack makes the packets of a frame to fit behind what the reader read, and
// what sums them up for all.
func (r *Reader) pack(f *media.Frame) [][]byte {
	packets := mpegts.AppendFrame(nil, r.state, r.program, f)
	return [][]byte{packets, mpegts.SpanOf(packets)}
}
