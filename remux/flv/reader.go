package flv

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"time"

	"github.com/miju-live/miju/media"
)

// maxHeader bounds DataOffset (E.2), which is 9 in every version there is.
const maxHeader = 1024

// firstAlloc bounds what is allocated for a body because its header says so;
// beyond, memory grows with what really comes.
const firstAlloc = 256 << 10

// Reader reads the tags of an FLV file or stream.
type Reader struct {
	r       *bufio.Reader
	started bool
}

// NewReader returns a Reader of r.
func NewReader(r io.Reader) *Reader {
	return &Reader{r: bufio.NewReaderSize(r, 64<<10)}
}

// ReadTag returns the next tag's type, timestamp and body, which is the
// caller's. The end of the file is io.EOF behind a whole tag and
// io.ErrUnexpectedEOF inside of one. Other errors wrap ErrMalformed,
// media.ErrUnsupportedCodec (encrypted tags) or those of the underlying reader.
func (r *Reader) ReadTag() (typ byte, timestamp time.Duration, body []byte, err error) {
	if !r.started {
		if err := r.readHeader(); err != nil {
			return 0, 0, nil, err
		}
		r.started = true
	}
	// PreviousTagSize stands before the tag. It is not checked: files that
	// were cut and joined have wrong ones and play everywhere.
	if _, err := r.r.Discard(trailerSize); err != nil {
		return 0, 0, nil, err
	}
	var h [tagHeaderSize]byte
	if _, err := io.ReadFull(r.r, h[:]); err != nil {
		return 0, 0, nil, err
	}
	if h[0]&0x20 != 0 { // Filter (E.4.1)
		return 0, 0, nil, fmt.Errorf("%w: encrypted FLV", media.ErrUnsupportedCodec)
	}
	size := int(h[1])<<16 | int(h[2])<<8 | int(h[3])
	ms := uint32(h[7])<<24 | uint32(h[4])<<16 | uint32(h[5])<<8 | uint32(h[6])
	if body, err = r.readBody(size); err != nil {
		return 0, 0, nil, err
	}
	return h[0] & 0x1f, time.Duration(ms) * time.Millisecond, body, nil
}

func (r *Reader) readHeader() error {
	var h [9]byte
	if _, err := io.ReadFull(r.r, h[:]); err != nil {
		return err
	}
	offset := binary.BigEndian.Uint32(h[5:])
	if string(h[:3]) != "FLV" || offset < uint32(len(h)) || offset > maxHeader {
		return fmt.Errorf("%w: it begins with %q", ErrMalformed, h)
	}
	_, err := r.r.Discard(int(offset) - len(h))
	return err
}

// readBody reads a body of at most MaxBody bytes.
func (r *Reader) readBody(size int) ([]byte, error) {
	body := make([]byte, 0, min(size, firstAlloc))
	for len(body) < size {
		if len(body) == cap(body) {
			body = append(make([]byte, 0, min(2*cap(body), size)), body...)
		}
		n, err := io.ReadFull(r.r, body[len(body):cap(body)])
		body = body[:len(body)+n]
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return nil, err
		}
	}
	return body, nil
}
