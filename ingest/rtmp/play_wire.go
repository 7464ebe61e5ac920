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
	// The sizes of what stands around the body in an FLV tag, in bytes.
	tagHeader, tagTrailer = 11, 4
	// The chunk streams of sound and pictures; script data goes with statuses.
	csAudio, csVideo = 4, 6
	// smallBody is the body, in bytes, up to which a copy is cheaper than one
	// more piece in every player's writev.
	smallBody = 1024
	// maxBodyHead is the most that stands before a frame in its message's body.
	maxBodyHead = 32
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
	var head [tagHeader + maxBodyHead]byte
	tag := flv.AppendFrameHead(head[:0], f, p)
	m := messageOfTag(tag)
	m.Body = tag[tagHeader:]
	if len(f.Data) > smallBody {
		return chunk.Split(playChunkSize, m, f.Data)
	}
	m.Body = append(m.Body, f.Data...)
	return [][]byte{chunk.Append(make([]byte, 0, chunk.MaxHead+len(m.Body)), playChunkSize, m)}
}

// messageOfTag returns the message that has the type and the timestamp of an
// FLV tag's header.
func messageOfTag(tag []byte) chunk.Message {
	m := chunk.Message{
		ChunkStream: csStatus, Type: tag[0], Stream: streamID,
		Timestamp: uint32(tag[7])<<24 | uint32(tag[4])<<16 | uint32(tag[5])<<8 | uint32(tag[6]),
	}
	switch m.Type {
	case message.TypeAudio:
		m.ChunkStream = csAudio
	case message.TypeVideo:
		m.ChunkStream = csVideo
	}
	return m
}
