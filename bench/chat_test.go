package bench

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/lxzan/gws"
)

func TestParseMark(t *testing.T) {
	for _, c := range []struct {
		text                string
		sender, number, tee int64
		ok                  bool
	}{
		{`1 22 333 ."}`, 1, 22, 333, true},
		{"0 0 0 ", 0, 0, 0, true},
		{"1 2 3", 0, 0, 0, false},
		{"1 2 ", 0, 0, 0, false},
		{"", 0, 0, 0, false},
		{"-1 2 3 .", 0, 0, 0, false},
		{"1 x 3 .", 0, 0, 0, false},
		{"1 99999999999999999999 3 .", 0, 0, 0, false},
		{"000000000000000000000000000000000000000000000000001 2 3 .", 0, 0, 0, false},
	} {
		if sender, number, at, ok := parseMark([]byte(c.text)); sender != c.sender || number != c.number || at != c.tee || ok != c.ok {
			t.Errorf("%q: %d %d %d %v", c.text, sender, number, at, ok)
		}
	}
}

func FuzzMark(f *testing.F) {
	for _, s := range []string{`1 22 333 ."}`, "1 2 3", "-1 2 3 .", "4294967296 4294967296 9223372036854775807 "} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		h := newChatCrowd(&ChatConfig{Rate: 5}, nil)
		m := &chatMember{crowd: h, last: make([]int32, 5)}
		m.heard(text, time.Hour)
		if sender, number, at, ok := parseMark(text); ok && (sender < 0 || number < 0 || at < 0) {
			t.Error(sender, number, at)
		}
	})
}

// badRoom is a server that welcomes everybody, gives members what they say
// themselves, and that twice, and refuses every third.
type badRoom struct {
	gws.BuiltinEventHandler
	said int
}

func (b *badRoom) OnMessage(c *gws.Conn, m *gws.Message) {
	defer m.Close()
	text := string(m.Bytes())
	if b.said == 0 {
		b.said++
		c.WriteString(`{"type":"welcome","name":"x"}`)
		return
	}
	if b.said++; b.said%3 == 0 {
		c.WriteString(`{"type":"error","code":"rate"}`)
		return
	}
	c.WriteString(fmt.Sprintf(`{"type":"message","text":%q}`, text))
	c.WriteString(fmt.Sprintf(`{"type":"message","text":%q}`, text))
}

func TestChatFindsWhatIsWrong(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := gws.NewUpgrader(&badRoom{}, nil).Upgrade(w, r)
		if err == nil {
			c.ReadLoop()
		}
	})}
	done := make(chan struct{})
	go func() { defer close(done); s.Serve(l) }()
	defer func() { s.Close(); <-done }()
	c := DefaultChat()
	c.URL, c.N, c.Duration, c.Rate = "ws://"+l.Addr().String()+"/x", 1, time.Second, 20
	r, err := Chat(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	refused := int64(r.Unsaid["rate"])
	if r.Joined != 1 || r.Sent < 10 || refused < r.Sent/3-1 || refused > r.Sent/3+1 || r.Delivered != r.Sent-refused || r.OutOfOrder != r.Sent-refused || r.Lost != 0 {
		t.Errorf("%+v", r)
	}
	// Two members of such a room miss what the other says.
	c.N = 2
	if r, err = Chat(t.Context(), c); err != nil || r.Lost == 0 || r.Lost != r.Delivered {
		t.Errorf("%v %+v", err, r)
	}
}

// What servers answer instead of a welcome is told by its code.
func TestChatRefused(t *testing.T) {
	for _, c := range []struct{ name, event, refused, failed string }{
		{"an error", "\x81\x22" + `{"type":"error","code":"bad_name"}`, "bad_name", ""},
		{"a close", "\x88\x02\x0f\xa1", "4001", ""},
		{"nonsense", "\x81\x02hi", "", kindProtocol},
		{"an end", "", "", kindEnded},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			done := make(chan struct{})
			go func() {
				defer close(done)
				conn, err := l.Accept()
				if err != nil {
					return
				}
				defer conn.Close()
				conn.SetDeadline(time.Now().Add(patience))
				br := bufio.NewReader(conn)
				r, err := http.ReadRequest(br)
				if err != nil {
					t.Error(err)
					return
				}
				fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n%s",
					accept(r.Header.Get("Sec-WebSocket-Key")), c.event)
				if c.event == "" {
					conn.(*net.TCPConn).CloseWrite()
				}
				io.Copy(io.Discard, br)
			}()
			defer func() { l.Close(); <-done }()
			config := DefaultChat()
			config.URL, config.N = "ws://"+l.Addr().String()+"/x", 1
			r, err := Chat(t.Context(), config)
			if !errors.Is(err, ErrNothing) || c.refused != "" && r.Refused[c.refused] != 1 || c.failed != "" && r.Failed[c.failed] != 1 {
				t.Errorf("%v %+v", err, r)
			}
		})
	}
}
