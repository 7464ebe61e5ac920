package bench

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// ChatConfig is a load of chat members.
type ChatConfig struct {
	Load
	Rooms int `flag:"rooms" min:"1" max:"100000" help:"rooms that the members spread over: {i} in the URL is from 1 to this"`
	Rate  int `flag:"rate" min:"1" max:"100000" help:"messages a second in each room, said by members in turn"`
}

// DefaultChat is a short look at a server.
func DefaultChat() ChatConfig {
	return ChatConfig{Load: Load{N: 100, Duration: 20 * time.Second, Ramp: 200}, Rooms: 1, Rate: 5}
}

// ChatReport is what chat members saw.
type ChatReport struct {
	Run
	Members int            `json:"members" text:"members"`
	Rooms   int            `json:"rooms" text:"in rooms"`
	Joined  int            `json:"joined" text:"joined"`
	Online  int            `json:"online" text:"were there at the end"`
	Refused map[string]int `json:"refused" text:"refused, by status or close code"`
	Failed  map[string]int `json:"failed" text:"failed, by cause"`
	// Disconnected had joined and ended before the load did.
	Disconnected map[string]int `json:"disconnected" text:"disconnected, by close code"`
	Join         Quantiles      `json:"join_ms" text:"request to welcome" unit:"ms"`
	// Sent are messages of the window, of which Unsaid were refused.
	Sent   int64          `json:"sent" text:"messages sent"`
	Unsaid map[string]int `json:"messages_refused" text:"messages refused, by code"`
	// Delivered are messages that came to a member, Lost those that should have
	// come to one that was there all the time.
	Delivered  int64     `json:"delivered" text:"delivered to members"`
	PerSecond  float64   `json:"delivered_per_s" text:"which is" unit:"a second"`
	Lost       int64     `json:"lost" text:"lost"`
	OutOfOrder int64     `json:"out_of_order" text:"out of their sender's order, or twice"`
	Latency    Quantiles `json:"latency_ms" text:"from sender to member" unit:"ms"`
	End
}

// Chat runs a load of chat members. The report tells what was measured even if
// there is an error, which wraps ErrNothing if nobody could join.
func Chat(ctx context.Context, c ChatConfig) (*ChatReport, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	if c.Rate < 1 {
		return nil, errors.New("--rate must be more than 0")
	}
	targets, err := c.targets(c.Rooms, "ws", "wss")
	if err != nil {
		return nil, err
	}
	if err := fit(c.N, targets); err != nil {
		return nil, err
	}
	h := newChatCrowd(&c, targets)
	saying, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	h.stop = stop
	for i, r := range h.rooms {
		// Not all rooms speak at the same moment.
		phase := time.Duration(i) * time.Second / time.Duration(c.Rate*c.Rooms)
		h.senders.Go(func() { h.talk(saying, r, phase) })
	}
	w, err := c.run(ctx, h)
	stop()
	h.senders.Wait()
	if err != nil {
		return nil, err
	}
	r := h.report(&w)
	if r.Joined == 0 {
		err = fmt.Errorf("%w: nobody could join", ErrNothing)
	}
	return r, err
}

// chatBuffer is the read buffer of a member, in bytes: there are many, and
// messages are short.
const chatBuffer = 2 << 10

// maxMicros bounds a time that comes back in a text.
const maxMicros = math.MaxInt64 / int64(time.Microsecond)

// straggling is how long the last messages may take to come.
const straggling = time.Second

// chatCrowd is all members of a load.
type chatCrowd struct {
	config *ChatConfig
	dialer *dialer
	rooms  []*chatRoom
	mark   []byte // that begins every text of this load
	epoch  time.Time

	window  chan struct{}      // closed when it begins
	stop    context.CancelFunc // ends the talk
	senders sync.WaitGroup

	failures           failures
	unsaid, ended      failures // messages, and members that had joined
	join, latency      hist
	bytes              atomic.Int64
	joined, online     atomic.Int64
	sent, delivered    atomic.Int64
	lost, disorder     atomic.Int64
	endOnline, endSent int64
}

// chatRoom is one room. Its first members say all that is said there, each one
// message a second at most.
type chatRoom struct {
	target *url.URL
	// refused are messages of the window.
	refused atomic.Int64

	mu      sync.Mutex
	members []*chatMember
	// present are those that were there when the window began.
	present []*chatMember
}

