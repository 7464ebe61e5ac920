package chatws

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miju-live/miju/auth"
)

// TestEndingsDoNotFillTheLog: who leaves is worth no line, and who is put out again
// and again fills the log with a hundred at once and a few a second.
func TestEndingsDoNotFillTheLog(t *testing.T) {
	inBubble(t, DefaultConfig(), auth.Open{}, func(t *testing.T, s *Server, dial func() *rawClient) {
		var book lockedBuffer
		s.log = slog.New(slog.NewTextHandler(&book, nil))
		end := func(write func(*rawClient), want CloseCode) {
			t.Helper()
			c := dial()
			c.join()
			write(c)
			if code := c.closeCode(); code != want {
				t.Errorf("closed with %d", code)
			}
			c.conn.Close()
			synctest.Wait()
		}
		leaves := func(c *rawClient) { c.write(0x88, "\x03\xe8") }
		breaks := func(c *rawClient) { c.write(0xc1, "{}") }
		lines := func() int { return strings.Count(book.String(), "chat connection ended") }
		end(leaves, 1000)
		if n := lines(); n != 0 {
			t.Errorf("%d lines of one that left:\n%s", n, book.String())
		}
		const most = 100
		for range most + 50 {
			end(breaks, CloseProtocol)
		}
		if n := lines(); n != most {
			t.Errorf("%d lines", n)
		}
		<-time.After(10 * time.Second)
		end(breaks, CloseProtocol)
		if n := lines(); n != most+1 || !strings.Contains(book.String(), "unlogged=50") {
			t.Errorf("%d lines; the last do not say what was left out", n)
		}
	})
}

// lockedBuffer is a log that several goroutines write.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
