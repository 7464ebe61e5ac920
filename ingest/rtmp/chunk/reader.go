// Package chunk cuts RTMP messages into chunks and puts them together again
// (RTMP 1.0, section 5.3).
package chunk

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Message types that belong to the chunk stream itself (5.4).
const (
	TypeSetChunkSize = 1
	TypeAbort        = 2
)

const (
	// defaultSize is the chunk size before the first Set Chunk Size (5.4.1).
	defaultSize = 128
	// maxTimestamp in a header's 24 bits says that 32 bits follow (5.3.1.3).
	maxTimestamp = 0xffffff
	// firstGrant is how much of a message is allocated on its header's word
	// alone, in bytes; the rest follows once that much has come. So a peer
	// that claims large messages and sends none costs little, and frames up
	// to this size, which are nearly all, take one allocation.
	firstGrant = 256 << 10
)

var (
	// ErrMalformed is wrapped by errors that mean "this is no chunk stream".
	ErrMalformed = errors.New("malformed chunk stream")
	// ErrTooLarge is wrapped by errors that mean "beyond a bound of Limits".
	ErrTooLarge = errors.New("chunk stream over a bound")
)

// Limits bound what a peer may make a Reader hold.
type Limits struct {
	// MaxMessage is the largest message, in bytes.
	MaxMessage int
	// MaxChunkStreams is how many chunk streams may be open.
	MaxChunkStreams int
	// MaxPartial is the sum of messages that have begun and not ended, in bytes.
	MaxPartial int
	// Budget bounds the same over all Readers that share it, by what they
	// hold of such messages instead of by what is claimed.
	Budget *Budget
}

// Message is one RTMP message.
type Message struct {
	// ChunkStream is the chunk stream ID it came on, 2 to 65599.
	ChunkStream uint32
	// Type is the message type ID (RTMP 1.0, 5.4, 6, 7.1).
	Type byte
	// Stream is the message stream ID.
	Stream uint32
	// Timestamp is in milliseconds and wraps.
	Timestamp uint32
	// Body is the reader's gift: nobody else holds it.
	Body []byte
}

// Reader puts messages together. It obeys Set Chunk Size and Abort itself and
// does not return them.
type Reader struct {
	r       *bufio.Reader
	limits  Limits
	size    int
	streams map[uint32]*chunkStream
	partial int
	share   share
	bytes   uint64
	head    [11]byte // of a message header while it is read
}

type chunkStream struct {
	header
	body   []byte // of the message that has begun; nil: none has
	length int    // of the next or begun message
	taken  int    // bytes of the budget for it
}

// header is what later chunks of a stream may leave out.
type header struct {
	typ       byte
	stream    uint32
	timestamp uint32
	delta     uint32
	extended  bool   // the 24 bits were all ones
	extension uint32 // and this stood behind them
}

// NewReader returns a Reader of r.
func NewReader(r *bufio.Reader, l Limits) *Reader {
	return &Reader{r: r, limits: l, size: defaultSize, streams: map[uint32]*chunkStream{}, share: share{of: l.Budget}}
}

// SetLimits changes the limits for what begins from now on. The budget stays.
func (r *Reader) SetLimits(l Limits) { r.limits = l }

// SetSource changes what is read from.
func (r *Reader) SetSource(from *bufio.Reader) { r.r = from }

// End gives back what the Reader holds of its budget. It may be called from any
// goroutine and more than once; what is read after it is not counted any more.
func (r *Reader) End() { r.share.end() }

// Bytes returns how many bytes were read, which Acknowledgements tell (5.4.3).
func (r *Reader) Bytes() uint64 { return r.bytes }

// ReadMessage returns the next message. Errors wrap ErrMalformed, ErrTooLarge
// or what the connection said; io.EOF only stands between two chunks.
func (r *Reader) ReadMessage() (Message, error) {
	for {
		s, id, err := r.readChunk()
		if err != nil {
			return Message{}, err
		}
		if len(s.body) < s.length {
			continue
		}
		m := Message{ChunkStream: id, Type: s.typ, Stream: s.stream, Timestamp: s.timestamp, Body: s.body}
		r.drop(s)
		switch m.Type {
		case TypeSetChunkSize:
			err = r.setSize(m.Body)
		case TypeAbort:
			err = r.abort(m.Body)
		default:
			return m, nil
		}
		if err != nil {
			return Message{}, err
		}
	}
}

