//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os/signal"
	"strings"
	"syscall"
	"testing"
)

// A disk that is full says so by errors alone, as the limit that stands for
// one here does only without its signal.
func init() { beforeMain = func() { signal.Ignore(syscall.SIGXFSZ) } }

// limitFiles bounds how large files may become that p writes, in bytes.
func (p *program) limitFiles(t testing.TB, size string) {
	t.Helper()
	command(t, true, "prlimit", "--pid", fmt.Sprint(p.cmd.Process.Pid), "--fsize="+size+":unlimited")
}

// TestChatOnAFullDisk: the conversation goes on, senders and operators are told
// what is not kept, and it is kept when there is room again.
func TestChatOnAFullDisk(t *testing.T) {
	t.Parallel()
	dir := "--data-dir=" + t.TempDir()
	p := runChat(t, append(roomy, dir)...)
	a, _ := enterChat(t, p.room("x"), `{"type":"join","name":"Ann"}`)
	b, _ := enterChat(t, p.room("x"), `{"type":"join","name":"Bob"}`)
	metric := func(name string) string {
		_, body := get(t, "http://"+p.admin+"/metrics")
		_, rest, _ := strings.Cut(body, "\n"+name+" ")
		value, _, _ := strings.Cut(rest, "\n")
		return value
	}
	if !a.acknowledgedSay(t, "1", "before") || b.next(t, "message").Text != "before" || metric("miju_chat_store_failing") != "0" {
		t.Error("it does not begin well")
	}
	p.limitFiles(t, "1024")
	for _, text := range []string{"full", "fuller"} {
		a.send(t, `{"type":"say","id":"`+text+`","text":"`+text+`"}`)
		if e := b.next(t, "message"); e.Text != text {
			t.Errorf("%s", e.raw)
		}
		if e := a.next(t, "ack"); e.ID != text || e.acknowledged() {
			t.Errorf("%s", e.raw)
		}
	}
	// Moderation goes on, too.
	var carl struct{ You struct{ ID string } }
	c, w := enterChat(t, p.room("x"), `{"type":"join","name":"Carl","guest":"Carl is always the same"}`)
	if err := json.Unmarshal([]byte(w.raw), &carl); err != nil || w.Replay != 3 {
		t.Errorf("%s %v", w.raw, err)
	}
	if status, body := p.api(t, "POST", "/rooms/live/x/bans", `{"user":"`+carl.You.ID+`"}`); status != http.StatusOK {
		t.Errorf("%d %s", status, body)
	}
	if code := c.closeCode(t); code != 4105 {
		t.Errorf("closed with %d", code)
	}
	waitFor(t, "operators to be told", func() bool { return p.output.count("level=ERROR", "the chat database fails") == 1 })
	if metric("miju_chat_store_failing") != "1" || metric("miju_chat_store_waiting") == "0" {
		t.Error("the metrics say nothing")
	}

	p.limitFiles(t, "unlimited")
	waitFor(t, "the database to work again", func() bool { return p.output.count("the chat database works again") == 1 })
	if !a.acknowledgedSay(t, "2", "after") || metric("miju_chat_store_failing") != "0" || metric("miju_chat_store_waiting") != "0" {
		t.Error("it does not end well")
	}
	p.kill()
	p.begin(t)
	if got := texts(exportedMessages(t, "live/x", dir)); got != "before full fuller after" {
		t.Error(got)
	}
	c, err := dialChat(p.room("x"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	c.send(t, `{"type":"join","name":"Carl","guest":"Carl is always the same"}`)
	if code := c.closeCode(t); code != 4105 {
		t.Errorf("closed with %d", code)
	}
}

func (l *listener) acknowledgedSay(t testing.TB, id, text string) bool {
	e := l.say(t, id, text)
	return e.acknowledged()
}
