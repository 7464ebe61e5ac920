package ingest

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miju-live/miju/auth"
	"github.com/miju-live/miju/stream"
)

// TestNews: what becomes of a stream is told in its order, and what a grant
// permitted is over once for each connection, before another has the stream.
func TestNews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []string
		ended := map[string]int{}
		b := newBench(t, grantFunc(func(r auth.Request) (auth.Grant, error) {
			if r.Session == "" {
				t.Error("a connection without a name")
			}
			return auth.Grant{Subject: "a", MaxViewers: 1, Ended: func() {
				ended[r.Session]++
				told = append(told, "grant over")
			}}, nil
		}))
		defer b.stop()
		sessions := map[string]bool{}
		b.server.Tell(func(n News) {
			sessions[n.Stream.Session()] = true
			if n.Session == "" || n.Subject != "a" || n.Protocol != "test" || n.RemoteAddr != "192.0.2.1:5" || n.Stream.Key().String() != "live/x" {
				t.Errorf("%+v", n)
			}
			told = append(told, strings.TrimSpace(fmt.Sprintf("%s %s", map[NewsKind]string{NewsLive: "live", NewsSuspended: "suspended", NewsEnded: "ended"}[n.Kind], n.Reason)))
		})
		expect := func(want string) {
			t.Helper()
			synctest.Wait()
			if got := strings.Join(told, ", "); got != want {
				t.Errorf("%s, want %s", got, want)
			}
			told = nil
		}

		first := newEncoder(nil)
		b.publish(first, 3)
		expect("live")
		live, err := b.hub.Lookup(first.request.Key)
		if err != nil {
			t.Fatal(err)
		}
		place, err := live.Admit()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := live.Admit(); !errors.Is(err, stream.RefusedByStreamViewers) {
			t.Errorf("a second viewer: %v", err)
		}
		place.Leave()
		first.failure = errors.New("reset")
		close(first.frames)
		expect("suspended cut, grant over")
		second := newEncoder(nil)
		b.publish(second, 3)
		expect("live")
		third := newEncoder(nil)
		time.Sleep(silence)
		b.publish(third, 3)
		expect("suspended replaced, grant over, live")
		close(third.frames)
		expect("ended ended, grant over")

		silent := newEncoder(nil) // that never brings a frame
		b.conns <- silent.scripted
		synctest.Wait()
		close(silent.frames)
		expect("grant over")
		kicked := newEncoder(nil)
		b.publish(kicked, 3)
		b.server.Kick(kicked.request.Key, time.Second)
		expect("live, ended kicked, grant over")
		if len(sessions) != 2 || len(ended) != 5 {
			t.Errorf("%d streams, %d grants", len(sessions), len(ended))
		}
		for _, n := range ended {
			if n != 1 {
				t.Errorf("%v", ended)
			}
		}
	})
}
