package origin

import (
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

// maxFrontBody is the most that an answer without Content-Length may have, in
// bytes: those are errors.
const maxFrontBody = 64 << 10

// frontHeads are buffers for heads of answers.
var frontHeads = sync.Pool{New: func() any { return new([headBuffer]byte) }}

// frontAnswer is the http.ResponseWriter of front. The head goes out with the
// first of the body.
type frontAnswer struct {
	conn   *frontConn
	header http.Header
	status int
	sent   bool  // the head is out
	left   int64 // bytes of Content-Length that are to come, once it is
	body   []byte
	failed bool
	pieces net.Buffers
}

var (
	_ http.ResponseWriter = (*frontAnswer)(nil)
	_ chunkWriter         = (*frontAnswer)(nil)
)

// chunkWriter writes the chunks of a body at once.
type chunkWriter interface {
	WriteChunks(chunks [][]byte) (int64, error)
}

// Header implements http.ResponseWriter.
func (a *frontAnswer) Header() http.Header { return a.header }

// WriteHeader implements http.ResponseWriter.
func (a *frontAnswer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
}

// Write implements http.ResponseWriter.
func (a *frontAnswer) Write(b []byte) (int, error) {
	if !a.sent && len(a.header["Content-Length"]) == 0 {
		if a.body = append(a.body, b...); len(a.body) > maxFrontBody {
			a.failed = true
			return 0, http.ErrContentLength
		}
		return len(b), nil
	}
	n, err := a.WriteChunks([][]byte{b})
	return int(n), err
}

// WriteChunks implements chunkWriter.
func (a *frontAnswer) WriteChunks(chunks [][]byte) (int64, error) {
	if a.failed {
		return 0, net.ErrClosed
	}
	a.pieces = a.pieces[:0]
	var head *[headBuffer]byte
	size := int64(0)
	for _, c := range chunks {
		size += int64(len(c))
	}
	if !a.sent {
		a.left, _ = strconv.ParseInt(a.header["Content-Length"][0], 10, 64)
		head = frontHeads.Get().(*[headBuffer]byte)
		a.pieces = append(a.pieces, a.appendHead(head[:0]))
		a.sent = true
	}
	a.pieces = append(a.pieces, chunks...)
	if a.left -= size; a.left < 0 {
		a.failed = true
		return 0, http.ErrContentLength
	}
	err := a.conn.arm()
	if err == nil {
		out := a.pieces
		_, err = out.WriteTo(a.conn.TCPConn)
	}
	clear(a.pieces)
	if head != nil {
		frontHeads.Put(head)
	}
	if err != nil {
		a.failed = true
		return 0, err
	}
	return size, nil
}

// end sends what is left and makes room for the next answer. It returns false
// if the connection is of no use any more.
func (a *frontAnswer) end() bool {
	if !a.sent && !a.failed {
		if len(a.header["Content-Length"]) == 0 {
			a.header["Content-Length"] = []string{strconv.Itoa(len(a.body))}
		}
		a.WriteChunks([][]byte{a.body})
	}
	ok := !a.failed && a.left == 0
	clear(a.header)
	a.status, a.sent, a.left, a.failed, a.body = 0, false, 0, false, nil
	return ok
}

func (a *frontAnswer) appendHead(b []byte) []byte {
	if a.status == 0 {
		a.status = http.StatusOK
	}
	b = append(b, "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(a.status), 10)
	b = append(b, ' ')
	b = append(b, http.StatusText(a.status)...)
	b = append(b, "\r\n"...)
	if a.conn.front.isClosed() {
		a.header["Connection"] = []string{"close"}
	}
	if len(a.header["Date"]) == 0 {
		a.header["Date"] = date()
	}
	for _, early := range [...]bool{true, false} {
		for name, values := range a.header {
			if strings.EqualFold(name, "Cache-Control") == early { // X-Accel-Expires comes before it
				continue
			}
			for _, v := range values {
				b = append(append(b, name...), ": "...)
				b = append(append(b, oneLine(v)...), "\r\n"...)
			}
		}
	}
	return append(b, "\r\n"...)
}

// oneLine keeps a value from becoming a header of its own, as net/http does.
func oneLine(v string) string {
	if strings.ContainsAny(v, "\r\n") {
		return strings.NewReplacer("\r", " ", "\n", " ").Replace(v)
	}
	return v
}
