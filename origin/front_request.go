package origin

import (
	"bytes"
	"net/textproto"
	"net/url"
	"strings"
	"sync"
	"time"
)

const (
	// maxFrontHead is the longest head of a request that front reads, in bytes,
	// and maxFrontHeaders how many headers it may have; net/http takes longer ones.
	maxFrontHead    = 2048
	maxFrontHeaders = 48
	// deadlineRenewal is how much a read deadline may be short of its time: one
	// for every request costs as much as parsing it.
	deadlineRenewal = 10 * time.Second
)

// frontBuffers are for heads. A connection has one from its first byte of a
// request to the last.
var frontBuffers = sync.Pool{New: func() any { return new([maxFrontHead]byte) }}

// frontNext is what comes next on a connection.
type frontNext uint8

const (
	frontGone  frontNext = iota // nothing, it is to be closed
	frontPlain                  // a request for front
	frontOther                  // something for net/http
)

// next reads the next request. What it does not want stays unread.
func (c *frontConn) next() frontNext {
	buf := frontBuffers.Get().(*[maxFrontHead]byte)
	defer frontBuffers.Put(buf)
	begun := false
	n := copy(buf[:], c.unread)
	c.unread = nil
	if n > 0 {
		c.until = time.Time{}
	}
	for {
		head := endOfHead(buf[:n])
		switch {
		case head > 0 && c.parse(string(buf[:head])):
			if head < n { // it sends ahead
				c.unread = bytes.Clone(buf[head:n])
			}
			return frontPlain
		case head > 0 || n == len(buf) || n > 0 && !mayBePlain(buf[:n]):
			c.unread = bytes.Clone(buf[:n])
			return frontOther
		}
		if !begun && c.await(n) != nil || c.front.isClosed() {
			return frontGone
		}
		begun = n > 0 // one deadline for all of a head, however slowly it comes
		m, err := c.TCPConn.Read(buf[n:])
		if err != nil {
			return frontGone
		}
		n += m
	}
}

// await sets the read deadline, of a head of which n bytes have come.
func (c *frontConn) await(n int) error {
	now := time.Now()
	if n > 0 {
		c.until = time.Time{}
		return c.SetReadDeadline(now.Add(frontHead))
	}
	if !c.asked {
		return c.SetReadDeadline(now.Add(frontHead))
	}
	if until := now.Add(frontIdle); until.Sub(c.until) > deadlineRenewal {
		c.until = until
		return c.SetReadDeadline(until)
	}
	return nil
}

// endOfHead returns where the body of a request begins, 0 if its head is not
// whole.
func endOfHead(b []byte) int {
	i := bytes.Index(b, []byte("\r\n\r\n"))
	if i < 0 {
		return 0
	}
	return i + 4
}

// mayBePlain reports whether the bytes so far may begin a request for front.
func mayBePlain(b []byte) bool {
	const method = "GET /"
	return string(b[:min(len(b), len(method))]) == method[:min(len(b), len(method))]
}

// parse takes a head apart if it is of a plain request. What it is unsure of is
// left to net/http, so it knows one form of everything.
func (c *frontConn) parse(head string) bool {
	line, rest, _ := strings.Cut(head, "\r\n")
	target, ok := strings.CutPrefix(line, "GET ")
	if !ok {
		return false
	}
	if target, ok = strings.CutSuffix(target, " HTTP/1.1"); !ok || !isPlainTarget(target) {
		return false
	}
	r := c.request
	clear(r.Header)
	r.Host, r.RemoteAddr = "", c.remote
	if !c.parseHeaders(rest) || r.Host == "" {
		return false
	}
	path, query, _ := strings.Cut(target, "?")
	if r.URL == nil {
		r.URL = new(url.URL)
	}
	*r.URL = url.URL{Path: path, RawQuery: query}
	r.RequestURI = target
	return true
}

// parseHeaders reads header lines up to the empty one, which ends them.
func (c *frontConn) parseHeaders(rest string) bool {
	r := c.request
	n := 0
	for {
		var line string
		if line, rest, _ = strings.Cut(rest, "\r\n"); line == "" {
			return rest == ""
		}
		name, value, ok := strings.Cut(line, ":")
		if value = strings.Trim(value, " \t"); !ok || !isToken(name) || !isFieldValue(value) {
			return false
		}
		switch name = textproto.CanonicalMIMEHeaderKey(name); name {
		case "Host":
			if r.Host != "" || !isHost(value) {
				return false
			}
			r.Host = value
			continue
		case "Connection":
			if !strings.EqualFold(value, "keep-alive") {
				return false
			}
		case "Content-Length", "Transfer-Encoding", "Expect", "Range", "Upgrade", "Te", "Trailer", "Http2-Settings":
			return false
		}
		if n++; n > maxFrontHeaders {
			return false
		}
		r.Header[name] = append(r.Header[name], value)
	}
}

// isPlainTarget reports whether a request's target is a file of HLS, without
// anything in its path that could be written in two ways.
func isPlainTarget(target string) bool {
	path, query, _ := strings.Cut(target, "?")
	if !strings.HasSuffix(path, ".m3u8") && !strings.HasSuffix(path, ".mp4") || path[0] != '/' {
		return false
	}
	for i := range len(path) {
		switch b := path[i]; {
		case b >= 'a' && b <= 'z', b >= 'A' && b <= 'Z', b >= '0' && b <= '9', b == '-', b == '_', b == '.':
		case b == '/' && i+1 < len(path) && path[i+1] != '/' && path[i+1] != '.':
		default:
			return false
		}
	}
	for i := range len(query) {
		if b := query[i]; b <= ' ' || b >= 0x7f || b == '#' {
			return false
		}
	}
	return true
}

func isToken(s string) bool {
	for i := range len(s) {
		switch b := s[i]; {
		case b >= 'a' && b <= 'z', b >= 'A' && b <= 'Z', b >= '0' && b <= '9', b == '-':
		default:
			return false
		}
	}
	return s != ""
}

func isFieldValue(s string) bool {
	for i := range len(s) {
		if b := s[i]; b < ' ' && b != '\t' || b >= 0x7f {
			return false
		}
	}
	return true
}

func isHost(s string) bool {
	for i := range len(s) {
		switch b := s[i]; {
		case b >= 'a' && b <= 'z', b >= 'A' && b <= 'Z', b >= '0' && b <= '9', strings.IndexByte("-._:[]", b) >= 0:
		default:
			return false
		}
	}
	return s != ""
}
