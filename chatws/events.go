package chatws

import (
	"bytes"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/miju-live/miju/peer"
	"github.com/miju-live/miju/streamkey"
)

// maxToken is the longest resume token of server-sent events, in bytes.
const maxToken = 40

// parsePosition reads a resume token, EPOCH-OFFSET.
func parsePosition(s string) (Position, bool) {
	epoch, offset, ok := strings.Cut(s, "-")
	if !ok || len(s) > maxToken {
		return Position{}, false
	}
	e, err := strconv.ParseInt(epoch, 10, 64)
	if err != nil || e < 0 || epoch[0] == '+' {
		return Position{}, false
	}
	o, err := strconv.ParseUint(offset, 10, 64)
	if err != nil {
		return Position{}, false
	}
	return Position{e, o}, true
}

// String is the resume token of p.
func (p Position) String() string {
	return strconv.FormatInt(p.Epoch, 10) + "-" + strconv.FormatUint(p.Offset, 10)
}

// eventWriter is a response of server-sent events (HTML, 9.2) that a member's
// frames are written to as to a connection: so readers of events are bounded
// and closed like all members.
type eventWriter struct {
	http     *http.ResponseController
	w        http.ResponseWriter
	once     sync.Once
	closed   chan struct{}
	buf      bytes.Buffer
	position Position
	replay   int // events that are still to come from before
}

var _ net.Conn = (*eventWriter)(nil)

// Write implements net.Conn. b is whole frames.
func (e *eventWriter) Write(b []byte) (int, error) {
	e.buf.Reset()
	over := false
	for rest := b; len(rest) > 0; {
		head, size := frameHead(rest)
		payload := rest[head : head+size]
		switch rest[0] & 0x0f {
		case opText:
			e.append(payload)
		case opPing:
			e.buf.WriteString(":\n\n")
		case opClose:
			code, _ := closeCodeOf(payload)
			e.appendData(encode(&Closed{code}))
			over = true
		}
		rest = rest[head+size:]
	}
	if _, err := e.w.Write(e.buf.Bytes()); err != nil {
		return 0, err
	}
	if err := e.http.Flush(); err != nil {
		return 0, err
	}
	if over {
		e.Close()
	}
	return len(b), nil
}

// append writes an event, and the position behind it if it makes one.
func (e *eventWriter) append(payload []byte) {
	offset, numbered := offsetOf(payload)
	switch {
	case bytes.HasPrefix(payload, []byte(`{"type":"welcome"`)):
		var w struct {
			Position
			Replay int `json:"replay"`
		}
		if json.Unmarshal(payload, &w) == nil {
			e.position, e.replay = w.Position, w.Replay
		}
		numbered = e.replay == 0
	case numbered && e.replay > 0:
		e.replay--
		numbered = e.replay == 0 // it has got all that was before the welcome
	case numbered:
		e.position.Offset = offset
	}
	if numbered {
		e.buf.WriteString("id: ")
		e.buf.WriteString(e.position.String())
		e.buf.WriteByte('\n')
	}
	e.appendData(payload)
}

func (e *eventWriter) appendData(payload []byte) {
	e.buf.WriteString("data: ")
	e.buf.Write(payload) // JSON has no line breaks
	e.buf.WriteString("\n\n")
}

// offsetOf returns the offset of an event that has one. It stands right
// behind the type.
func offsetOf(payload []byte) (uint64, bool) {
	_, rest, ok := bytes.Cut(payload, []byte(`","offset":`))
	if !ok || len(payload)-len(rest) > 48 {
		return 0, false
	}
	end := bytes.IndexAny(rest, ",}")
	if end < 0 {
		return 0, false
	}
	n, err := strconv.ParseUint(string(rest[:end]), 10, 64)
	return n, err == nil
}

// Close implements net.Conn.
func (e *eventWriter) Close() error {
	e.once.Do(func() { close(e.closed) })
	return nil
}

// Read implements net.Conn. Nothing comes.
func (*eventWriter) Read([]byte) (int, error) { return 0, net.ErrClosed }

// LocalAddr implements net.Conn.
func (*eventWriter) LocalAddr() net.Addr { return nil }

// RemoteAddr implements net.Conn.
func (*eventWriter) RemoteAddr() net.Addr { return nil }

// SetDeadline implements net.Conn.
func (e *eventWriter) SetDeadline(t time.Time) error { return e.http.SetWriteDeadline(t) }

// SetReadDeadline implements net.Conn.
func (*eventWriter) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline implements net.Conn.
func (e *eventWriter) SetWriteDeadline(t time.Time) error { return e.http.SetWriteDeadline(t) }

// serveEvents answers with server-sent events until the reader goes.
func (s *Server) serveEvents(w http.ResponseWriter, r *http.Request, key streamkey.Key) {
	query := r.URL.Query()
	join := &Join{}
	token := r.Header.Get("Last-Event-ID")
	if token == "" {
		token = query.Get("resume")
	}
	if p, ok := parsePosition(token); ok {
		join.Resume = &p
	} else if token != "" {
		fail(w, http.StatusBadRequest, "bad_resume", "a position is EPOCH-OFFSET")
		return
	}
	if n, err := strconv.Atoi(query.Get("history")); err == nil {
		join.History = &n
	}
	grant, ok := s.mayRead(w, r, key)
	address := peer.Address(r.RemoteAddr)
	if !ok || !s.admit(w, address) {
		return
	}
	defer s.running.Done()
	if r.Method == http.MethodHead {
		s.release(address)
		return
	}
	out := &eventWriter{http: http.NewResponseController(w), w: w, closed: make(chan struct{})}
	m := newMember(s, out, key)
	m.address, m.remote, m.readsOnly = address, r.RemoteAddr, true
	gone := make(chan struct{})
	m.out.last = func() { close(gone) }
	err := m.identify(grant, "", query.Get("guest"))
	if err == nil {
		err = s.readEvents(w, m, join)
	}
	if err != nil {
		s.release(address)
		s.refuseReader(w, err)
		return
	}
	select {
	case <-r.Context().Done():
		m.cut()
	case <-out.closed:
	}
	m.room.Load().leave(m, time.Now())
	m.out.endReading()
	<-gone
	s.dismiss(m)
}

// readEvents puts a reader of events into its room.
func (s *Server) readEvents(w http.ResponseWriter, m *member, join *Join) error {
	if _, banned := m.sanction(SanctionBan); banned {
		return errBanned
	}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // nginx passes each event on at once
	if err := s.enter(m, join, ""); err != nil {
		return err
	}
	if s.register(m) {
		m.close(CloseGoingAway)
	}
	m.flush()
	return nil
}

// refuseReader answers a reader of events who is not let in.
func (s *Server) refuseReader(w http.ResponseWriter, err error) {
	status, code := http.StatusServiceUnavailable, "full"
	var refusal *Refusal
	switch {
	case errors.Is(err, errBanned):
		status, code = http.StatusForbidden, "banned"
	case errors.Is(err, errCrowded):
		code = "crowded"
	case errors.As(err, &refusal) && refusal.Code == CodeRate:
		status, code = http.StatusTooManyRequests, "rate"
		w.Header().Set("Retry-After", strconv.Itoa(1+int(refusal.RetryAfter/time.Second)))
	case errors.As(err, &refusal):
		status, code = http.StatusBadRequest, string(refusal.Code)
	}
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "5")
	}
	s.refused[code].Add(1)
	fail(w, status, code, err.Error())
}