// chatMember is one member.
type chatMember struct {
	crowd *chatCrowd
	room  *chatRoom
	c     *conn
	// last is the newest number of each sender, got how many messages came.
	last []int32
	got  atomic.Int64
	said int32
	gone atomic.Bool
}

func newChatCrowd(c *ChatConfig, targets []*url.URL) *chatCrowd {
	h := &chatCrowd{config: c, epoch: time.Now(), window: make(chan struct{}), mark: []byte("bench " + rand.Text()[:8] + " ")}
	h.dialer = c.dialer(&h.bytes)
	h.dialer.buffer = chatBuffer
	for _, u := range targets {
		h.rooms = append(h.rooms, &chatRoom{target: u})
	}
	return h
}

// chatEvent is what is looked at of an event.
type chatEvent struct {
	Type string `json:"type"`
	Code string `json:"code"`
}

// member joins, and counts what comes.
func (h *chatCrowd) member(ctx context.Context, i int, began func()) {
	defer began()
	m := &chatMember{crowd: h, room: h.rooms[i%len(h.rooms)], last: make([]int32, h.config.Rate)}
	s, err := m.enter(ctx, i)
	if err != nil {
		if ctx.Err() == nil {
			h.failures.add(closing(err))
		}
		return
	}
	defer m.c.Close()
	defer context.AfterFunc(ctx, func() { m.c.Close() })()
	h.joined.Add(1)
	h.online.Add(1)
	defer h.online.Add(-1)
	began()
	err = m.listen(s)
	m.gone.Store(true)
	if ctx.Err() == nil {
		h.ended.add(closing(err))
	}
}

// closing makes a refusal of a close code.
func closing(err error) error {
	var c *closed
	if errors.As(err, &c) {
		return &refusal{strconv.Itoa(c.code)}
	}
	return err
}

// enter connects and joins.
func (m *chatMember) enter(ctx context.Context, i int) (_ *socket, err error) {
	began := time.Now()
	if m.c, err = m.crowd.dialer.dial(ctx, m.room.target); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			m.c.Close()
		}
	}()
	defer context.AfterFunc(ctx, func() { m.c.Close() })()
	if err := m.c.SetReadDeadline(began.Add(beginWait)); err != nil {
		return nil, err
	}
	if err := m.c.upgrade(m.room.target); err != nil {
		return nil, err
	}
	s := m.c.webSocket()
	if err := s.write(appendFrame(nil, opText, fmt.Appendf(nil, `{"type":"join","name":"bench %d"}`, i+1))); err != nil {
		return nil, err
	}
	var frame []byte
	for {
		if frame, err = s.message(frame[:0]); err != nil {
			return nil, err
		}
		var e chatEvent
		if err := json.Unmarshal(frame, &e); err != nil {
			return nil, fmt.Errorf("%w: an event: %w", errProtocol, err)
		}
		switch e.Type {
		case "error":
			return nil, &refusal{fmt.Sprintf("%.40s", e.Code)}
		case "welcome":
			m.crowd.join.add(time.Since(began))
			m.room.mu.Lock()
			m.room.members = append(m.room.members, m)
			m.room.mu.Unlock()
			return s, m.c.SetReadDeadline(time.Time{})
		}
	}
}

// listen reads what comes until the connection ends.
func (m *chatMember) listen(s *socket) error {
	var frame []byte
	var err error
	for {
		if frame, err = s.message(frame[:0]); err != nil {
			return err
		}
		now := time.Since(m.crowd.epoch)
		rest, found := frame, false
		for {
			_, after, ok := bytes.Cut(rest, m.crowd.mark)
			if !ok {
				break
			}
			rest, found = after, true
			m.heard(after, now)
		}
		if found {
			continue
		}
		var e chatEvent
		if bytes.Contains(frame, []byte("error")) && json.Unmarshal(frame, &e) == nil && e.Type == "error" {
			m.room.refused.Add(1)
			m.crowd.unsaid.add(&refusal{fmt.Sprintf("%.40s", e.Code)})
		}
	}
}

// heard takes note of a message: the sender's number, the message's, and when
// it was sent, in µs.
func (m *chatMember) heard(text []byte, now time.Duration) {
	sender, number, at, ok := parseMark(text)
	if !ok || sender >= int64(len(m.last)) || number > math.MaxInt32 {
		return
	}
	if int32(number) <= m.last[sender] {
		m.crowd.disorder.Add(1)
		if int32(number) == m.last[sender] {
			return // again
		}
	}
	m.last[sender] = max(m.last[sender], int32(number))
	m.got.Add(1)
	m.crowd.delivered.Add(1)
	m.crowd.latency.add(now - time.Duration(min(at, maxMicros))*time.Microsecond)
}

