package rtmp

import (
	"github.com/miju-live/miju/ingest/rtmp/chunk"
	"github.com/miju-live/miju/ingest/rtmp/message"
	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/remux/flv"
	"github.com/miju-live/miju/stream"
)

const (
	// playChunkSize is the size of chunks that all players get, in bytes: nearly
	// all frames are one chunk, so two slices. Flash knows 65536 at most.
	playChunkSize = 60000
	// smallFrame is the data, in bytes, up to which a copy is cheaper than one
	// more piece in every player's writev.
	smallFrame = 1024
)

// wireForms has the shared wire form of each packing. Only H.265 differs by it.
var wireForms = func() (forms [2]struct {
	kind  stream.WireKind
	build func(*media.Frame) [][]byte
},
) {
	for p := range forms {
		forms[p].kind = stream.NewWireKind()
		forms[p].build = func(f *media.Frame) [][]byte { return chunksOf(f, flv.Packing(p)) }
	}
	return forms
}()

// chunks returns a frame's chunks, made once for all players.
func chunks(e *stream.Entry, p flv.Packing) [][]byte {
	if e.Frame.Track.Codec != media.H265 {
		p = flv.Enhanced
	}
	return e.Wire(wireForms[p].kind, wireForms[p].build)
}

func chunksOf(f *media.Frame, p flv.Packing) [][]byte {
	m := message.OfFrame(f, p)
	if len(f.Data) > smallFrame {
		return chunk.Split(playChunkSize, m, f.Data)
	}
	m.Body = append(m.Body, f.Data...)
	return [][]byte{chunk.Append(make([]byte, 0, chunk.MaxHead+len(m.Body)), playChunkSize, m)}
}
