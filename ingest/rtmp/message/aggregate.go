package message

import (
	"fmt"

	"github.com/miju-live/miju/ingest/rtmp/chunk"
)

// maxParts bounds what one aggregate holds. A second of sound and picture is
// some hundred messages; a part costs its sender 11 bytes and its reader 48.
const maxParts = 10_000

// Parts returns the messages of an aggregate (7.1.6), with their bodies as
// slices of its body. Its timestamp is that of the first one: the others keep
// their distance to that. What is left behind the last whole part is an error
// that wraps ErrMalformed, except a missing back pointer; more than ten
// thousand parts wrap ErrTooLarge.
func Parts(m chunk.Message) ([]chunk.Message, error) {
	const head, backPointer = 11, 4
	var all []chunk.Message
	var shift uint32
	for b := m.Body; len(b) > 0; {
		if len(b) < head {
			return nil, fmt.Errorf("%w: aggregate that ends in a header", ErrMalformed)
		}
		n := head + (int(b[1])<<16 | int(b[2])<<8 | int(b[3]))
		if n > len(b) {
			return nil, fmt.Errorf("%w: aggregate with a part of %d bytes in %d", ErrMalformed, n, len(b))
		}
		if len(all) == maxParts {
			return nil, fmt.Errorf("%w: aggregate of more than %d parts", ErrTooLarge, maxParts)
		}
		timestamp := uint32(b[7])<<24 | uint32(b[4])<<16 | uint32(b[5])<<8 | uint32(b[6])
		if len(all) == 0 {
			shift = m.Timestamp - timestamp
		}
		all = append(all, chunk.Message{
			ChunkStream: m.ChunkStream, Type: b[0], Stream: m.Stream,
			Timestamp: timestamp + shift, Body: b[head:n:n],
		})
		b = b[min(n+backPointer, len(b)):]
	}
	return all, nil
}