// parseMark reads three numbers with spaces behind each.
func parseMark(text []byte) (sender, number, at int64, ok bool) {
	for _, to := range []*int64{&sender, &number, &at} {
		digits, rest, found := bytes.Cut(text[:min(len(text), 40)], []byte(" "))
		n, err := strconv.ParseInt(string(digits), 10, 64)
		if !found || err != nil || n < 0 {
			return 0, 0, 0, false
		}
		*to, text = n, rest
	}
	return sender, number, at, true
}

// talk has the members of a room say something in turn, from a moment behind
// the window's begin.
func (h *chatCrowd) talk(ctx context.Context, r *chatRoom, phase time.Duration) {
	select {
	case <-ctx.Done():
		return
	case <-h.window:
	}
	senders := min(len(r.present), h.config.Rate)
	if senders == 0 {
		return
	}
	began := time.Now().Add(phase)
	for n := 0; sleep(ctx, time.Until(began.Add(time.Duration(n)*time.Second/time.Duration(h.config.Rate)))); n++ {
		if m := r.present[n%senders]; !m.gone.Load() {
			m.say(n % senders)
		}
	}
}

// say says something, as one of the room's senders.
func (m *chatMember) say(sender int) {
	text := fmt.Sprintf(`{"type":"say","text":"%s%d %d %d ."}`, m.crowd.mark, sender, m.said+1, time.Since(m.crowd.epoch).Microseconds())
	m.c.SetWriteDeadline(time.Now().Add(writeWait))
	if _, err := m.c.Conn.Write(appendFrame(nil, opText, []byte(text))); err != nil {
		return // its reader tells the end
	}
	m.said++
	m.crowd.sent.Add(1)
}

func (h *chatCrowd) active() int { return int(h.online.Load()) }

func (h *chatCrowd) begin() {
	for _, r := range h.rooms {
		r.mu.Lock()
		r.present = slices.Clone(r.members)
		r.mu.Unlock()
	}
	close(h.window)
}

// end waits for what is on its way, and counts what does not come.
func (h *chatCrowd) end() {
	h.endOnline = h.online.Load()
	h.stop()
	h.senders.Wait()
	h.endSent = h.sent.Load()
	for end := time.Now().Add(straggling); ; {
		h.lost.Store(h.missing())
		if h.lost.Load() == 0 || !sleep(context.Background(), 10*time.Millisecond) || time.Now().After(end) {
			return
		}
	}
}

// missing is how many messages have not come to members that were there from the
// window's begin until now.
func (h *chatCrowd) missing() (n int64) {
	for _, r := range h.rooms {
		said := -r.refused.Load()
		for _, m := range r.present {
			said += int64(m.said)
		}
		for _, m := range r.present {
			if !m.gone.Load() {
				n += max(said-m.got.Load(), 0)
			}
		}
	}
	return n
}

func (h *chatCrowd) status() string {
	return fmt.Sprintf("%d of %d members, %d messages sent, %d refused, %d delivered, %d failed, %d disconnected", h.active(), h.config.N,
		h.sent.Load(), h.unsaid.sum(), h.delivered.Load(), h.failures.sum(), h.ended.sum())
}

func (h *chatCrowd) report(w *measured) *ChatReport {
	r := &ChatReport{
		Run: h.config.head("chat", w), Members: h.config.N, Rooms: h.config.Rooms, Joined: int(h.joined.Load()), Online: int(h.endOnline),
		Join: h.join.quantiles(), Sent: h.endSent, Delivered: h.delivered.Load(), Lost: h.lost.Load(), OutOfOrder: h.disorder.Load(),
		PerSecond: round4(ratio(float64(h.delivered.Load()), w.took.Seconds())), Latency: h.latency.quantiles(),
		Disconnected: h.ended.all(), Unsaid: h.unsaid.all(),
	}
	r.Refused, r.Failed = h.failures.totals()
	w.each(r.Joined, func(s *ServerUse) **float64 { return &s.PerMillion }, 1e6, float64(r.Delivered))
	w.each(r.Joined, func(s *ServerUse) **float64 { return &s.CorePercent }, 100/w.took.Seconds(), float64(h.endOnline))
	r.End = w.tail(&h.failures)
	return r
}