// readChunk reads one chunk: its basic header, its message header and as much
// of the message as belongs to it.
func (r *Reader) readChunk() (*chunkStream, uint32, error) {
	format, id, err := r.readBasicHeader()
	if err != nil {
		return nil, 0, err
	}
	s := r.streams[id]
	if s == nil {
		if format != 0 && format != 1 {
			return nil, 0, fmt.Errorf("%w: chunk stream %d begins with a header of type %d", ErrMalformed, id, format)
		}
		if len(r.streams) >= r.limits.MaxChunkStreams {
			return nil, 0, fmt.Errorf("%w: more than %d chunk streams", ErrTooLarge, r.limits.MaxChunkStreams)
		}
		s = &chunkStream{}
		r.streams[id] = s
	}
	if err := r.readMessageHeader(s, format); err != nil {
		return nil, 0, inside(err)
	}
	if err := r.readPayload(s); err != nil {
		return nil, 0, inside(err)
	}
	return s, id, nil
}

// readBasicHeader reads the format and the chunk stream ID (5.3.1.1).
func (r *Reader) readBasicHeader() (format byte, id uint32, err error) {
	b, err := r.r.ReadByte()
	if err != nil {
		return 0, 0, err
	}
	r.bytes++
	format, id = b>>6, uint32(b&0x3f)
	if id > 1 {
		return format, id, nil
	}
	more := r.head[:2]
	more[1] = 0
	if err := r.readFull(more[:id+1]); err != nil {
		return 0, 0, inside(err)
	}
	return format, 64 + uint32(more[0]) + uint32(more[1])<<8, nil
}

// readMessageHeader reads 11, 7, 3 or no bytes and the extended timestamp
// (5.3.1.2, 5.3.1.3).
func (r *Reader) readMessageHeader(s *chunkStream, format byte) error {
	if format == 3 {
		if err := r.readRepeatedExtension(s); err != nil {
			return err
		}
		if s.body == nil {
			// After a type 0 header its timestamp is the delta (5.3.1.2.4).
			s.timestamp += s.delta
		}
		return r.begin(s)
	}
	b := r.head[:]
	if err := r.readFull(b[:[...]int{11, 7, 3}[format]]); err != nil {
		return err
	}
	h, length := s.header, s.length
	t := uint32(b[0])<<16 | uint32(b[1])<<8 | uint32(b[2])
	if format < 2 {
		length = int(b[3])<<16 | int(b[4])<<8 | int(b[5])
		h.typ = b[6]
	}
	if format == 0 {
		h.stream = binary.LittleEndian.Uint32(b[7:])
	}
	if h.extended = t == maxTimestamp; h.extended {
		if err := r.readFull(b[:4]); err != nil {
			return err
		}
		t = binary.BigEndian.Uint32(b)
		h.extension = t
	}
	h.delta = t
	if format == 0 {
		h.timestamp = t
	} else {
		h.timestamp += t
	}
	if s.body != nil {
		if s.repeats(format, h, length) {
			s.extended, s.extension = h.extended, h.extension
			return nil
		}
		// The encoder gave the message up without an Abort.
		r.drop(s)
	}
	s.header, s.length = h, length
	return r.begin(s)
}

// repeats reports whether a header inside a message says again what that
// message is, as encoders do that write one before each chunk, instead of
// beginning another one. A type 2 header tells a time only, so it repeats.
func (s *chunkStream) repeats(format byte, h header, length int) bool {
	return length == s.length && h.typ == s.typ && h.stream == s.stream && (format != 0 || h.timestamp == s.timestamp)
}

