package main

import (
	"strings"
	"testing"

	"github.com/miju-live/miju/bench"
)

func TestBenchChat(t *testing.T) {
	s := start(t)
	url := strings.Replace(s.url("/live/s{i}/chat"), "http", "ws", 1)
	r, err := runBench[bench.ChatReport](t, "chat", url, "-n", "20", "--rooms", "2", "--rate", "10", "-d", "2s", "--pid", ownPID)
	if err != nil {
		t.Fatal(err)
	}
	if r.Members != 20 || r.Joined != 20 || r.Online != 20 || len(r.Refused)+len(r.Failed)+len(r.Disconnected)+len(r.Unsaid) != 0 {
		t.Errorf("%+v", r)
	}
	// Two rooms of ten members, with ten messages a second each.
	if r.Sent < 20 || r.Sent > 80 || r.Delivered != 10*r.Sent || r.Lost != 0 || r.OutOfOrder != 0 || r.Latency.N != uint64(r.Delivered) || r.Latency.P50 <= 0 {
		t.Errorf("%+v", r)
	}
	if got := s.metric(t, "miju_chat_messages_total"); got != float64(r.Sent) {
		t.Errorf("the server knows of %v messages, %d were sent", got, r.Sent)
	}
	waitFor(t, "the database to have it", func() bool { return s.metric(t, "miju_chat_store_changes_total") >= float64(r.Sent) })
	if s.metric(t, "miju_chat_store_commits_total") == 0 || s.metric(t, "miju_chat_store_waiting") != 0 || s.metric(t, "miju_chat_store_failures_total") != 0 {
		t.Error("the figures of the database are wrong")
	}
	if r.Server == nil || r.Server.PerMillion == nil {
		t.Errorf("%+v", r.Server)
	}
}

// A room that is full, and members that speak too fast, are told.
func TestBenchChatRefused(t *testing.T) {
	s := start(t, func(c *config) { c.Chat.MaxMembers, c.Chat.Rate, c.Chat.Burst = 3, 1, 2 })
	url := strings.Replace(s.url("/live/x/chat"), "http", "ws", 1)
	r, err := runBench[bench.ChatReport](t, "chat", url, "-n", "5", "--rate", "20", "-d", "1s")
	if err != nil {
		t.Fatal(err)
	}
	if r.Joined != 3 || r.Refused["4001"] != 2 || r.Unsaid["rate"] == 0 || r.Lost != 0 || r.Delivered != 3*(r.Sent-int64(r.Unsaid["rate"])) {
		t.Errorf("%+v", r)
	}
}
