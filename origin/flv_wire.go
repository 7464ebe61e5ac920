package origin

import (
	"encoding/binary"
	"strconv"

	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/remux/flv"
	"github.com/miju-live/miju/stream"
)

// framing is what stands around an FLV tag on the wire.
type framing uint8

const (
	framePlain     framing = iota // nothing: HTTP/1.0 and HTTP/2
	frameChunk                    // a chunk of HTTP/1.1 (RFC 9112, 7.1)
	frameWebSocket                // a binary message (RFC 6455, 5.2)
	framings
)

// wireForms has the shared wire form of each framing and packing. Only H.265
// differs by packing.
var wireForms = func() (forms [framings][2]struct {
	kind  stream.WireKind
	build func(*media.Frame) [][]byte
},
) {
	for fr := range forms {
		for p := range forms[fr] {
			form := &forms[fr][p]
			form.kind = stream.NewWireKind()
			form.build = func(f *media.Frame) [][]byte { return makeTag(framing(fr), f, flv.Packing(p)) }
		}
	}
	return forms
}()

// wire returns a frame's tag in this framing, made once for all viewers.
func (fr framing) wire(e *stream.Entry, p flv.Packing) [][]byte {
	if e.Frame.Track.Codec != media.H265 {
		p = flv.Enhanced
	}
	form := &wireForms[fr][p]
	return e.Wire(form.kind, form.build)
}

// smallTag is the payload, in bytes, up to which a copy is cheaper than two
// more pieces in every viewer's writev.
const smallTag = 1024

// maxTagOverhead is the most that stands around a payload, in bytes: framing,
// tag header, codec prefix, previous tag size and the chunk's end.
const maxTagOverhead = 64

func makeTag(fr framing, f *media.Frame, p flv.Packing) [][]byte {
	var tag, end [maxTagOverhead]byte
	head := flv.AppendFrameHead(tag[:0], f, p)
	trailer := flv.AppendTrailer(end[:0], f, p)
	size := len(head) + len(f.Data) + len(trailer)
	small := len(f.Data) <= smallTag
	capacity := 2 * maxTagOverhead
	if small {
		capacity = size + maxTagOverhead
	}
	b := append(fr.appendOpen(make([]byte, 0, capacity), size), head...)
	if small {
		b = append(append(b, f.Data...), trailer...)
		return [][]byte{fr.appendClose(b)}
	}
	n := len(b)
	b = fr.appendClose(append(b, trailer...))
	return [][]byte{b[:n:n], f.Data, b[n:]}
}

// appendTag appends the same in one piece.
func (fr framing) appendTag(dst []byte, f *media.Frame, p flv.Packing) []byte {
	var tag, end [maxTagOverhead]byte
	head := flv.AppendFrameHead(tag[:0], f, p)
	trailer := flv.AppendTrailer(end[:0], f, p)
	dst = fr.appendOpen(dst, len(head)+len(f.Data)+len(trailer))
	dst = append(append(append(dst, head...), f.Data...), trailer...)
	return fr.appendClose(dst)
}

// wrap frames bytes that are not shared.
func (fr framing) wrap(b []byte) [][]byte {
	return [][]byte{fr.appendOpen(nil, len(b)), fr.appendClose(b)}
}

func (fr framing) appendOpen(dst []byte, size int) []byte {
	switch fr {
	case frameChunk:
		return append(strconv.AppendInt(dst, int64(size), 16), '\r', '\n')
	case frameWebSocket:
		dst = append(dst, 0x82) // final fragment, binary; servers do not mask
		switch {
		case size < 126:
			return append(dst, byte(size))
		case size < 1<<16:
			return binary.BigEndian.AppendUint16(append(dst, 126), uint16(size))
		}
		return binary.BigEndian.AppendUint64(append(dst, 127), uint64(size))
	}
	return dst
}

func (fr framing) appendClose(dst []byte) []byte {
	if fr == frameChunk {
		return append(dst, '\r', '\n')
	}
	return dst
}