// readRepeatedExtension takes the extended timestamp that a type 3 chunk
// carries when its stream's last header had one. Some encoders leave it out,
// some write the message's time where the header had a delta; so it is taken
// only if it is a value that may stand there. Its bytes are compared one by
// one as they come: the next ones may only come after an answer.
func (r *Reader) readRepeatedExtension(s *chunkStream) error {
	if !s.extended {
		return nil
	}
	var field, absolute [4]byte
	binary.BigEndian.PutUint32(field[:], s.extension)
	binary.BigEndian.PutUint32(absolute[:], s.timestamp)
	for n := 1; n <= len(field); n++ {
		b, err := r.r.Peek(n)
		if len(b) == n && !bytes.HasPrefix(field[:], b) && !bytes.HasPrefix(absolute[:], b) {
			return nil
		}
		if err != nil {
			if n > 1 && errors.Is(err, io.EOF) {
				return nil // fewer bytes are left than it has: the end of a message
			}
			return err
		}
	}
	r.bytes += 4
	_, err := r.r.Discard(4)
	return err
}

// begin makes room for a message that this chunk is the first of.
func (r *Reader) begin(s *chunkStream) error {
	if s.body != nil {
		return nil
	}
	if s.length > r.limits.MaxMessage {
		return fmt.Errorf("%w: a message of %d bytes, %d are allowed", ErrTooLarge, s.length, r.limits.MaxMessage)
	}
	if r.partial+s.length > r.limits.MaxPartial {
		return fmt.Errorf("%w: %d bytes in unfinished messages, %d are allowed", ErrTooLarge, r.partial+s.length, r.limits.MaxPartial)
	}
	grant := min(s.length, firstGrant)
	if err := r.share.take(grant); err != nil {
		return err
	}
	r.partial += s.length
	s.body, s.taken = make([]byte, 0, grant), grant
	return nil
}

// grow makes room for all of a message whose first grant is used up.
func (r *Reader) grow(s *chunkStream) error {
	// Both are held for as long as one is copied to the other, which is short.
	if err := r.share.take(s.length - s.taken); err != nil {
		return err
	}
	s.body, s.taken = append(make([]byte, 0, s.length), s.body...), s.length
	return nil
}

// drop forgets the begun message.
func (r *Reader) drop(s *chunkStream) {
	r.partial -= s.length
	r.share.give(s.taken)
	s.body, s.taken = nil, 0
}

func (r *Reader) readPayload(s *chunkStream) error {
	n := min(r.size, s.length-len(s.body))
	for n > 0 {
		if len(s.body) == cap(s.body) {
			if err := r.grow(s); err != nil {
				return err
			}
		}
		at := len(s.body)
		part := min(n, cap(s.body)-at)
		s.body = s.body[:at+part]
		if err := r.readFull(s.body[at:]); err != nil {
			return err
		}
		n -= part
	}
	return nil
}

func (r *Reader) readFull(b []byte) error {
	n, err := io.ReadFull(r.r, b)
	r.bytes += uint64(n)
	return err
}

// inside makes an end of the connection inside a chunk unexpected.
func inside(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// setSize obeys Set Chunk Size (5.4.1), also between the chunks of a message.
func (r *Reader) setSize(body []byte) error {
	if len(body) < 4 {
		return fmt.Errorf("%w: Set Chunk Size of %d bytes", ErrMalformed, len(body))
	}
	size := binary.BigEndian.Uint32(body)
	if size == 0 || size > 1<<31-1 {
		return fmt.Errorf("%w: a chunk size of %d", ErrMalformed, size)
	}
	// No message is longer than 24 bits tell, so no chunk is either.
	r.size = int(min(size, maxTimestamp))
	return nil
}

// abort obeys Abort Message (5.4.2).
func (r *Reader) abort(body []byte) error {
	if len(body) < 4 {
		return fmt.Errorf("%w: Abort Message of %d bytes", ErrMalformed, len(body))
	}
	if s := r.streams[binary.BigEndian.Uint32(body)]; s != nil && s.body != nil {
		r.drop(s)
	}
	return nil
}
